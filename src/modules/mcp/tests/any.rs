//! Any head of a request, and anything that a server says. In place of fuzz targets, which compile no engine and no tokens.

use super::http::guard;
use super::*;
use ::http::{HeaderName, HeaderValue, Request as Head};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const NAMES: [&str; 5] = ["authorization", "dpop", "host", "origin", "accept"];
const VALUES: [&str; 18] = [
    "Bearer sarah/sales",
    "bearer sarah/sales",
    "DPoP sarah/sales",
    "Bearer  sarah/sales ",
    "Bearer",
    "Bearer a b",
    "Basic YTpi",
    "Bearer \u{7f}",
    "proof",
    "mcp.example.com",
    "MCP.example.com",
    "evil.example",
    "mcp.example.com:443",
    "https://mcp.example.com",
    "https://app.example.com",
    "https://evil.example",
    "null",
    "",
];

#[test]
fn any_head_is_admitted_by_its_one_token_or_not_at_all() {
    let guard = guard(GuardSpec { origins: vec!["https://app.example.com".into()], ..GuardSpec::default() });
    let value = prop_oneof![
        prop::sample::select(&VALUES[..]).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let headers = prop::collection::vec((prop::sample::select(&NAMES[..]), value), 0..6);
    let query = prop::sample::select(&["", "?a=b", "?access_token=x", "?a&access%5Ftoken=x", "?%"][..]);
    let run = TestRunner::default().run(&(any::<bool>(), headers, query), |(good, headers, query)| {
        let mut head = Head::post(format!("/crm{query}")).body(()).unwrap().into_parts().0;
        if good {
            head.headers.insert("host", HeaderValue::from_static("mcp.example.com"));
            head.headers.insert("authorization", HeaderValue::from_static("Bearer sarah/sales"));
        }
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                head.headers.append(HeaderName::from_static(name), value);
            }
        }
        let all = |name: &str| head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        match guard.admit(&head, Timestamp(NOW.0 + 1)) {
            Ok(judged) => {
                prop_assert_eq!(judged.subject.to_string(), "user:sarah");
                prop_assert_eq!((all("authorization").len(), all("host").len()), (1, 1));
                prop_assert!(all("authorization")[0].to_ascii_lowercase().ends_with(b"sarah/sales"), "{:?}", head);
                prop_assert!(all("host")[0].eq_ignore_ascii_case(b"mcp.example.com") && all("dpop").len() <= 1);
                let own: [&[u8]; 2] = [b"https://mcp.example.com", b"https://app.example.com"];
                prop_assert!(all("origin").iter().all(|origin| own.contains(origin)));
                prop_assert!(!query.contains("token"), "{}", query);
            }
            Err(denial) => {
                let answer = guard.refuse(&denial, &[]);
                prop_assert!([400, 401, 403].contains(&answer.status().as_u16()), "{:?}", denial);
            }
        }
        Ok(())
    });
    run.unwrap();
}

const SAID: [&str; 26] = [
    r#""jsonrpc":"2.0""#,
    r#""id":1"#,
    r#""id":2"#,
    r#""ID":1"#,
    r#""id":null"#,
    r#""method":"notifications/progress""#,
    r#""method":"sampling/createMessage""#,
    r#""METHOD":"sampling/createMessage""#,
    r#""method":"notifications/resources/updated""#,
    r#""params":{"uri":"crm://accounts/globex"}"#,
    r#""params":{"uri":"crm://accounts/acme"}"#,
    r#""error":{"code":-1,"message":"x"}"#,
    r#""result":{"tools":[{"name":"get_account"},{"name":"delete_all"},{"name":"unknown"},7,{"name":"weather"}]}"#,
    r#""result":{"tools":[],"tools":[{"name":"delete_all"}]}"#,
    r#""result":{"tools":{"name":"delete_all"}}"#,
    r#""result":{"inputRequests":{"a":{"method":"elicitation/create"}}}"#,
    r#""result":{"inputRequests":{"a":{"method":"roots/list"}}}"#,
    r#""result":{"cacheScope":"public"}"#,
    r#""result":[]"#,
    r#""reſult":{"tools":[{"name":"delete_all"}]}"#,
    "{",
    "}",
    "7",
    "\"\"",
    "é",
    "\"x\":{}",
];

#[test]
fn a_server_shows_no_more_than_the_caller_may_see_whatever_it_says() {
    let world = World::new();
    let asked = request("tools/list", &json!({}));
    let own = ["roots/list".to_owned()];
    let said = prop::collection::vec(prop::sample::select(&SAID[..]), 0..6);
    let run = TestRunner::default().run(&(said, ".{0,40}"), |(said, other)| {
        let said = format!("{{{}}}", said.join(","));
        for text in [said.as_str(), &other] {
            let passed = match filtered(&world, &asked, &own, text) {
                Ok(Said::Asis) => serde_json::from_str::<serde_json::Value>(text).unwrap(),
                Ok(Said::Changed(value)) => value,
                Ok(Said::Dropped) => continue,
                Err(code) => {
                    prop_assert!([DENIED, INTERNAL_ERROR].contains(&code));
                    continue;
                }
            };
            let tools = passed.pointer("/result/tools").and_then(serde_json::Value::as_array).into_iter().flatten();
            for tool in tools {
                prop_assert!(["get_account", "weather"].contains(&tool["name"].as_str().unwrap()), "{}", text);
            }
            prop_assert!(passed.get("method").is_none_or(|method| method != "sampling/createMessage"), "{}", text);
            prop_assert!(!text.contains("elicitation/create"), "{}", text);
            prop_assert!(
                passed.get("result").is_none_or(|result| result.get("cacheScope").is_none_or(|s| s == "private"))
            );
            let updated = passed.get("method").is_some_and(|method| method == "notifications/resources/updated");
            prop_assert!(!updated || passed["params"]["uri"] == "crm://accounts/acme", "{}", text);
        }
        Ok(())
    });
    run.unwrap();
}
