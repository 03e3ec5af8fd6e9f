//! The registry of agents: what other systems report.

use crate::pick::{Pick, words};
use bailiwick_fuzz::modules::agent::{ACCOUNT_SCOPES_MAX, ACCOUNTS_PER_REPORT_MAX, NAME_BYTES_MAX, Report, check, title};
use serde_json::{Value, json};

/// A report that is taken is within its bounds, says nothing that hides, and is kept as it was said.
#[test]
fn account_reports() {
    const WORDS: [&str; 22] = [
        "{", "}", "[", "]", ",", "\"system\":\"crm.example\"", "\"system\":\"CRM\"", "\"accounts\":[", "\"account\":\"svc-1\"",
        "\"account\":\"\"", "\"kind\":\"api_key\"", "\"kind\":\"robot\"", "\"name\":\"a\\u0000\"", "\"scopes\":[\"a\"]", "\"client_id\":\"x\"",
        "\"created_at\":1", "\"created_at\":-1", "\"last_used_at\":18446744073709551615", "\"x\":1", "null", "\"\\n\"", "\"é\"",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let texts = ["svc-1", "", " ", "a\u{0}b", "\n", "é", "crm.read", "x"];
        let long = "é".repeat(usize::from(pick.byte()));
        let count = if pick.once_in(16) { ACCOUNTS_PER_REPORT_MAX + pick.below(2) } else { pick.below(4) };
        let accounts: Vec<Value> = (0..count)
            .map(|_| {
                let text = |pick: &mut Pick<'_>| if pick.once_in(4) { long.clone() } else { pick.of(&texts).to_owned() };
                let scopes = if pick.once_in(8) { ACCOUNT_SCOPES_MAX + pick.below(2) } else { pick.below(4) };
                json!({"account": text(&mut pick), "name": text(&mut pick), "created_by": text(&mut pick),
                    "scopes": (0..scopes).map(|_| text(&mut pick)).collect::<Vec<_>>(),
                    "kind": pick.of(&["service_account", "oauth_app", "api_key"])})
            })
            .collect();
        let made = json!({"system": pick.of(&["crm.example", "crm", "", "CRM", "a b", "[::1]"]), "accounts": accounts});
        for text in [made.to_string(), words(input, &WORDS), String::from_utf8_lossy(input).into_owned()] {
            let Ok(report) = serde_json::from_str::<Report>(&text) else { continue };
            let written = serde_json::to_string(&report).expect("JSON");
            assert_eq!(serde_json::from_str::<Report>(&written).expect("our own"), report);
            match check(&report) {
                Ok(()) => {
                    assert!(report.accounts.len() <= 100 && (1..=128).contains(&report.system.len()));
                    assert!(report.system.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
                    for account in &report.accounts {
                        let texts = [&account.account, &account.name].into_iter().chain(&account.scopes).chain(&account.created_by);
                        assert!(texts.chain(&account.client_id).all(|text| {
                            text.len() <= 256 && !text.chars().any(|c| c.is_control() && c != '\n')
                        }));
                        let title = title(account);
                        assert!(!title.trim().is_empty() && title.len() <= NAME_BYTES_MAX && account.scopes.len() <= 64);
                    }
                }
                Err(refusal) => assert_eq!(refusal.rule, "report.form"),
            }
        }
    });
}
