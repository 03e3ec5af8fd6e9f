//! Our own server: what user and agent may see, and how each version of the protocol is spoken.

use super::*;

// FGA-0, MCPP-4: the nearest of what both may see.
#[tokio::test]
async fn search_finds_what_user_and_agent_may_see() {
    let world = World::new();
    let router = own(&world);
    let search = |token: &str, k: usize| {
        call(token, "tools/call", json!({"name": "search", "arguments": {"vector": [1.0, 0.0, 0.0], "k": k}}))
    };
    let ids = |answer: &Answer| -> Vec<String> {
        let value = answer.json();
        let hits = value["result"]["structuredContent"]["hits"].as_array().unwrap_or_else(|| panic!("{value}")).clone();
        hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    };
    let answer = ask(&router, search("sarah/sales", 10)).await;
    assert_eq!(ids(&answer), ["q1", "h1", "h2"], "neither what the user alone nor what the agent alone may see");
    let hit = &answer.json()["result"]["structuredContent"]["hits"][0];
    assert_eq!((&hit["uri"], &hit["text"]), (&json!("docs://q1%20plan"), &json!("the text of q1")));
    assert_eq!(ids(&ask(&router, search("sarah/-", 10)).await), ["s1", "q1", "h1", "h2"]);
    assert_eq!(ids(&ask(&router, search("bob/sales", 1)).await), ["h1"]);
    world.delete("document:q1%20plan", "viewer", "agent:sales");
    assert_eq!(ids(&ask(&router, search("sarah/sales", 1)).await), ["h1"], "at the next call");
    let event = world.events().into_iter().rev().find(|event| event.get_action() == Some("search")).unwrap();
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    // What is wrong with a call is told to the model.
    for (arguments, why) in [
        (json!({}), "give `query` or `vector`"),
        (json!({"query": "plans"}), "embedding endpoint"),
        (json!({"vector": [1.0]}), "has 1 elements"),
        (json!({"vector": [1.0, 0.0, 0.0], "collection": "secrets"}), "no such collection"),
        (json!({"vector": [1.0, 0.0, 0.0], "k": 1_000}), "1 to 50"),
        (json!({"vector": [1.0, 0.0, 0.0], "user": "user:admin"}), "unknown field"),
    ] {
        let answer =
            ask(&router, call("sarah/sales", "tools/call", json!({"name": "search", "arguments": arguments}))).await;
        let result = &answer.json()["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["isError"] == true && text.contains(why), "{why}: {text}");
    }
}

// F-3.2a, F-3.2b, F-3.3a, F-3.3b.
#[tokio::test]
async fn resources_are_listed_and_read_by_check() {
    let world = World::new();
    let router = own(&world);
    let listed = |token: &'static str| {
        let router = router.clone();
        async move {
            let value = ask(&router, call(token, "resources/list", json!({}))).await.json();
            let list = value["result"]["resources"].as_array().unwrap_or_else(|| panic!("{value}")).clone();
            assert_eq!((&value["result"]["cacheScope"], &value["result"]["ttlMs"]), (&json!("private"), &json!(0)));
            list.iter().map(|item| item["uri"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed("sarah/sales").await, ["docs://handbook", "docs://q1%20plan"]);
    assert_eq!(listed("sarah/-").await, ["docs://handbook", "docs://q1%20plan", "docs://salaries"]);
    let read = |uri: &str| call("sarah/sales", "resources/read", json!({"uri": uri}));
    let answer = ask(&router, read("docs://handbook")).await.json();
    assert_eq!(answer["result"]["contents"][0]["text"], "the text of h1\n\nthe text of h2");
    let denied = ask(&router, read("docs://salaries")).await;
    assert_eq!(denied.json()["error"]["code"], -32_001);
    assert!(!String::from_utf8_lossy(&denied.body).contains("text of"), "its text never left");
    assert_eq!(ask(&router, read("docs://unheard-of")).await.json()["error"]["code"], -32_001, "as if it were denied");
    let missing = ask(&router, read("pricing://executive-discounts")).await.json();
    assert_eq!(
        (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
        (&json!(-32_602), &json!("pricing://executive-discounts"))
    );
    let old = ask(&router, old("sarah/sales", "2025-06-18", "resources/read", &json!({"uri": "x://y"}))).await.json();
    assert_eq!(old["error"]["code"], -32_002, "as older versions have it");
    let templates = ask(&router, call("sarah/sales", "resources/templates/list", json!({}))).await.json();
    assert_eq!(templates["result"]["resourceTemplates"][0]["uriTemplate"], "docs://{id}");
}

// MCPM-3: a missing scope is asked for.
#[tokio::test]
async fn a_missing_scope_is_a_403_that_names_it() {
    let world = World::new();
    let router = own(&world);
    let poor = "sarah/sales/mcp.crm.read";
    let search = json!({"name": "search", "arguments": {"vector": [1.0, 0.0, 0.0]}});
    for request in [call(poor, "tools/call", search), call(poor, "resources/read", json!({"uri": "docs://handbook"}))] {
        let answer = ask(&router, request).await;
        assert_eq!(answer.status, 403);
        let challenge = answer.challenge().join("");
        assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:docs:read\""));
        assert!(challenge.contains("resource_metadata="), "{challenge}");
    }
}

// The three versions of the protocol.
#[tokio::test]
async fn each_version_is_spoken_its_own_way() {
    let world = World::new();
    let router = own(&world);
    for version in ["2025-11-25", "2025-06-18"] {
        let hello =
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello});
        let answer = ask(&router, post_to(Some("sarah/sales"), &[], &body)).await.json();
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "bailiwick");
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer =
            ask(&router, post_to(Some("sarah/sales"), &[("mcp-protocol-version", version)], &initialized)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0));
        let answer = ask(&router, old("sarah/sales", version, "tools/list", &json!({}))).await.json();
        assert_eq!(answer["result"]["tools"][0]["name"], "search");
        assert!(answer["result"].get("resultType").is_none(), "{answer}");
        assert_eq!(ask(&router, old("sarah/sales", version, "ping", &json!({}))).await.json()["result"], json!({}));
    }
    let answer = ask(&router, call("sarah/sales", "server/discover", json!({}))).await.json();
    let mut versions = answer["result"]["supportedVersions"].as_array().unwrap().clone();
    versions.sort_by_key(|version| std::cmp::Reverse(version.as_str().unwrap().to_owned()));
    assert_eq!(json!(versions), json!(VERSIONS));
    let answer = ask(&router, call("sarah/sales", "tools/list", json!({}))).await.json();
    assert_eq!(answer["result"]["resultType"], "complete");
    let unknown = ask(&router, old("sarah/sales", "2099-01-01", "tools/list", &json!({}))).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["error"]["code"]), (400, &json!(-32_022)));
    for method in ["GET", "DELETE", "PUT"] {
        let request = Request::builder().method(method).uri("/crm").header("host", "mcp.example.com");
        let request = request.header("authorization", "Bearer sarah/sales").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, request).await.status, 405, "{method}");
    }
}

// What 2026-07-28 has no more is no method of it, at our own server and through the gateway, and goes nowhere.
#[tokio::test]
async fn a_method_that_the_version_does_not_have_is_not_found() {
    let world = World::new();
    let stub = Stub::default();
    let uri = json!({"uri": "docs://handbook"});
    for router in [own(&world), gateway(&world, &stub)] {
        for (method, params) in [
            ("initialize", json!({"protocolVersion": MODERN, "capabilities": {}})),
            ("ping", json!({})),
            ("logging/setLevel", json!({"level": "debug"})),
            ("resources/subscribe", uri.clone()),
            ("resources/unsubscribe", uri.clone()),
            ("tasks/list", json!({})),
            ("no/such", json!({})),
        ] {
            let answer = ask(&router, call("sarah/sales", method, params)).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (404, &json!(-32_601)), "{method}");
            assert_eq!(answer.json()["id"], 1, "{method}");
        }
    }
    assert!(stub.seen.lock().is_empty());
    // In a version that has sessions a 404 would say that the session is over.
    let answer = ask(&own(&world), old("sarah/sales", "2025-11-25", "no/such", &json!({}))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (200, &json!(-32_601)));
}

#[tokio::test]
async fn developers_ask_for_themselves_alone() {
    let world = World::new();
    let router = own(&world);
    let tool =
        |name: &str, arguments: Value| call("sarah/sales", "tools/call", json!({"name": name, "arguments": arguments}));
    let allowed = |answer: Answer| answer.json()["result"]["structuredContent"]["allowed"].clone();
    for (object, expected) in
        [("document:handbook", true), ("document:salaries", false), ("document:agent-notes", false)]
    {
        let asked = tool("check", json!({"object": object, "relation": "viewer"}));
        assert_eq!(allowed(ask(&router, asked).await), expected, "{object}");
    }
    let listed = ask(&router, tool("list_objects", json!({"type": "account", "relation": "viewer"}))).await.json();
    assert_eq!(listed["result"]["structuredContent"]["objects"], json!(["account:acme"]));
    let wrong = ask(&router, tool("check", json!({"object": "document:a", "relation": "flies"}))).await.json();
    assert_eq!(wrong["result"]["isError"], true);
}
