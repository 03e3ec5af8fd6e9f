//! `bailiwick audit` as a person or a script uses it: a log is listed, signed, exported, verified elsewhere, held and dropped.

use crate::audit::{TENANT, append, event, now, open};
use crate::cli::{err, out, program};
use bailiwick::identity::{Event, EventKind, Outcome};
use bailiwick::modules::audit::note::{KeyKind, Signer as _, SignerKey};
use bailiwick::secrets::KeyRing;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

struct Place<'a>(&'a Path);

impl Place<'_> {
    fn output(&self, arguments: &[&str]) -> Output {
        program(self.0).arg("audit").args(arguments).output().unwrap()
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}{}", out(&output), err(&output));
        out(&output).trim_end().to_owned()
    }

    /// With the database of the story.
    fn says(&self, arguments: &[&str]) -> String {
        self.ends(0, &[arguments, &["--data", "db", "--tenant", "7"]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}{}", out(&output), err(&output));
        err(&output)
    }
}

/// A directory with a database of so many events, and a key ring.
fn place(directory: &Path, events: u64) {
    append(&open(&directory.join("db")), (0..events).map(|n| event(TENANT, n)));
    let key = KeyRing::key_line("a", 1, b"0123456789abcdef0123456789abcdef").unwrap();
    let ring = directory.join("ring");
    std::fs::write(&ring, format!("{}{}", KeyRing::head(), &*key)).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600)).unwrap();
}

const RING: [&str; 2] = ["--key-ring", "ring"];

#[test]
fn a_log_is_listed_signed_exported_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), 60);
    let place = Place(directory.path());
    let all = place.says(&["list", "--limit", "5"]);
    assert_eq!(all.lines().count(), 5);
    let fields: Vec<&str> = all.lines().next().unwrap().split('\t').collect();
    assert_eq!((fields.len(), fields[0], fields[2]), (10, "59", "approval.asked"));
    let some = place.json(&["list", "--user", "user:5", "--limit", "3"]);
    assert_eq!(some["events"][2]["event"]["user"], "user:5");
    let page = some["next_page_token"].as_str().unwrap();
    let more = place.json(&["list", "--user", "user:5", "--page", page]);
    assert!(more["events"][0]["index"].as_u64() < some["events"][2]["index"].as_u64());
    assert_eq!(place.json(&["list", "--kind", "token.issued"])["events"].as_array().unwrap().len(), 12);
    let first = "2023-11-14T22:13:20Z";
    assert_eq!(place.says(&["list", "--to", "2023-11-14T22:13:22Z", "--from", first]).lines().count(), 2);

    assert!(place.refused(&["checkpoint", "--data", "db", "--tenant", "7"]).contains("--sign"));
    let no_key = [&["checkpoint", "--sign", "--data", "db", "--tenant", "7"], &RING[..]].concat();
    assert!(place.refused(&no_key).contains("audit key --create"));
    let key = place.says(&[&["key", "--create", "audit.example.com", "--by", "user:root"], &RING[..]].concat());
    assert!(key.starts_with("audit.example.com+"), "{key}");
    let checkpoint = place.says(&[&["checkpoint", "--sign"], &RING[..]].concat());
    assert!(checkpoint.starts_with("audit.example.com\n61\n"), "{checkpoint}");
    std::fs::write(directory.path().join("old"), format!("{checkpoint}\n")).unwrap();
    let shown = place.json(&["show", "42"]);
    assert_eq!((shown["index"].as_u64(), shown["proof"].as_array().unwrap().len()), (Some(42), 6));
    assert!(place.says(&["show", "42"]).contains("proved by 6 hashes"));

    place.says(&["export", "--output", "all.jsonl"]);
    let good = place.ends(0, &["verify", "all.jsonl", "--key", &key, "--whole", "--since", "old"]);
    assert_eq!(good, "good: 61 events, events 0 to 61 of 61 in the log `audit.example.com` of tenant 7");
    // The same through a pipe, and with a key in a file.
    std::fs::write(directory.path().join("key"), format!("# from the operator\n{key}\n")).unwrap();
    place.ends(0, &["verify", "all.jsonl", "--key", "key"]);
    let selection = place.says(&["export", "--agent", "agent:1"]);
    std::fs::write(directory.path().join("some.jsonl"), format!("{selection}\n")).unwrap();
    let verified = place.ends(0, &["verify", "some.jsonl", "--key", "key", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&verified).unwrap()["selection"]["agent"], "agent:1");
    let ocsf = place.says(&["export", "--format", "ocsf", "--end", "3"]);
    assert_eq!(ocsf.lines().count(), 3);

    // Somebody changes a word.
    let text = std::fs::read_to_string(directory.path().join("all.jsonl")).unwrap();
    std::fs::write(directory.path().join("bad.jsonl"), text.replacen("rule.of_seven", "rule.of_eight", 1)).unwrap();
    let bad = place.ends(1, &["verify", "bad.jsonl", "--key", "key"]);
    assert!(bad.starts_with("changed: event 0 is not the one of its leaf\nnot good"), "{bad}");
    let other = "other.example.com+f80c4422+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtI=";
    assert!(place.refused(&["verify", "all.jsonl", "--key", other]).contains("this is no key"));
    let none = place.refused(&["verify", "all.jsonl"]);
    assert!(none.contains("--key") && none.contains(&key), "{none}");
    assert!(place.refused(&["verify", "nothing.jsonl", "--key", "key"]).contains("nothing.jsonl"));
}

#[test]
fn what_was_pinned_must_go_on() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), 10);
    let place = Place(directory.path());
    let key = place.says(&[&["key", "--create", "audit.example.com"], &RING[..]].concat());
    place.says(&[&["checkpoint", "--sign"], &RING[..]].concat());
    place.says(&["export", "--output", "one.jsonl"]);
    assert!(place.refused(&["verify", "one.jsonl", "--pin", "pin"]).contains("--key"));
    place.ends(0, &["verify", "one.jsonl", "--pin", "pin", "--key", &key]);
    append(&open(&directory.path().join("db")), (10..20).map(|n| event(TENANT, n)));
    let rotated = place.says(&[&["key", "--rotate"], &RING[..]].concat());
    assert_eq!((rotated.lines().count(), rotated.lines().nth(1)), (2, Some(key.as_str())));
    place.says(&[&["checkpoint", "--sign"], &RING[..]].concat());
    place.says(&["export", "--output", "two.jsonl"]);
    let unknown = place.ends(1, &["verify", "two.jsonl", "--pin", "pin"]);
    assert!(unknown.contains("no signature is of the key"), "{unknown}");
    place.ends(0, &["verify", "two.jsonl", "--pin", "pin", "--key", rotated.lines().next().unwrap()]);
    place.ends(0, &["verify", "two.jsonl", "--pin", "pin"]);
    let back = place.ends(1, &["verify", "one.jsonl", "--pin", "pin"]);
    assert!(back.contains("set back"), "{back}");
}

#[test]
fn events_are_held_and_dropped() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), 60);
    let place = Place(directory.path());
    let key = place.says(&[&["key", "--create", "audit.example.com"], &RING[..]].concat());
    place.says(&[&["checkpoint", "--sign"], &RING[..]].concat());
    assert!(place.refused(&["hold", "case-7", "--data", "db", "--tenant", "7"]).contains("--reason"));
    assert_eq!(
        place.says(&["hold", "case-7", "--reason", "case 7", "--user", "user:5", "--by", "user:law"]),
        "held case-7"
    );
    let holds = place.json(&["hold"]);
    assert_eq!((&holds["holds"][0]["id"], &holds["holds"][0]["filter"]["user"]), (&"case-7".into(), &"user:5".into()));
    let before = ["drop", "--before", "2024-01-01"];
    assert!(place.refused(&[&before[..], &["--data", "db", "--tenant", "7"]].concat()).contains("add --yes"));
    let told = place.json(&[&before[..], &["--yes"]].concat());
    let held = (0..60).filter(|n| event(TENANT, *n).get_user() == Some("user:5")).count();
    assert_eq!((told["held"].as_u64(), told["dropped"].as_u64()), (Some(held as u64), Some(60 - held as u64)));
    assert_eq!(place.says(&["list", "--to", "2024-01-01"]).lines().count(), held);
    assert!(place.says(&["list", "--limit", "100"]).lines().last().unwrap().starts_with("0\t\tdropped"));
    place.says(&[&["checkpoint", "--sign"], &RING[..]].concat());
    place.says(&["export", "--output", "all.jsonl"]);
    place.ends(0, &["verify", "all.jsonl", "--key", &key, "--whole"]);
    assert_eq!(place.says(&["release", "case-7"]), "released case-7");
    assert!(place.refused(&["release", "case-7", "--data", "db", "--tenant", "7"]).contains("no hold"));
    assert!(place.says(&[&before[..], &["--yes"]].concat()).starts_with(&format!("dropped {held} events")));
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), 1);
    let place = Place(directory.path());
    assert!(place.refused(&["list", "--data", "db"]).contains("--tenant"));
    assert!(place.refused(&["list", "--tenant", "7", "--server", "http://x"]).contains("--data DIR"));
    assert!(place.refused(&["list", "--data", "db", "--tenant", "7", "--kind", "x"]).contains("token.issued"));
    assert!(place.refused(&["list", "--data", "db", "--tenant", "7", "--from", "x"]).contains("2026-01-31"));
    assert!(place.refused(&["show", "5", "--data", "db", "--tenant", "7"]).contains("there is no event 5"));
    std::fs::set_permissions(directory.path().join("ring"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let open = [&["key", "--create", "a", "--data", "db", "--tenant", "7"], &RING[..]].concat();
    assert!(place.refused(&open).contains("chmod 600"));
    let database = crate::audit::open(&directory.path().join("db"));
    append(&database, [Event::new(TENANT, EventKind::LoginFailed, Outcome::Failed, now(1)).user("a\tb")]);
    drop(database);
    assert_eq!(place.says(&["list", "--limit", "1"]).split('\t').nth(4), Some("a\u{fffd}b"), "a line stays a line");
}

#[test]
fn how_long_events_are_kept_and_who_witnesses_is_said() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), 1);
    let place = Place(directory.path());
    assert_eq!(place.says(&["settings"]), "events are kept always");
    let key = SignerKey::from_seed("w.example/1", KeyKind::Witness, &[2; 32]).unwrap().key().to_string();
    let told = place.says(&["settings", "--keep", "400d", "--add-witness", &key, "--at", "https://w.example"]);
    assert!(told.starts_with("events are kept for 400 days\n") && told.contains(&key), "{told}");
    let told = place.json(&["settings"]);
    let witness = serde_json::json!({"url": "https://w.example", "key": key});
    assert_eq!(told, serde_json::json!({"kept_seconds": 34_560_000, "witnesses": [witness]}));
    for (wrong, why) in [
        (&["--keep", "1y"][..], "400d"),
        (&["--keep", "0d"], "86400"),
        (&["--add-witness", &key], "--at"),
        (&["--add-witness", &key, "--at", "https://w.example"], "twice"),
        (&["--add-witness", "x", "--at", "https://w.example"], "`x`"),
        (&["--remove-witness", "other"], "no witness `other`"),
    ] {
        let refused = place.refused(&[&["settings", "--data", "db", "--tenant", "7"], wrong].concat());
        assert!(refused.contains(why), "{wrong:?}: {refused}");
    }
    let left = place.says(&["settings", "--keep", "always", "--remove-witness", "w.example/1"]);
    assert_eq!(left, "events are kept always");
}
