//! The commands about identities: from nothing to a server that gives a token, and what is said to who does it wrong.

use crate::cli::{err, out, program};
use crate::identity::send;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

const API: &str = "https://api.example/";

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = program(directory);
    command.args(arguments);
    let ours = ["tenant", "user", "client", "resource"];
    if ours.contains(&arguments[0]) {
        command.args(["--data", "bailiwick-data", "--identity-key-ring", "bailiwick.keys"]);
    }
    command.output().unwrap()
}

#[track_caller]
fn good(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", out(&output), err(&output));
    out(&output)
}

#[track_caller]
fn json(directory: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&good(directory, &[arguments, &["--json"]].concat())).unwrap()
}

#[track_caller]
fn refused(directory: &Path, arguments: &[&str], says: &str) {
    let output = run(directory, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", out(&output));
    assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
}

#[test]
fn what_init_wrote_tells_the_other_commands_where() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    good(directory, &["init", "--issuer", "https://id.example", "--admin", "admin@example.com"]);
    // `run` says the place to these when it can; `program` says nothing.
    let said = |arguments: &[&str]| program(directory).args(arguments).output().unwrap();
    for arguments in [&["user", "list"][..], &["audit", "key", "--create", "id.example/audit"]] {
        let output = said(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    }
    let elsewhere = said(&["user", "list", "--server", "http://127.0.0.1:1"]);
    assert!(err(&elsewhere).contains("say --data DIR"), "{}", err(&elsewhere));
    std::fs::write(directory.join("bailiwick.yaml"), "dta: x\n").unwrap();
    assert!(err(&said(&["user", "list"])).contains("no setting `dta`"));
    std::fs::remove_file(directory.join("bailiwick.yaml")).unwrap();
    assert!(err(&said(&["user", "list"])).contains("--identity-key-ring"));
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn from_nothing_to_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let address = format!("127.0.0.1:{}", port());
    let issuer = format!("http://{address}/t/main");
    let made = json(directory, &["init", "--issuer", &issuer, "--admin", "admin@example.com"]);
    assert_eq!((made["tenant"].as_str(), made["issuer"].as_str()), (Some("main"), Some(issuer.as_str())));
    assert!(made["link"].as_str().unwrap().starts_with(&format!("{issuer}/invite?code=")));
    let mode = std::fs::metadata(directory.join("bailiwick.keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    refused(directory, &["init", "--issuer", &issuer, "--admin", "admin@example.com"], "already");

    let read = "read=Read it";
    good(directory, &["resource", "create", API, "--id", "api", "--scope", read]);
    let create = ["client", "create", "--id", "bot", "--kind", "agent", "--grant-type", "client_credentials"];
    let what = ["--scope", "read", "--resource", API, "--name", "A bot"];
    let bot = json(directory, &[&create[..], &what].concat());
    let secret = bot["client_secret"].as_str().unwrap();
    assert!(bot["secrets"][0].get("hash").is_none());
    let shown = json(directory, &["client", "show", "bot"]);
    assert!(shown["active"].as_bool().unwrap() && !shown.to_string().contains(secret));
    let more = good(directory, &["client", "add-secret", "bot", "--life", "3600"]);
    assert_ne!(more.trim(), secret);
    let user = good(directory, &["user", "create", "sarah@example.com", "--name", "Sarah Chen"]);
    let sarah = json(directory, &["user", "show", "Sarah@example.com"]);
    assert_eq!((sarah["id"].as_str(), sarah["claims"]["name"].as_str()), (Some(user.trim()), Some("Sarah Chen")));
    assert_eq!(sarah["administrator"], false);
    assert_eq!(json(directory, &["user", "show", "admin@example.com"])["administrator"], true);
    good(directory, &["user", "suspend", "sarah@example.com"]);
    assert_eq!(json(directory, &["user", "show", "sarah@example.com"])["active"], false);
    good(directory, &["user", "resume", "sarah@example.com"]);
    assert_eq!(json(directory, &["tenant", "show"])["keys"][0]["state"], "current");
    // The stores that people make are not those of tenants.
    assert_eq!(good(directory, &["store", "list", "--data", "bailiwick-data"]), "");

    // The settings that `init` wrote are those of the server.
    let mut serve = program(directory);
    serve.args(["serve", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--identity-addr", &address]);
    let mut serving = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.trim_end().ends_with(&format!(", issuers on {address}")), "{line}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = |secret: &str| format!("grant_type=client_credentials&scope=read&client_id=bot&client_secret={secret}");
    let ask = |secret: &str| send(address.parse().unwrap(), &address, "POST", "/t/main/token", &form, &body(secret));
    let unregistered = ask(secret);
    assert_eq!(unregistered.status, 401, "a secret in the body is not how this client shows who it is");
    serving.kill().unwrap();
    serving.wait().unwrap();

    good(directory, &["client", "set", "bot", "--auth", "client_secret_post"]);
    let mut serving = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    for secret in [secret, more.trim()] {
        let answer = ask(secret);
        assert_eq!((answer.status, answer.json()["scope"].as_str()), (200, Some("read")), "{}", answer.body);
    }
    assert_eq!(ask("wrong").status, 401);
    serving.kill().unwrap();
    serving.wait().unwrap();
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let issuer = "http://127.0.0.1:9/";
    refused(directory, &["tenant", "list"], "bailiwick.keys");
    let tenant = program(directory).args(["tenant", "list", "--data", "x"]).output().unwrap();
    assert!(err(&tenant).contains("--identity-key-ring"), "{}", err(&tenant));
    refused(directory, &["tenant", "list"], "`bailiwick init` makes the first");
    refused(directory, &["init", "--issuer", "http://id.example", "--admin", "a"], "https");
    refused(directory, &["init", "--issuer", issuer, "--admin", "a", "--tenant", "One"], "small letters");
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "what cannot be leaves nothing behind");
    good(directory, &["init", "--issuer", issuer, "--admin", "a", "--tenant", "one"]);
    refused(directory, &["tenant", "create", "two", "--issuer", issuer], "already");
    good(directory, &["tenant", "create", "two", "--issuer", "http://127.0.0.1:9/two"]);
    assert_eq!(good(directory, &["tenant", "list"]), format!("one\t{issuer}\ntwo\thttp://127.0.0.1:9/two\n"));
    refused(directory, &["user", "list"], "--tenant");
    refused(directory, &["user", "list", "--tenant", "three"], "no tenant `three`");
    refused(directory, &["user", "show", "b", "--tenant", "one"], "no user `b`");
    refused(directory, &["client", "show", "b", "--tenant", "one"], "no client `b`");
    let create = ["client", "create", "--tenant", "one", "--redirect-uri", "http://evil.example/"];
    refused(directory, &create, "redirect URI");
    let create = ["client", "create", "--tenant", "one", "--grant-type", "nonsense"];
    refused(directory, &create, "`nonsense` is no grant type that is served here; write one of authorization_code");
    // The log of a tenant, by its name as in other commands.
    let audit = |more: &[&str]| {
        program(directory)
            .args(["audit", "list", "--data", "bailiwick-data", "--limit", "1"])
            .args(more)
            .output()
            .unwrap()
    };
    let of = |tenant: &str| out(&audit(&["--tenant", tenant]));
    assert!(!of("two").is_empty() && of("two") == of("2") && of("two") != of("one"), "{}", of("two"));
    assert!(err(&audit(&["--tenant", "three"])).contains("no tenant `three`"));
    assert!(err(&audit(&[])).contains("say which with --tenant NAME"));
    refused(directory, &["user", "delete", "a", "--tenant", "one"], "--yes");
    refused(
        directory,
        &["user", "delete", "a", "--tenant", "one", "--yes"],
        "is the last administrator; make another one",
    );
    good(directory, &["user", "create", "b", "--tenant", "one", "--admin"]);
    good(directory, &["user", "delete", "a", "--tenant", "one", "--yes"]);
    std::fs::set_permissions(directory.join("bailiwick.keys"), std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(directory, &["tenant", "list"], "chmod 600");
}
