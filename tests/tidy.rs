//! The rules of the tree: order of rooms, homes of foreign crates, sizes of files, file docs. Each fault names its line
//! and the fix. One package has no other guard against knots.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file that is allowed.
const FILE_LINES_MAX: usize = 800;

/// Files that may be longer than [`FILE_LINES_MAX`], each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Foreign crates and the only places (path prefixes below `src/`) that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("rocksdb", &["storage/rocks.rs"]),
    ("roaring", &["tuple/set.rs"]),
    ("cel", &["model/condition"]),
    ("argon2", &["secrets/ring.rs", "modules/login/password.rs"]),
    ("zeroize", &["secrets", "modules", "modules/vault", "cli/mcp_try"]),
    ("askama", &["modules"]),
    ("webauthn_rs", &["modules/login/passkey.rs"]),
    ("totp_rs", &["modules/login/totp.rs"]),
    ("qrcode", &["modules/login/pages.rs"]),
    ("unicode_normalization", &["modules/login/password.rs"]),
    ("reqwest", &["wire/embedding.rs", "wire/outgoing"]),
    (
        "rustls",
        &[
            "identity/chain.rs",
            "wire/embedding.rs",
            "wire/outgoing",
            "wire/listen.rs",
            "server/tls.rs",
            "cli/failure.rs",
            "cli/place.rs",
        ],
    ),
    ("tokio_rustls", &["wire/listen.rs"]),
    ("hyper", &["wire/listen.rs"]),
    ("hyper_util", &["wire/listen.rs"]),
    ("x509_parser", &["identity/certificate.rs", "identity/chain.rs"]),
    ("webpki", &["identity/chain.rs"]),
    ("aho_corasick", &["secrets/redact"]),
    ("regex_automata", &["secrets/redact"]),
    (
        "aws_lc_rs",
        &["secrets", "identity", "modules", "wire/random.rs", "cli/demo_agents/keys.rs", "cli/demo_agents/pager.rs"],
    ),
    ("jsonwebtoken", &["identity"]),
    ("memmap2", &["vector/block.rs"]),
    ("half", &["vector"]),
    ("rustix", &["vector/disk.rs"]),
    ("arrow_array", &["cli/chunk_files"]),
    ("arrow_ipc", &["cli/chunk_files"]),
    ("arrow_schema", &["cli/chunk_files"]),
    (
        "axum",
        &["wire", "api", "modules/*/http.rs", "modules/audit/http", "modules/vault/http", "server", "main.rs", "cli"],
    ),
    ("tonic", &["wire", "api", "modules/*/http.rs", "server", "main.rs", "cli"]),
    (
        "tokio",
        &["wire", "api", "modules/*/http.rs", "modules/audit/http", "modules/vault/http", "server", "main.rs", "cli"],
    ),
];

/// Rooms at and above which time, randomness and the environment may be read from the system.
const CLOCK_ROOMS: &[&str] = &["wire", "api", "config", "server", "main", "cli"];

/// Pairs of (room, room that it must not know), besides the order of rooms.
const STRANGERS: &[(&str, &str)] =
    &[("storage", "model"), ("index", "model"), ("vector", "model"), ("vector", "index")];

struct File {
    /// Path below the package, `src/tuple/mod.rs`.
    path: String,
    text: String,
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                collect(root, &path, files);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push(File { path: path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"), text });
        }
    }
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "bench", "schema", "fuzz"] {
        collect(root, &root.join(folder), &mut files);
    }
    assert!(files.iter().any(|f| f.path == "src/lib.rs"), "src/lib.rs was not found below {}", root.display());
    files
}

/// The text with comment lines and trailing line comments blanked; lines keep their numbers.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Every path that begins with `crate::`, as (line, first segment, second segment or empty).
fn crate_paths(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let line = line_of(text, at);
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0i32;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && !c.is_whitespace() => {
                        start = false;
                        found.push((line, ident(&group[i..]).to_owned(), second(&group[i..])));
                    }
                    _ => {}
                }
            }
        } else {
            found.push((line, ident(rest).to_owned(), second(rest)));
        }
    }
    found
}

fn second(path: &str) -> String {
    path[ident(path).len()..].strip_prefix("::").map(|rest| ident(rest).to_owned()).unwrap_or_default()
}

/// The rooms in the order of `lib.rs`, then those of the binary.
fn rooms(files: &[File]) -> Vec<String> {
    let mut rooms = Vec::new();
    for path in ["src/lib.rs", "src/main.rs"] {
        let Some(file) = files.iter().find(|f| f.path == path) else { continue };
        for line in code(&file.text).lines() {
            let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            if let Some(rest) = line.strip_prefix("mod ") {
                rooms.push(ident(rest).to_owned());
            }
        }
    }
    rooms
}

/// `tuple` of `src/tuple/set.rs`, `config` of `src/config.rs`.
fn room_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    Some(rest.split('/').next()?.trim_end_matches(".rs"))
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_room_imports_only_rooms_listed_before_it() {
    let files = files();
    let rooms = rooms(&files);
    let place = |room: &str| rooms.iter().position(|r| r == room);
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.path.starts_with("src/")) {
        let Some(own) = room_of(&file.path) else { continue };
        let text = code(&file.text);
        for (line, used, inner) in crate_paths(&text) {
            let Some(used_place) = place(&used) else { continue };
            let at = format!("{}:{line}", file.path);
            if place(own).is_some_and(|own_place| used_place > own_place) {
                faults.push(format!("{at}: `{own}` uses `{used}`, which lib.rs lists after it; move the item down"));
            }
            if STRANGERS.contains(&(own, used.as_str())) {
                faults.push(format!("{at}: `{own}` must not know `{used}`; let the engine bring them together"));
            }
            let hidden = files
                .iter()
                .any(|f| f.path == format!("src/{used}/{inner}.rs") || f.path == format!("src/{used}/{inner}/mod.rs"));
            if used != own && !inner.is_empty() && hidden && used != "modules" {
                faults.push(format!("{at}: reaches into `{used}::{inner}`; use what `{used}/mod.rs` re-exports"));
            }
            let module = file.path.strip_prefix("src/modules/").and_then(|p| p.split('/').next());
            // Tests make the worlds that their module asks about.
            let tests = file.path.contains("/tests/") || file.path.ends_with("tests.rs");
            let knows_too_much = (!tests && ["model", "index", "vector"].contains(&used.as_str()))
                || (used == "modules" && Some(inner.as_str()) != module);
            if module.is_some_and(|m| m != "mod.rs") && knows_too_much {
                faults.push(format!("{at}: a module uses `{used}::{inner}`; use the engine's public questions"));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_face_of_a_room_is_its_mod_file() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|f| f.path.starts_with("src/") && f.path != "src/lib.rs") {
        for (i, line) in code(&file.text).lines().enumerate() {
            // A module with its body in place is part of the face: what a generator made has no other name.
            let of_a_file = line.trim_start().starts_with("pub mod ") && line.trim_end().ends_with(';');
            if of_a_file && room_of(&file.path) != Some("modules") {
                faults.push(format!("{}:{}: public submodule; make it private and re-export", file.path, i + 1));
            }
        }
    }
    report(&faults);
}

fn at_home(path: &str, homes: &[&str]) -> bool {
    let Some(path) = path.strip_prefix("src/") else { return true };
    homes.iter().any(|home| match home.split_once('*') {
        Some((before, after)) => path.starts_with(before) && path.ends_with(after),
        None => path == *home || path.strip_prefix(home).is_some_and(|r| r.starts_with('/') || r == ".rs"),
    })
}

#[test]
fn each_foreign_crate_stays_at_home() {
    let mut faults = Vec::new();
    for file in files() {
        let text = code(&file.text);
        let tests = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
        for (krate, homes) in HOMES {
            // A module's tests go through its routes, and stand in for other people's servers.
            if at_home(&file.path, homes) || (tests && ["axum", "tokio", "aws_lc_rs"].contains(krate)) {
                continue;
            }
            let path = format!("{krate}::");
            for (at, _) in text.match_indices(&path) {
                let before = text[..at].chars().next_back();
                // `crate::model::cel::` or `my_cel::` is not the crate.
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    let line = line_of(&text, at);
                    faults.push(format!("{}:{line}: names `{krate}`, whose home is {homes:?}", file.path));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn time_randomness_and_environment_are_arguments() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|f| f.path.starts_with("src/") && !f.path.ends_with("tests.rs")) {
        if room_of(&file.path).is_some_and(|room| CLOCK_ROOMS.contains(&room)) {
            continue;
        }
        let tests_from = file.text.find("#[cfg(test)]").map_or(usize::MAX, |at| line_of(&file.text, at));
        for (i, line) in code(&file.text).lines().enumerate().take_while(|(i, _)| i + 1 < tests_from) {
            for read in ["SystemTime::now", "Utc::now", "Local::now", "Ulid::new(", "Ulid::generate(", "env::var"] {
                if line.contains(read) {
                    faults.push(format!("{}:{}: reads `{read}`; take it as an argument", file.path, i + 1));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn unsafe_stays_in_the_kernels() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|f| f.path != "src/vector/kernel.rs" && f.path != "tests/tidy.rs") {
        for (i, line) in code(&file.text).lines().enumerate() {
            let forms =
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait", "unsafe(", "unsafe_code"];
            if forms.iter().any(|form| line.contains(form)) {
                faults.push(format!(
                    "{}:{}: unsafe outside of src/vector/kernel.rs; write it safely",
                    file.path,
                    i + 1
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn files_are_short_documented_and_finished() {
    let mut faults = Vec::new();
    for file in files() {
        let File { path, text } = &file;
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !LONG_FILES.iter().any(|(long, _)| long == path) {
            faults.push(format!(
                "{path}:{lines}: over {FILE_LINES_MAX} lines; split it, or list it here with the reason"
            ));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{path}:1: no `//!` at the top; say what the file is for and why"));
        }
        if path == "tests/tidy.rs" {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            for word in ["FIXME", "todo!(", "unimplemented!(", "dbg!(", "XXX"] {
                if line.contains(word) {
                    faults.push(format!("{path}:{}: `{word}`; finish it before it is merged", i + 1));
                }
            }
            if line.contains("#[ignore") {
                faults.push(format!("{path}:{}: an ignored test; run it or delete it", i + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_reader_of_paths_sees_groups_and_nesting() {
    let text = "use crate::{a::b, c::{d, e}, f};\nlet x = crate::g::h();\nmycrate::no;";
    let seen: Vec<_> = crate_paths(text).into_iter().map(|(line, a, b)| format!("{line} {a} {b}")).collect();
    assert_eq!(seen, ["1 a b", "1 c ", "1 f ", "2 g h"]);
}
