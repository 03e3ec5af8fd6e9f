//! The binary as a person or a script uses it: every command against a directory and against a server, with the same output;
//! exit codes; what is said to wrong input; settings and where they come from.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const MODEL: &str = "model
  schema 1.1

type user

type group
  relations
    define member: [user]

type document
  relations
    define banned: [user]
    define editor: [user, group#member]
    define viewer: ([user with office_hours, user:*] or editor) but not banned

condition office_hours(hour: int) {
  hour >= 9 && hour < 17
}
";

/// The program in a directory of its own, without the environment's settings.
pub(crate) fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("BAILIWICK_") || name.starts_with("OPENFGA_") {
            command.env_remove(name.as_ref());
        }
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server that stops when it goes.
pub(crate) struct Server {
    child: Child,
    http: String,
    pub(crate) grpc: String,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut command = program(directory);
        command.args(arguments).envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("serving HTTP on "), "it says {line:?}");
        let told = line.trim().strip_prefix("serving HTTP on ").unwrap();
        let (http, grpc) = told.split_once(", gRPC on ").unwrap();
        Server { child, http: http.to_owned(), grpc: grpc.to_owned() }
    }

    /// Stops it as an init system does.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have stopped already
        let _ = self.child.wait();
    }
}

const ANYWHERE: [&str; 4] = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];

pub(crate) fn serve(directory: &Path) -> Server {
    Server::start(directory, &[&["serve", "--data", "db"], &ANYWHERE[..]].concat(), &[])
}

/// Where the story is told.
pub(crate) struct Place<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) flags: Vec<String>,
}

impl Place<'_> {
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        program(self.directory).args(arguments).args(&self.flags).output().unwrap()
    }

    /// The answer of a command that ends with this code.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}{}", out(&output), err(&output));
        out(&output).trim_end().to_owned()
    }

    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        self.ends(0, arguments)
    }

    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ends(code, &[arguments, &["--json"]].concat())).unwrap()
    }
}

pub(crate) fn in_both_places(story: impl Fn(&Place<'_>)) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("model.fga"), MODEL).unwrap();
    story(&Place { directory: directory.path(), flags: vec!["--data".into(), "db".into()] });
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("model.fga"), MODEL).unwrap();
    let server = serve(directory.path());
    story(&Place { directory: directory.path(), flags: vec!["--server".into(), format!("http://{}", server.grpc)] });
    assert_eq!(server.stop(), Some(0));
}

fn company(place: &Place<'_>) {
    place.says(&["store", "create", "docs"]);
    place.says(&["model", "write", "model.fga"]);
    for (user, relation, object) in [
        ("user:anne", "member", "group:eng"),
        ("group:eng#member", "editor", "document:1"),
        ("user:*", "viewer", "document:2"),
        ("user:bob", "banned", "document:2"),
    ] {
        assert_eq!(place.says(&["tuple", "write", user, relation, object]), "written");
    }
    let conditional = ["tuple", "write", "user:carl", "viewer", "document:1", "--condition", "office_hours"];
    assert_eq!(place.says(&conditional), "written");
}

#[test]
fn stores_and_models() {
    in_both_places(|place| {
        let id = place.says(&["store", "create", "docs"]);
        assert_eq!(id.len(), 26, "{id}");
        assert_eq!(place.json(0, &["store", "get", "docs"])["id"], id.as_str());
        assert!(place.says(&["store", "get", &id]).starts_with(&format!("{id}\tdocs\t20")));
        let other = place.json(0, &["store", "create", "other"])["id"].as_str().unwrap().to_owned();
        assert_eq!(place.says(&["store", "list"]).lines().count(), 2);
        assert_eq!(place.json(0, &["store", "list", "--name", "other"])["stores"][0]["id"], other.as_str());

        let model = place.says(&["model", "write", "model.fga", "--store", "docs"]);
        assert_eq!(place.says(&["model", "get", "--store", "docs"]), MODEL.trim_end());
        assert_eq!(place.json(0, &["model", "get", &model, "--store", "docs"])["schema_version"], "1.1");
        assert_eq!(place.says(&["model", "list", "--store", &id]).split('\t').next(), Some(model.as_str()));
        let missing = place.output(&["model", "get", "--store", "other"]);
        assert!(err(&missing).contains("bailiwick model write FILE"), "{}", err(&missing));

        let careful = place.output(&["store", "delete", "other"]);
        assert_eq!(careful.status.code(), Some(2));
        assert!(err(&careful).contains("add --yes"), "{}", err(&careful));
        assert_eq!(place.says(&["store", "delete", "other", "--yes"]), format!("deleted {other}"));
        assert_eq!(place.json(0, &["store", "list"])["stores"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn what_it_costs() {
    in_both_places(|place| {
        company(place);
        let text = place.says(&["stats"]);
        assert!(text.contains("5 tuples in 1 store at revision"), "{text}");
        for part in ["columns", "names", "retained snapshot", "write buffers", "block cache", "table readers"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let stats = place.json(0, &["stats"]);
        let bytes = |value: &serde_json::Value, name: &str| value[name].as_u64().unwrap();
        let store = &stats["stores"][0];
        let parts = ["snapshot_bytes", "write_buffer_bytes", "block_cache_bytes", "table_reader_bytes"];
        let sum = parts.iter().map(|part| bytes(&stats, part)).sum::<u64>();
        let index = bytes(store, "column_bytes") + bytes(store, "name_bytes");
        assert!(index > 0 && bytes(&stats, "write_buffer_bytes") > 0, "{stats}");
        assert_eq!(bytes(&stats, "memory_bytes"), index + sum);
        assert_eq!(stats["token"], place.json(0, &["check", "user:anne", "viewer", "document:1"])["token"]);
    });
}

#[test]
fn the_environment_names_the_place_of_imports_too() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("model.fga"), MODEL).unwrap();
    let server = serve(directory.path());
    let place = Place { directory: directory.path(), flags: vec!["--server".into(), server.grpc.clone()] };
    company(&place);
    place.says(&["store", "create", "other"]);
    let run = |arguments: &[&str], store: &str| {
        let mut command = program(directory.path());
        command.args(arguments).env("BAILIWICK_SERVER", &server.grpc).env("BAILIWICK_STORE", store).output().unwrap()
    };
    assert_eq!(run(&["export", "--output", "all.csv"], "docs").status.code(), Some(0));
    place.says(&["model", "write", "model.fga", "--store", "other"]);
    let imported = run(&["import", "all.csv"], "other");
    assert_eq!(imported.status.code(), Some(0), "{}", err(&imported));
    assert_eq!(place.says(&["tuple", "read", "--store", "other"]).lines().count(), 5);
    let nowhere = run(&["import", "all.csv"], "nowhere");
    assert!(err(&nowhere).contains("there is no store `nowhere`; `bailiwick store list`"), "{}", err(&nowhere));
    let fault = run(&["import", "model.fga"], "other");
    assert!(err(&fault).starts_with("error: model.fga: "), "{}", err(&fault));
}

#[test]
fn questions() {
    in_both_places(|place| {
        company(place);
        assert_eq!(place.says(&["check", "user:anne", "viewer", "document:1"]), "allow");
        assert_eq!(place.ends(1, &["check", "user:bob", "viewer", "document:2"]), "deny");
        let bob = ["check", "user:bob", "viewer", "document:1", "--with", "user:bob member group:eng"];
        assert_eq!(place.says(&bob), "allow");
        let carl = |hour: &'static str| ["check", "user:carl", "viewer", "document:1", "--context", hour];
        assert_eq!(place.says(&carl("{\"hour\": 10}")), "allow");
        assert_eq!(place.ends(1, &carl("{\"hour\": 23}")), "deny");
        assert_eq!(place.json(1, &carl("{\"hour\": 23}"))["allowed"], false);
        let without = place.output(&carl("{}"));
        assert_eq!(without.status.code(), Some(2), "a condition without its parameter is no answer");
        assert!(err(&without).contains("hour"), "{}", err(&without));

        assert_eq!(place.says(&["list-objects", "user:anne", "viewer", "document"]), "document:1\ndocument:2");
        let listed = place.json(0, &["list-objects", "user:anne", "viewer", "document"]);
        assert_eq!(listed["objects"], serde_json::json!(["document:1", "document:2"]));
        assert_eq!(place.says(&["list-users", "document:1", "editor", "user"]), "user:anne");
        assert_eq!(place.says(&["list-users", "document:1", "editor", "group#member"]), "group:eng#member");
        assert_eq!(place.json(0, &["list-users", "document:1", "editor", "user"])["users"][0], "user:anne");

        let tree = "document:1#viewer\n└─ difference\n   ├─ any of\n   │  ├─ tuples\n   │  │  └─ user:carl\n   │  └─ document:1#editor\n   \
                    └─ but not\n      └─ document:1#banned";
        assert_eq!(place.says(&["expand", "viewer", "document:1"]), tree);
        assert!(place.json(0, &["expand", "viewer", "document:1"])["tree"]["root"]["difference"].is_object());
    });
}

#[test]
fn tuples_and_changes() {
    in_both_places(|place| {
        company(place);
        let lines = place.says(&["tuple", "read"]);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("user:anne\tmember\tgroup:eng\t\t20"), "{}", lines[0]);
        assert!(lines[4].starts_with("user:carl\tviewer\tdocument:1\toffice_hours\t20"), "{}", lines[4]);
        let read = place.says(&["tuple", "read", "--object", "document:1", "--json"]);
        let read: Vec<serde_json::Value> = read.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1]["condition"]["name"], "office_hours");
        let of_anne = place.says(&["tuple", "read", "--user", "user:anne", "--object", "group:"]);
        assert_eq!(of_anne.lines().count(), 1);

        let twice = place.output(&["tuple", "write", "user:bob", "banned", "document:2"]);
        assert_eq!(twice.status.code(), Some(2));
        assert!(err(&twice).contains("--on-duplicate ignore"), "{}", err(&twice));
        place.says(&["tuple", "write", "user:bob", "banned", "document:2", "--on-duplicate", "ignore"]);

        let before =
            place.json(0, &["check", "user:anne", "viewer", "document:1"])["token"].as_str().unwrap().to_owned();
        let deleted = place.json(0, &["tuple", "delete", "user:anne", "member", "group:eng"]);
        let token = deleted["token"].as_str().unwrap();
        place.ends(1, &["check", "user:anne", "viewer", "document:1", "--at-least", token]);
        if place.flags[0] == "--server" {
            // A directory is opened anew by each command, and keeps no state before that.
            place.says(&["check", "user:anne", "viewer", "document:1", "--exactly", &before]);
        }
        let gone = place.output(&["tuple", "delete", "user:anne", "member", "group:eng"]);
        assert!(err(&gone).contains("--on-missing ignore"), "{}", err(&gone));
        place.says(&["tuple", "delete", "user:anne", "member", "group:eng", "--on-missing", "ignore"]);

        let changes = place.output(&["tuple", "changes"]);
        assert_eq!(out(&changes).lines().count(), 6);
        assert!(out(&changes).lines().last().unwrap().contains("\tdelete\tuser:anne\tmember\tgroup:eng"));
        let said = err(&changes);
        let after = said.trim().strip_prefix("later changes: --after ").unwrap();
        assert_eq!(place.says(&["tuple", "changes", "--after", after]), "");
        let typed = place.says(&["tuple", "changes", "--type", "group", "--json"]);
        let typed: Vec<serde_json::Value> = typed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(typed.iter().map(|c| c["operation"].as_str().unwrap()).collect::<Vec<_>>(), ["write", "delete"]);
    });
}

#[test]
fn more_than_a_page() {
    in_both_places(|place| {
        place.says(&["store", "create", "docs"]);
        place.says(&["model", "write", "model.fga"]);
        let directory = place.directory;
        let lines: Vec<String> =
            (0..250).map(|n| format!(r#"{{"user":"user:{n}","relation":"member","object":"group:eng"}}"#)).collect();
        std::fs::write(directory.join("tuples.jsonl"), lines.join("\n")).unwrap();
        if place.flags[0] == "--data" {
            place.says(&["import", "tuples.jsonl"]);
        } else {
            for n in 0..250 {
                place.says(&["tuple", "write", &format!("user:{n}"), "member", "group:eng"]);
            }
        }
        assert_eq!(place.says(&["tuple", "read"]).lines().count(), 250);
        assert_eq!(place.says(&["tuple", "changes"]).lines().count(), 250);
        assert_eq!(place.says(&["list-users", "group:eng", "member", "user"]).lines().count(), 250);
    });
}

#[test]
fn wrong_input_is_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("model.fga"), MODEL).unwrap();
    std::fs::write(directory.path().join("bad.fga"), "model\n  schema 1.1\ntype user\n  relations\n    define a: b\n")
        .unwrap();
    let place = Place { directory: directory.path(), flags: vec!["--data".into(), "db".into()] };
    company(&place);
    for (arguments, expect) in [
        (vec!["check", "anne", "viewer", "document:1"], "`anne` is not a subject; write it as `type:id`"),
        (vec!["check", "user:anne", "viewer", "document"], "`document` is not an object"),
        (vec!["check", "user:anne", "owner", "document:1"], "relation 'document#owner' not found"),
        (vec!["check", "user:anne", "viewer", "document:1", "--context", "{hour}"], "--context is no JSON object"),
        (
            vec!["check", "user:anne", "viewer", "document:1", "--with", "x"],
            "write --with 'user:anne member group:eng'",
        ),
        (vec!["check", "user:anne", "viewer", "document:1", "--store", "nope"], "`bailiwick store list` prints those"),
        (vec!["check", "user:anne", "viewer", "document:1", "--at-least", "!"], "token"),
        (vec!["list-objects", "user:anne", "viewer", "folder"], "folder"),
        (vec!["tuple", "write", "group:eng", "viewer", "document:1"], "not an allowed type restriction"),
        (vec!["tuple", "read", "--object", "document:"], "object"),
        (vec!["tuple", "changes", "--since", "yesterday"], "write it as 2026-01-01T00:00:00Z"),
        (vec!["model", "write", "bad.fga"], "b"),
        (vec!["model", "write", "missing.fga"], "missing.fga"),
    ] {
        let output = place.output(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", out(&output));
        let said = err(&output);
        assert!(said.starts_with("error: ") && said.contains(expect), "{arguments:?} says {said}");
        assert_eq!(out(&output), "", "{arguments:?}");
    }
    place.says(&["store", "create", "docs"]);
    let ambiguous = err(&place.output(&["check", "user:anne", "viewer", "document:1", "--store", "docs"]));
    assert!(ambiguous.contains("several stores are named `docs`; say which with --store ID"), "{ambiguous}");
    let several = err(&place.output(&["tuple", "read"]));
    assert!(several.contains("there are several stores; say which with --store ID"), "{several}");
}

#[test]
fn wrong_places_are_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let check = ["check", "user:anne", "viewer", "document:1"];
    let at = |flags: &[&str]| {
        let output = program(directory.path()).args(check).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", out(&output));
        err(&output)
    };
    let said = at(&["--server", &server.grpc]);
    assert!(said.contains("bailiwick store create NAME"), "{said}");
    let said = at(&["--data", "nowhere"]);
    assert!(said.contains("there is no database in `nowhere`; `bailiwick serve --data nowhere`"), "{said}");
    assert!(!directory.path().join("nowhere").exists());
    let said = at(&["--data", "db"]);
    assert_eq!(said, "error: cannot open `db`: another process has it open; stop that one first\n");
    let taken = ["serve", "--data", "other", "--http-addr", server.http.as_str(), "--grpc-addr", "127.0.0.1:0"];
    let taken = err(&program(directory.path()).args(taken).output().unwrap());
    assert!(taken.contains("stop what listens there, or say another --http-addr"), "{taken}");
    let said = at(&["--server", "http://127.0.0.1:1"]);
    assert!(said.contains("there is no server at http://127.0.0.1:1; start one with `bailiwick serve"), "{said}");
    let said = at(&["--server", &format!("http://{}", server.http)]);
    assert!(said.contains("give --server the gRPC address"), "{said}");
    let said = at(&["--server", "https://127.0.0.1:1"]);
    assert!(said.contains("there is no server at https://127.0.0.1:1"), "{said}");
    let said = at(&["--server", "https://127.0.0.1:1", "--client-cert", "none.pem"]);
    assert!(said.contains("say --client-key"), "{said}");
    let said = at(&["--server", "https://127.0.0.1:1", "--server-ca", "none.pem"]);
    assert!(said.contains("none.pem"), "{said}");
    let said = at(&["--server", "x", "--data", "db"]);
    assert!(said.contains("cannot be used with"), "{said}");
    let verify = program(directory.path()).args(["verify", "--server", &server.grpc]).output().unwrap();
    assert!(err(&verify).contains("stop the server and say --data DIR"), "{}", err(&verify));

    let short = program(directory.path()).args(["store", "create", "x", "--server", &server.grpc]).output().unwrap();
    assert!(err(&short).contains("a store's name has 3 to 64 letters"), "{}", err(&short));

    // The environment names a place as well; a flag wins over it.
    let by = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = program(directory.path());
        err(&command.args(check).args(flags).envs(variables.iter().copied()).output().unwrap())
    };
    let url = format!("http://{}", server.grpc);
    assert!(by(&[("BAILIWICK_SERVER", &url)], &[]).contains("bailiwick store create NAME"));
    assert!(by(&[("BAILIWICK_SERVER", &url)], &["--data", "nowhere"]).contains("no database in `nowhere`"));
    assert!(by(&[("BAILIWICK_SERVER", &url), ("BAILIWICK_DATA", "db")], &[]).contains("unset one"));
}

#[test]
fn a_stopped_server_leaves_a_clean_database() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("model.fga"), MODEL).unwrap();
    let server = serve(directory.path());
    let flags = vec!["--server".into(), server.grpc.clone()];
    company(&Place { directory: directory.path(), flags });
    assert_eq!(server.stop(), Some(0));
    let place = Place { directory: directory.path(), flags: vec!["--data".into(), "db".into()] };
    assert!(place.says(&["verify"]).starts_with("clean: 1 store and 5 tuples"));
    let verified = place.json(0, &["verify"]);
    assert_eq!((&verified["clean"], &verified["tuples"]), (&true.into(), &5.into()));
    assert!(place.says(&["stats"]).contains("5 tuples in 1 store"));
    let stats = place.json(0, &["stats"]);
    assert_eq!(stats["stores"][0]["tuples"], 5);
    assert!(stats["disk_bytes"].as_u64().unwrap() > 0);
}

fn config(directory: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program(directory);
    command.arg("config").args(flags).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn settings_say_where_they_come_from() {
    let directory = tempfile::tempdir().unwrap();
    let all = |flags: &[&str], variables: &[(&str, &str)]| -> serde_json::Value {
        let output = config(directory.path(), &[flags, &["--json"]].concat(), variables);
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_str(&out(&output)).unwrap()
    };
    assert_eq!(
        all(&[], &[])["resolve-node-limit"],
        serde_json::json!({"value": "25", "from": "default", "default": true})
    );
    std::fs::write(directory.path().join("bailiwick.yaml"), "resolveNodeLimit: 7\nhttp:\n  addr: 127.0.0.1:9\n")
        .unwrap();
    let file = all(&[], &[]);
    assert_eq!(file["resolve-node-limit"]["value"], "7");
    assert_eq!(file["http-addr"]["from"], "bailiwick.yaml:3");
    let variable = all(&[], &[("OPENFGA_RESOLVE_NODE_LIMIT", "8")]);
    assert_eq!(variable["resolve-node-limit"]["from"], "OPENFGA_RESOLVE_NODE_LIMIT");
    let ours = all(&[], &[("OPENFGA_RESOLVE_NODE_LIMIT", "8"), ("BAILIWICK_RESOLVE_NODE_LIMIT", "9")]);
    assert_eq!(ours["resolve-node-limit"]["value"], "9");
    let flag = all(&["--resolve-node-limit", "10", "--insecure-listen"], &[("BAILIWICK_RESOLVE_NODE_LIMIT", "9")]);
    assert_eq!(flag["resolve-node-limit"]["from"], "--resolve-node-limit");
    assert_eq!(flag["insecure-listen"]["value"], "true");
    assert_eq!(all(&["--listObjects-max-results", "3"], &[])["list-objects-max-results"]["value"], "3");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wrong.yaml"), "sync: true\nhttp-adr: 127.0.0.1:1\n").unwrap();
    for (flags, variables, expect) in [
        (
            vec!["--config", "wrong.yaml"],
            vec![],
            "wrong.yaml:2: there is no setting `http-adr`; did you mean `http-addr`?",
        ),
        (vec!["--config", "none.yaml"], vec![], "cannot read `none.yaml`"),
        (
            vec!["--http-addr", "example.com:80"],
            vec![],
            "--http-addr: `example.com:80` does not do for `http-addr`; write an address",
        ),
        (
            vec![],
            vec![("BAILIWICK_REQUEST_TIMEOUT", "3")],
            "BAILIWICK_REQUEST_TIMEOUT: `3` does not do for `request-timeout`",
        ),
        (vec!["--authn-method", "oidc"], vec![], "tokens of another issuer (`oidc`) are not taken"),
        (vec!["--authn-oidc-issuer", "https://id.example"], vec![], "use `authn-method` preshared"),
        (vec![], vec![("OPENFGA_GRPC_TLS_ENABLED", "true")], "say `tls-cert` and `tls-key`"),
        (vec!["--nonsense"], vec![], "unexpected argument"),
    ] {
        let output = config(directory.path(), &flags, &variables);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(err(&output).contains(expect), "{flags:?} says {}", err(&output));
    }
    let open = program(directory.path()).args(["serve", "--data", "db", "--http-addr", ":0"]).output().unwrap();
    assert!(err(&open).contains("add --insecure-listen if you mean it"), "{}", err(&open));
    assert!(!directory.path().join("db").exists(), "what is refused leaves nothing behind");
    std::fs::write(directory.path().join("none.pem"), "no certificate").unwrap();
    for (flag, value, expect) in [
        ("--outgoing-allow", "10.1.0.0/33", "`10.1.0.0/33` is no network, address or host"),
        ("--outgoing-authorities", "none.pem", "give one authority or more in PEM"),
        ("--authn-method", "preshared", "say 1 to 64 preshared keys"),
        ("--authn-preshared-keys", "a-key-of-sixteen", "set `authn-method` to preshared"),
        ("--tls-cert", "none.pem", "`tls-cert` is set and `tls-key` is not"),
        ("--tls-key", "none.pem", "`tls-key` is set and `tls-cert` is not"),
        ("--tls-client-ca", "none.pem", "`tls-client-ca` is set and `tls-cert` is not"),
        ("--identity-client-ca", "none.pem", "`identity-client-ca` is set and `tls-cert` is not"),
        ("--identity-mtls-addr", ":0", "say --tls-cert and --tls-key"),
        ("--outgoing-authorities", "nowhere.pem", "nowhere.pem"),
        ("--outgoing-connect-timeout", "0s", "say a longer time"),
    ] {
        let output = program(directory.path()).args(["serve", "--data", "db", flag, value]).output().unwrap();
        assert!(err(&output).contains(expect), "{flag} {value}: {}", err(&output));
        assert!(!directory.path().join("db").exists(), "what is refused leaves nothing behind");
    }
    let nowhere = program(directory.path()).arg("serve").output().unwrap();
    assert!(err(&nowhere).contains("Say --data DIR"), "{}", err(&nowhere));
}

#[test]
fn openfga_users_start_it_as_they_are_used_to() {
    let directory = tempfile::tempdir().unwrap();
    let variables =
        [("OPENFGA_HTTP_ADDR", "127.0.0.1:0"), ("OPENFGA_GRPC_ADDR", "localhost:0"), ("OPENFGA_LOG_FORMAT", "json")];
    let arguments =
        ["run", "--playground-enabled=false", "--datastore-engine", "memory", "--max-tuples-per-write", "50"];
    let server = Server::start(directory.path(), &arguments, &variables);
    assert!(directory.path().join("bailiwick-data/CURRENT").exists());
    let place = Place { directory: directory.path(), flags: vec!["--server".into(), server.grpc.clone()] };
    assert_eq!(place.says(&["store", "create", "docs"]).len(), 26);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_page_of_settings_is_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let printed = out(&config(directory.path(), &["--markdown"], &[]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page == printed,
        "docs/config.md is not what the table says; run `bailiwick config --markdown > docs/config.md`"
    );
}

#[test]
fn every_command_explains_itself() {
    let directory = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        let output = program(directory.path()).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let text = out(&output);
        assert!(!text.contains('\u{1b}'), "colours for a pipe: {text}");
        text
    };
    let main = help(&[]);
    assert!(main.contains("bailiwick serve --data ./data"));
    let commands =
        ["serve", "run", "config", "store", "model", "tuple", "check", "list-objects", "list-users", "expand"];
    for command in commands.iter().chain(&["verify", "stats", "completions", "collection", "chunk", "search"]) {
        assert!(help(&[command]).contains("Example"), "{command} has no example");
    }
    for command in ["write", "delete", "read", "changes"] {
        assert!(help(&["tuple", command]).contains("Example"), "tuple {command} has no example");
    }
    for (of, command) in [("create", "collection"), ("list", "collection"), ("show", "collection"), ("import", "chunk")]
    {
        assert!(help(&[command, of]).contains("Example"), "{command} {of} has no example");
    }
    for command in ["get", "list", "delete"] {
        assert!(help(&["chunk", command]).contains("Example"), "chunk {command} has no example");
    }
    assert!(!help(&["serve"]).contains("playground"), "what means nothing is not advertised");
}

#[test]
fn shells_are_helped() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = program(directory.path()).args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(out(&output).contains("list-objects") && out(&output).contains("resolve-node-limit"), "{shell}");
    }
}

#[test]
fn the_demonstration_is_right_and_readable() {
    let directory = tempfile::tempdir().unwrap();
    let output = program(directory.path()).arg("demo").output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("deny   user:carl     document:plan"), "{text}");
    assert!(text.contains("user:visitor  sees 1 section  "), "{text}");
    assert!(!text.contains("WRONG") && !text.contains('\u{1b}'), "{text}");
    // The path of the program at the end is as long as it is.
    let wide = text.lines().filter(|l| !l.contains("serve --data")).find(|l| l.chars().count() > 100);
    assert_eq!(wide, None);
}
