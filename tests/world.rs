//! Random worlds: a model with every operator, tuples of every kind, a request's tuples and context. Raw choices are small
//! numbers, so that they shrink; building turns them into a world that is valid by construction where it can be.

use crate::oracle::Value;
use bailiwick::model::*;
use bailiwick::tuple::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt;

/// The object types that have relations.
pub(crate) const TYPES: [&str; 4] = ["group", "folder", "document", "section"];
/// Their relations, besides `parent`.
pub(crate) const RELATIONS: [&str; 3] = ["r0", "r1", "r2"];
const IDS: u8 = 4;
/// Objects that a world has, and relations besides `parent`.
const OBJECTS: u8 = 16;
const PLACES: usize = 12;

#[derive(Clone, Debug)]
enum Raw {
    This,
    Computed(u8),
    FromParent(u8),
    Union(Vec<Raw>),
    Intersection(Vec<Raw>),
    Exclusion(Box<Raw>, Box<Raw>),
}

/// Which object, relation, restriction, subject and stored parameter, each modulo what there is.
type RawTuple = (u8, u8, u8, u8, u8, u8);

/// The choices that make a world.
#[derive(Clone, Debug)]
pub(crate) struct RawWorld {
    rewrites: Vec<Raw>,
    restrictions: Vec<Vec<u8>>,
    stored: Vec<RawTuple>,
    doomed: Vec<RawTuple>,
    contextual: Vec<RawTuple>,
    dropped: Option<(u8, u8)>,
    context: u8,
    extra: u8,
}

/// A model, what is stored under it, and what the request adds.
pub(crate) struct World {
    pub(crate) model: Model,
    /// The model that answers: the first with perhaps a restriction less.
    pub(crate) newest: Model,
    pub(crate) stored: Vec<Tuple>,
    /// Written and deleted again.
    pub(crate) doomed: Vec<Tuple>,
    pub(crate) contextual: Vec<Tuple>,
    pub(crate) context: Context,
    extra: u8,
}

fn raw() -> impl Strategy<Value = Raw> {
    let leaf = prop_oneof![4 => Just(Raw::This), 2 => (0..3u8).prop_map(Raw::Computed), 2 => (0..3u8).prop_map(Raw::FromParent)];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 2..=3).prop_map(Raw::Union),
            1 => prop::collection::vec(inner.clone(), 2..=3).prop_map(Raw::Intersection),
            1 => (inner.clone(), inner).prop_map(|(a, b)| Raw::Exclusion(Box::new(a), Box::new(b))),
        ]
    })
}

/// A strategy for worlds.
pub(crate) fn world() -> impl Strategy<Value = RawWorld> {
    let tuples = |max| prop::collection::vec((0..OBJECTS, 0..6u8, 0..8u8, 0..12u8, 0..12u8, 0..8u8), 0..max);
    let models =
        (prop::collection::vec(raw(), PLACES), prop::collection::vec(prop::collection::vec(0..24u8, 0..4), PLACES));
    let rest = (prop::option::of((0..12u8, 1..4u8)), 0..12u8, any::<u8>());
    (models, tuples(50), tuples(6), tuples(6), rest).prop_map(
        |((rewrites, restrictions), stored, doomed, contextual, (dropped, context, extra))| RawWorld {
            rewrites,
            restrictions,
            stored,
            doomed,
            contextual,
            dropped,
            context,
            extra,
        },
    )
}

fn entry(object_type: &str, kind: SubjectKind, condition: Option<&str>) -> SubjectType {
    SubjectType { object_type: object_type.into(), kind, condition: condition.map(Into::into) }
}

/// What a restriction may be: users, everybody, objects, usersets of every type, some under a condition.
fn restriction(choice: u8) -> SubjectType {
    let userset = |n: u8| SubjectKind::Userset(RELATIONS[usize::from(n % 3)].into());
    match choice {
        0 => entry("user", SubjectKind::Object, None),
        1 => entry("user", SubjectKind::Object, Some("small")),
        2 => entry("user", SubjectKind::Wildcard, None),
        3 => entry("user", SubjectKind::Wildcard, Some("small")),
        4 => entry("group", SubjectKind::Object, None),
        5 => entry("group", SubjectKind::Wildcard, None),
        6 => entry("user", SubjectKind::Object, Some("near")),
        7 => entry("user", SubjectKind::Wildcard, Some("near")),
        n @ 8..=19 => entry(TYPES[usize::from((n - 8) / 3)], userset(n), None),
        n => entry(TYPES[usize::from(n % 4)], userset(n / 4), Some(if n % 2 == 0 { "small" } else { "near" })),
    }
}

fn rewrite(raw: &Raw, own: u8, guarded: bool) -> Rewrite {
    let name = |n: u8| String::from(RELATIONS[usize::from(n)]);
    match raw {
        Raw::This => Rewrite::This,
        // Only of a lower relation: the model may not hold a cycle of computed relations.
        Raw::Computed(n) if own > 0 => Rewrite::ComputedUserset { relation: name(n % own) },
        Raw::FromParent(n) if guarded || own > 0 => {
            let relation = name(if guarded { *n } else { n % own });
            Rewrite::TupleToUserset { tupleset: "parent".into(), relation }
        }
        Raw::Computed(_) | Raw::FromParent(_) => Rewrite::This,
        Raw::Union(parts) => {
            // After a first part that grants by itself, the others may recurse without end.
            let parts = parts.iter().enumerate().map(|(i, part)| rewrite(part, own, guarded || i > 0));
            Rewrite::Union(parts.collect())
        }
        Raw::Intersection(parts) => Rewrite::Intersection(parts.iter().map(|p| rewrite(p, own, guarded)).collect()),
        Raw::Exclusion(base, subtract) => Rewrite::Exclusion {
            base: Box::new(rewrite(base, own, guarded)),
            subtract: Box::new(rewrite(subtract, own, true)),
        },
    }
}

fn holds_this(rule: &Rewrite) -> bool {
    match rule {
        Rewrite::This => true,
        Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => false,
        Rewrite::Union(parts) | Rewrite::Intersection(parts) => parts.iter().any(holds_this),
        Rewrite::Exclusion { base, subtract } => holds_this(base) || holds_this(subtract),
    }
}

fn relation(name: &str, rewrite: Rewrite, subject_types: Vec<SubjectType>) -> RelationDefinition {
    RelationDefinition { name: name.into(), rewrite, subject_types, origin: Origin::default() }
}

fn object_type(name: &str, relations: Vec<RelationDefinition>) -> TypeDefinition {
    TypeDefinition { name: name.into(), relations, origin: Origin::default() }
}

impl RawWorld {
    fn model(&self) -> Model {
        let mut types = vec![object_type("user", Vec::new())];
        for (t, name) in TYPES.iter().enumerate() {
            let mut parents = vec![entry(name, SubjectKind::Object, None)];
            parents.push(entry(TYPES[(t + 1) % 4], SubjectKind::Object, (t == 1).then_some("small")));
            let mut relations = vec![relation("parent", Rewrite::This, parents)];
            for (r, own) in RELATIONS.iter().enumerate() {
                let rewrite = rewrite(&self.rewrites[t * 3 + r], u8::try_from(r).unwrap(), false);
                let mut allowed: Vec<SubjectType> = Vec::new();
                if holds_this(&rewrite) {
                    // A user first: a relation nobody can enter is refused.
                    for choice in [0].iter().chain(&self.restrictions[t * 3 + r]) {
                        let choice = restriction(*choice);
                        if !allowed.contains(&choice) {
                            allowed.push(choice);
                        }
                    }
                }
                relations.push(relation(own, rewrite, allowed));
            }
            types.push(object_type(name, relations));
        }
        let small = ConditionDefinition {
            name: "small".into(),
            expression: "x < 5".into(),
            parameters: vec![("x".into(), ParameterType::Int)],
            origin: Origin::default(),
        };
        let near = ConditionDefinition {
            name: "near".into(),
            expression: "x < 5 && y == \"a\"".into(),
            parameters: vec![("x".into(), ParameterType::Int), ("y".into(), ParameterType::String)],
            origin: Origin::default(),
        };
        Model { schema_version: SchemaVersion::V1_1, types, conditions: vec![small, near] }
    }

    /// The world; `None` when the model is not valid.
    pub(crate) fn build(&self) -> Option<World> {
        let model = self.model();
        model.validate().ok()?;
        let mut newest = model.clone();
        if let Some((place, restriction)) = self.dropped {
            let allowed =
                &mut newest.types[1 + usize::from(place / 3)].relations[1 + usize::from(place % 3)].subject_types;
            if usize::from(restriction) < allowed.len() {
                allowed.remove(usize::from(restriction));
            }
        }
        let mut seen = BTreeSet::new();
        let mut make = |model: &Model, raws: &[RawTuple]| -> Vec<Tuple> {
            let tuples = raws.iter().filter_map(|raw| tuple(model, *raw));
            tuples.filter(|t| seen.insert(t.key().to_string())).collect()
        };
        let stored = make(&model, &self.stored);
        let doomed = make(&model, &self.doomed);
        // A contextual tuple may have the key of a stored one, perhaps under another condition: both count.
        seen = BTreeSet::new();
        let mut make = |raws: &[RawTuple]| -> Vec<Tuple> {
            let tuples = raws.iter().filter_map(|raw| tuple(&newest, *raw));
            tuples.filter(|t| seen.insert(t.key().to_string())).collect()
        };
        let contextual = make(&self.contextual);
        let context = request(self.context);
        Some(World { model, newest, stored, doomed, contextual, context, extra: self.extra })
    }
}

fn object(choice: u8) -> Object {
    Object { object_type: TYPES[usize::from(choice / IDS % 4)].into(), id: (choice % IDS).to_string() }
}

/// A request's context: mostly all that the conditions want, sometimes a part, or of a wrong type.
fn request(choice: u8) -> Context {
    let json = match choice {
        0 => json!({}),
        1 => json!({"x": 1}),
        2 => json!({"y": "a"}),
        3 => json!({"x": "one", "y": "a"}),
        4 => json!({"x": 1, "y": 7}),
        5 => json!({"x": "1", "y": "a", "z": true}), // a number as text is a number
        6 | 7 => json!({"x": 9, "y": "a"}),
        8 => json!({"x": 1, "y": "b"}),
        _ => json!({"x": 1, "y": "a"}),
    };
    json.as_object().cloned().unwrap_or_default()
}

/// A tuple that the model admits; `None` when the relation takes none.
fn tuple(model: &Model, (o, r, restriction, subject, id, x): RawTuple) -> Option<Tuple> {
    let object = object(o);
    // Half of the tuples of a relation that takes none become parents.
    let relation = if r < 5 { RELATIONS[usize::from(r % 3)] } else { "parent" };
    let definition = model.object_type(&object.object_type)?.relation(relation)?;
    let allowed = definition.subject_types.get(usize::from(restriction) % definition.subject_types.len().max(1))?;
    let named = Object { object_type: allowed.object_type.clone(), id: ((subject ^ id) % IDS).to_string() };
    let subject = match &allowed.kind {
        SubjectKind::Object => Subject::Object(named),
        SubjectKind::Userset(relation) => Subject::Userset { object: named, relation: relation.clone() },
        SubjectKind::Wildcard => Subject::Wildcard { object_type: named.object_type },
    };
    if matches!(&subject, Subject::Userset { object: s, relation: n } if *s == object && n == relation) {
        return None; // implicit: a write refuses it
    }
    let condition = allowed.condition.as_ref().map(|name| {
        let mut context = Context::new();
        if x > 1 {
            context.insert("x".into(), if x % 2 == 0 { 1 } else { 9 }.into());
        }
        if name == "near" && x > 3 {
            context.insert("y".into(), if x % 3 == 0 { "b" } else { "a" }.into());
        }
        TupleCondition { name: name.clone(), context }
    });
    Some(Tuple { object, relation: relation.into(), subject, condition })
}

impl World {
    /// What the conditions say, written down a second time: the tuple's parameters before the request's.
    pub(crate) fn decide(&self, condition: &TupleCondition) -> Value {
        decide(&self.context, condition)
    }

    /// Who is asked about: every user, one that no tuple names, everybody, and a few objects and usersets.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let user = |id: &str| Subject::Object(Object { object_type: "user".into(), id: id.into() });
        let mut subjects: Vec<Subject> = ["0", "1", "2", "3", "nobody"].map(user).into();
        subjects.push(Subject::Wildcard { object_type: "user".into() });
        subjects.push(Subject::Object(object(self.extra % OBJECTS)));
        for step in 0..3 {
            let choice = self.extra.wrapping_add(step * 5);
            let relation = RELATIONS[usize::from(choice / OBJECTS % 3)].into();
            subjects.push(Subject::Userset { object: object(choice % OBJECTS), relation });
        }
        subjects
    }

    /// The kind of userset that ListUsers is asked for.
    pub(crate) fn userset_wanted(&self) -> (&'static str, Option<&'static str>) {
        (TYPES[usize::from(self.extra % 4)], Some(RELATIONS[usize::from(self.extra / 4 % 3)]))
    }
}

/// What the conditions of random worlds say.
pub(crate) fn decide(request: &Context, condition: &TupleCondition) -> Value {
    let of = |key: &str| condition.context.get(key).or_else(|| request.get(key));
    let number = |v: &serde_json::Value| v.as_i64().or_else(|| v.as_str()?.parse().ok());
    let truth = |is: bool| if is { Value::True } else { Value::False };
    match (condition.name.as_str(), of("x").and_then(number), of("y").and_then(serde_json::Value::as_str)) {
        ("small", Some(x), _) => truth(x < 5),
        ("near", Some(x), Some(y)) => truth(x < 5 && y == "a"),
        _ => Value::Fault,
    }
}

/// A tuple as a line of a case.
fn line(tuple: &Tuple) -> String {
    let condition = tuple.condition.as_ref().map(|c| format!(" with {} {}", c.name, json!(c.context)));
    let text = format!("{} {} {}{}", tuple.object, tuple.relation, tuple.subject, condition.unwrap_or_default());
    format!("  - '{text}'\n")
}

/// As a case for `tests/cases/`.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
        write!(f, "model: |\n{}", block(&self.model.to_dsl()))?;
        if self.newest != self.model {
            write!(f, "then: |\n{}", block(&self.newest.to_dsl()))?;
        }
        for (title, tuples) in [("tuples", &self.stored), ("given", &self.contextual)] {
            if !tuples.is_empty() {
                write!(f, "{title}:\n{}", tuples.iter().map(line).collect::<String>())?;
            }
        }
        writeln!(f, "context: {}", json!(self.context))?;
        write!(
            f,
            "# written and deleted again:\n{}",
            self.doomed.iter().map(|t| format!("#{}", line(t))).collect::<String>()
        )
    }
}
