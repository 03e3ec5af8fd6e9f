//! The small company of the demonstration, and what is asked about it.

/// The model.
pub(super) const MODEL: &str = "model
  schema 1.1

type user

type group
  relations
    define member: [user, group#member]

type division
  relations
    define employee: [user, group#member]

type folder
  relations
    define parent: [folder]
    define owner: [division]
    define archived: [user:*]
    define viewer: [user, user:*, group#member] or employee from owner or viewer from parent
    define can_view: viewer but not archived

type document
  relations
    define parent: [folder]
    define editor: [user, group#member]
    define viewer: [user, group#member with office_hours] or editor or can_view from parent

type section
  relations
    define document: [document]
    define viewer: [user] or viewer from document

condition office_hours(hour: int) {
  hour >= 9 && hour < 17
}
";

/// (object, relation, user)
pub(super) const TUPLES: [(&str, &str, &str); 16] = [
    ("group:writers", "member", "user:anne"),
    ("group:editors", "member", "group:writers#member"),
    ("group:contractors", "member", "user:carl"),
    ("division:research", "employee", "group:editors#member"),
    ("division:research", "employee", "user:bob"),
    ("folder:papers", "owner", "division:research"),
    ("folder:drafts", "parent", "folder:papers"),
    ("folder:wiki", "viewer", "user:*"),
    ("folder:old", "parent", "folder:papers"),
    ("folder:old", "archived", "user:*"),
    ("document:plan", "parent", "folder:drafts"),
    ("document:welcome", "parent", "folder:wiki"),
    ("document:notes-1999", "parent", "folder:old"),
    ("document:budget", "editor", "user:dora"),
    ("section:plan-goals", "document", "document:plan"),
    ("section:budget-total", "document", "document:budget"),
];

/// A tuple that holds in office hours only: (object, relation, user, condition)
pub(super) const CONDITIONAL: (&str, &str, &str, &str) =
    ("document:budget", "viewer", "group:contractors#member", "office_hours");

/// A question about viewing, with the answer that is right.
pub(super) struct Asked {
    pub(super) user: &'static str,
    pub(super) object: &'static str,
    /// The hour of the day, where a condition asks for it.
    pub(super) hour: Option<u8>,
    pub(super) allowed: bool,
    pub(super) why: &'static str,
}

const fn asked(user: &'static str, object: &'static str, hour: Option<u8>, allowed: bool, why: &'static str) -> Asked {
    Asked { user, object, hour, allowed, why }
}

/// The questions.
pub(super) const CHECKS: [Asked; 8] = [
    asked(
        "user:anne",
        "document:plan",
        None,
        true,
        "Anne is a writer, writers are editors, editors work in research, which owns the folder above",
    ),
    asked("user:bob", "section:plan-goals", None, true, "Bob works in research; a section is seen with its document"),
    asked("user:carl", "document:plan", None, false, "nobody gave Carl the plan"),
    asked("user:visitor", "document:welcome", None, true, "the wiki is public"),
    asked("user:bob", "document:notes-1999", None, false, "research owns the folder, but it is archived"),
    asked(
        "user:carl",
        "document:budget",
        Some(10),
        true,
        "contractors see the budget in office hours; it is 10 o'clock",
    ),
    asked("user:carl", "document:budget", Some(23), false, "at 23 o'clock they do not"),
    asked("user:dora", "section:budget-total", Some(23), true, "Dora edits the budget, so she sees its sections"),
];

/// A section that can be found: its id, its text, and the document above it unless the tuples say that already.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) document: Option<&'static str>,
    pub(super) text: &'static str,
}

const fn section(id: &'static str, document: Option<&'static str>, text: &'static str) -> Section {
    Section { id, document, text }
}

/// What can be found.
pub(super) const SECTIONS: [Section; 5] = [
    section("plan-goals", None, "Goals for this year: a search that leaks nothing."),
    section("plan-costs", Some("plan"), "The research plan costs 40,000, most of it for machines."),
    section("budget-total", None, "Of 300,000 in the budget, the plan of research is 40,000."),
    section("welcome-desk", Some("welcome"), "Welcome! Lunch is at noon; the desk by the door has keys."),
    section("notes-1999-costs", Some("notes-1999"), "What does the research plan of 1999 cost? Far too much."),
];

/// A section that one person was given, without its document: (object, relation, user)
pub(super) const GIVEN: (&str, &str, &str) = ("section:plan-costs", "viewer", "user:carl");

/// What everybody asks.
pub(super) const QUESTION: &str = "What does the research plan cost?";

/// Somebody who asks it, with the sections that are right.
pub(super) struct Seeker {
    pub(super) user: &'static str,
    pub(super) finds: &'static [&'static str],
    pub(super) why: &'static str,
}

/// Who asks.
pub(super) const SEEKERS: [Seeker; 3] = [
    Seeker {
        user: "user:anne",
        finds: &["plan-goals", "plan-costs", "welcome-desk"],
        why: "Anne is a writer, and so in research, which owns the folder of the plan: she sees all its sections",
    },
    Seeker {
        user: "user:carl",
        finds: &["plan-costs", "budget-total", "welcome-desk"],
        why: "Carl was given that one section of the plan, and contractors see the budget at 10 o'clock",
    },
    Seeker { user: "user:visitor", finds: &["welcome-desk"], why: "the wiki is public, and nothing else is" },
];

/// What Anne finds when she is no writer any more.
pub(super) const ANNE_WITHOUT: Seeker = Seeker {
    user: "user:anne",
    finds: &["welcome-desk"],
    why: "no filter was changed and nothing was indexed again: the search reads the same tuples as Check",
};
