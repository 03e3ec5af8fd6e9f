//! kill -9 while tokens are issued: there is no token that the database does not know. Whoever was given one before the end
//! can use it after, and the log has it.

use crate::elsewhere::Furnished;
use crate::vault_crash::{ask, serve};
use bailiwick::identity::{EventKind, TokenKind, unverified_claim};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often the process is killed, and how many tokens it has given since it was started.
const KILLS: usize = 3;
const ISSUED: usize = 40;
const CALLERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);
const API: &str = "https://api.example/";

fn furnish(db: &Furnished) -> String {
    db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
    let create = ["client", "create", "--id", "worker", "--kind", "agent", "--auth", "client_secret_post"];
    let what = ["--grant-type", "client_credentials", "--scope", "read", "--resource", API];
    db.json(&[&create[..], &what].concat())["client_secret"].as_str().unwrap().to_owned()
}

#[test]
fn whoever_was_given_a_token_before_the_end_can_use_it_after() {
    let db = Furnished::new();
    let secret = furnish(&db);
    let form =
        format!("grant_type=client_credentials&client_id=worker&client_secret={secret}&scope=read&resource={API}");
    let head = "POST /token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
    let tokens: Mutex<Vec<String>> = Mutex::default();
    for kill in 1..=KILLS {
        let (mut child, at) = serve(&db);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    while let Ok(answer) = ask(at, &db.issuer, head, &form) {
                        // Cut off in the middle it is none.
                        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                        let Ok(answer) = serde_json::from_str::<Value>(body) else { continue };
                        tokens.lock().unwrap().push(answer["access_token"].as_str().unwrap().to_owned());
                    }
                });
            }
            let begun = Instant::now();
            while tokens.lock().unwrap().len() < kill * ISSUED {
                assert!(begun.elapsed() < PATIENCE, "tokens are not issued");
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
        });
    }

    let serving = db.serve();
    let issued = serving.events().into_iter().filter(|event| event.kind() == EventKind::TokenIssued);
    let issued: HashSet<String> = issued.filter_map(|event| event.get_token().map(str::to_owned)).collect();
    let tokens = tokens.into_inner().unwrap();
    assert!(tokens.len() >= KILLS * ISSUED);
    for token in &tokens {
        let examined = serving.tenant.examine(token, TokenKind::Access, Some(API), &crate::identity::env());
        assert!(examined.is_ok(), "{examined:?}");
        assert!(issued.contains(&unverified_claim(token, "jti").unwrap()), "the log does not have it");
    }
}
