//! Tokens that an identity assertion gets: for one person and one agent, once however many callers, and no longer than they live.

use super::stub::Stub;
use super::*;
use crate::identity::{Outcome, TokenKind};
use crate::modules::vault::asserted::{Got, Key, TOKENS_MAX, TOKENS_PER_PAIR_MAX, TOKENS_PER_TENANT_MAX, Tokens};
use parking_lot::Mutex;

/// Asserts whatever it is told to.
#[derive(Default)]
struct Asserts {
    says: Mutex<String>,
    refuses: Mutex<Option<(ErrorCode, &'static str)>>,
    /// What the refusal is when it is made, and not before.
    refuses_late: Mutex<Option<(ErrorCode, &'static str)>>,
    approved_until: Mutex<Option<u64>>,
    made: AtomicUsize,
}

fn refusal_of(told: &Mutex<Option<(ErrorCode, &'static str)>>) -> Answer<()> {
    match *told.lock() {
        Some((error, text)) => Err(Refusal::new(error, "test.refuses", text)),
        None => Ok(()),
    }
}

impl Assertions for Asserts {
    fn judge(&self, _: &Tenant, wanted: &WantedAssertion<'_>, _: &Env<'_>) -> Answer<String> {
        refusal_of(&self.refuses)?;
        Ok(format!("{} to {} of {}", self.says.lock(), wanted.client_id, wanted.issuer))
    }

    fn make(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<Assertion> {
        let says = self.judge(tenant, wanted, env)?;
        refusal_of(&self.refuses_late)?;
        let n = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let (id, caller) = (format!("jti-{n}"), wanted.caller);
        let text = format!("{} for {} {n}", caller.agent, caller.user.as_deref().unwrap_or_default());
        let (scopes, approved_until) = (vec!["there:read".into(), "there:list".into()], *self.approved_until.lock());
        Ok(Assertion { text: Hidden::new(text), id, says, scopes, approved_until })
    }
}

/// A connection to a domain of its own, at a stub.
fn prices(origin: &str) -> ConnectionSpec {
    ConnectionSpec {
        id: "prices".into(),
        holder: HolderKind::UserAndAgent,
        provider: Provider::IdentityAssertion {
            issuer: origin.to_owned(),
            token_url: format!("{origin}/token"),
            client_id: "acme-sales".into(),
            client_auth: ClientAuth::Basic,
            scopes: vec!["pricing:read".into()],
            resource: format!("{origin}/api"),
        },
        ..crm(origin)
    }
}

async fn start() -> (Stub, Arc<World>, Arc<Asserts>) {
    let (stub, asserts) = (Stub::start().await, Arc::new(Asserts::default()));
    let world = World::new(true).with_assertions(Arc::<Asserts>::clone(&asserts));
    world.connect(prices(&stub.origin));
    (stub, Arc::new(world), asserts)
}

/// For whom a token is.
fn caller(world: &World, token: &str) -> Caller {
    now_is(|env| Caller::of(&world.tenant.examine(token, TokenKind::Access, None, env).unwrap()))
}

/// A request as the gateway hands it on.
async fn asked(world: &World) -> Asked {
    let (to, mut from) = tokio::sync::mpsc::channel(1);
    let handler = move |asked: Asked| async move { to.send(asked).await.unwrap() };
    let routes = axum::Router::new().fallback(handler);
    let mut front = Front::new(world.tenant.identity().clone(), routes, 2, 16).unwrap();
    front.call(request("GET", "/", "").body(Body::empty()).unwrap()).await.unwrap();
    from.recv().await.unwrap()
}

const RAW: &str = "/proxy/prices/v1/raw";

fn nth(n: usize) -> String {
    format!("{ACCESS}-{n:04}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_got_for_both_lent_and_kept_from_leaving() {
    let (stub, world, asserts) = start().await;
    let token = world.token("sales", "crm.read");
    for _ in 0..3 {
        let answer = world.get(&token, RAW).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "[removed:held-secret]"));
    }
    let tokens = stub.tokens();
    let [(asked, header)] = tokens.as_slice() else { panic!("{} redemptions", tokens.len()) };
    let asked: Vec<(String, String)> = url::form_urlencoded::parse(asked.as_bytes()).into_owned().collect();
    let resource = format!("{}/api", stub.origin);
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", "agent:sales for sarah 1"),
        ("resource", &resource),
        ("scope", "there:read there:list"),
    ];
    assert_eq!(asked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(header.as_deref(), Some("Basic YWNtZS1zYWxlczpjbGllbnQtc2VjcmV0LW9mLW91cnM="));
    for (_, _, headers, _) in stub.calls() {
        assert_eq!(headers["authorization"], format!("Bearer {}", nth(1)), "and never the caller's own");
    }
    assert_eq!(asserts.made.load(Ordering::Relaxed), 1);
    // In memory alone: nobody holds a credential.
    assert!(credentials_of(&world.tenant, &sarah()).unwrap().is_empty());
    assert!(credentials_of(&world.tenant, &Holder::Agent("agent:sales".into())).unwrap().is_empty());
    // What an agent says itself has it no more than an answer.
    let said = request("POST", "/filter", &token).body(Body::from(format!("It is {}.", nth(1)))).unwrap();
    assert_eq!(world.ask(said).await.text(), "It is [removed:held-secret].");
    let alone = world.own_token("sales", "crm.read");
    let said = request("POST", "/filter", &alone).body(Body::from(format!("It is {}.", nth(1)))).unwrap();
    assert_eq!(world.ask(said).await.text(), "It is [removed:secret-of-another].");
    let whose = "user:sarah agent:sales connection:prices assertion:jti-1";
    assert_eq!(world.last(EventKind::OutputFiltered).details()["removed_of"], whose);
    // Both are in the log, with what was asserted.
    let stored = world.last(EventKind::VaultStored);
    assert_eq!((stored.get_action(), stored.get_user()), (Some("redeem"), Some("user:sarah")));
    assert_eq!((stored.get_agent(), &stored.details()["assertion"]), (Some("agent:sales"), &"jti-1".to_owned()));
    let leased = world.last(EventKind::VaultLeased);
    assert_eq!(leased.details()["holder"], "user:sarah agent:sales");
    assert_eq!(leased.details()["assertion"], "jti-1");
    assert!(!format!("{:?}", world.events()).contains(ACCESS));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_are_one_redemption() {
    let (stub, world, asserts) = start().await;
    let token = world.token("sales", "crm.read");
    stub.close();
    let calls = |count| -> Vec<_> {
        let call = |_| {
            let (world, token) = (Arc::clone(&world), token.clone());
            tokio::spawn(async move { world.get(&token, RAW).await.status.as_u16() })
        };
        (0..count).map(call).collect()
    };
    // The first of them has gone before the other side answers, which is slow.
    let gone = calls(1);
    while stub.tokens().is_empty() {
        tokio::task::yield_now().await;
    }
    gone.iter().for_each(tokio::task::JoinHandle::abort);
    let waiting = calls(64);
    tokio::task::yield_now().await;
    stub.let_through();
    for call in waiting {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!((stub.tokens().len(), asserts.made.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(world.count(EventKind::VaultStored, "redeem"), 1);
    assert!(stub.calls().iter().all(|call| call.2["authorization"] == format!("Bearer {}", nth(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_of_one_agent_one_sign_in_and_what_was_asserted() {
    let (stub, world, asserts) = start().await;
    now_is(|env| {
        allow(&world.tenant, "prices", "agent:other", true, "user:admin", env).unwrap();
        let class = Some(ScopeClass::Automatic);
        classify(&world.tenant, ("prices", "crm.read"), "agent:other", class, "user:admin", env).unwrap();
    });
    let (first, second) = (world.token("sales", "crm.read"), world.token("sales", "crm.read"));
    let other = world.token("other", "crm.read");
    let shown = async |token: &str| {
        let answer = world.get(token, RAW).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let shown = stub.calls().pop().unwrap().2["authorization"].to_str().unwrap().to_owned();
        shown.rsplit('-').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!((shown(&first).await, shown(&second).await, shown(&other).await), (1, 2, 3));
    assert_eq!((shown(&first).await, shown(&second).await, shown(&other).await), (1, 2, 3));
    assert!(stub.tokens()[2].0.contains("agent%3Aother"));
    // What would be asserted is another now, and then what it was.
    *asserts.says.lock() = "less".into();
    assert_eq!((shown(&first).await, shown(&first).await), (4, 4));
    asserts.says.lock().clear();
    assert_eq!(shown(&first).await, 1);
    // Another way to show ourselves, too.
    let mut spec = prices(&stub.origin);
    if let Provider::IdentityAssertion { client_auth, .. } = &mut spec.provider {
        *client_auth = ClientAuth::Post;
    }
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    assert_eq!(shown(&first).await, 5);
    assert!(stub.tokens()[4].0.contains("client_id=acme-sales&client_secret=client-secret-of-ours"));
    // Where there would be none, one that is there is not lent.
    *asserts.refuses.lock() = Some((ErrorCode::InvalidTarget, "the managed connection is gone"));
    let answer = world.get(&first, RAW).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!("access_denied")));
    assert!(answer.text().contains("the managed connection is gone"));
    assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("test.refuses"));
    *asserts.refuses.lock() = Some((ErrorCode::ServerError, "the disk failed"));
    assert_eq!(world.get(&first, RAW).await.status, 500);
    assert!(stub.calls().is_empty(), "nothing of it went out");
    // A person who was deleted leaves none.
    now_is(|env| world.vault.forget_user(&world.tenant, "sarah", env).unwrap());
    assert_eq!(world.vault.inner.tokens.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_side_does_not_give_is_said_and_nothing_goes_out() {
    let (stub, world, asserts) = start().await;
    let token = world.token("sales", "crm.read");
    let good = json!({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 60});
    let but = |name: &str, value: Value| {
        let mut answer = good.clone();
        answer[name] = value;
        answer
    };
    for (status, body, expected, says) in [
        (400, json!({"error": "invalid_grant"}), 403, "does not take what is asserted"),
        (401, json!({"error": "invalid_client"}), 503, "refuses to give tokens"),
        (400, json!({"error": "invalid_target"}), 503, "refuses to give tokens"),
        (503, json!({}), 503, "no tokens now"),
        (200, but("token_type", json!("N_A")), 503, "refuses to give tokens"),
        (200, but("token_type", json!("DPoP")), 503, "refuses to give tokens"),
        (200, but("token_type", Value::Null), 503, "refuses to give tokens"),
        (200, but("access_token", json!("a b")), 503, "refuses to give tokens"),
        (200, but("access_token", json!("short")), 503, "refuses to give tokens"),
        (200, but("expires_in", json!(0)), 503, "is over already"),
        (200, json!("no object"), 503, "refuses to give tokens"),
    ] {
        stub.answers(status, body.clone());
        let asked = stub.tokens().len();
        let answer = world.get(&token, RAW).await;
        assert_eq!(answer.status, expected, "{status} {body}: {}", answer.text());
        assert!(answer.text().contains(says) && !answer.text().contains(ACCESS), "{body}: {}", answer.text());
        assert_eq!((stub.tokens().len(), stub.calls().len()), (asked + 1, 0), "{body}");
    }
    let refused = world.events().into_iter().find(|event| event.kind() == EventKind::VaultRefused).unwrap();
    assert_eq!((refused.get_reason(), refused.get_action()), (Some("assertion.refused"), Some("redeem")));
    assert_eq!(refused.details()["assertion"], "jti-1");
    // One that needs somebody to approve it, and is there no more.
    stub.answers_tokens();
    *asserts.refuses_late.lock() = Some((ErrorCode::InteractionRequired, "an approval is needed; ask for one"));
    let answer = world.get(&token, RAW).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!("access_denied")));
    assert!(answer.text().contains("an approval is needed; ask for one"));
    *asserts.refuses_late.lock() = None;
    assert_eq!(world.get(&token, RAW).await.status, 200);
    // A token of nobody, and a vault where nobody asserts anything.
    let answer = world.get(&world.own_token("sales", "crm.read"), RAW).await;
    assert!(answer.status == 403 && answer.text().contains("acts for nobody"), "{}", answer.text());
    let world = World::new(true);
    world.connect(prices(&stub.origin));
    let answer = world.get(&world.token("sales", "crm.read"), RAW).await;
    assert!(answer.status == 403 && answer.text().contains("nothing is asserted"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_is_dropped_and_the_call_made_once_more() {
    let (stub, world, _) = start().await;
    let token = world.token("sales", "crm.read crm.write");
    assert_eq!(world.get(&token, RAW).await.status, 200);
    // Revoked there meanwhile, say: another does.
    stub.takes_no_more(&[nth(1)]);
    stub.calls();
    assert_eq!(world.get(&token, RAW).await.status, 200);
    assert_eq!((stub.calls().len(), stub.tokens().len()), (2, 2));
    let called: Vec<_> = world.events().into_iter().filter(|event| event.kind() == EventKind::ProxyCalled).collect();
    let [_, failed, done] = called.as_slice() else { panic!("{} calls", called.len()) };
    assert_eq!((failed.get_reason(), failed.outcome()), (Some("credential.not_taken"), Outcome::Failed));
    assert_eq!((failed.details()["status"].as_str(), done.outcome()), ("401", Outcome::Done));
    // It takes none: the answer is passed on, after two tries; and the next call tries once with the one that it gets.
    let all: Vec<String> = (1..20).map(nth).collect();
    stub.takes_no_more(&all);
    let answer = world.get(&token, RAW).await;
    assert_eq!((answer.status.as_u16(), stub.calls().len(), stub.tokens().len()), (401, 2, 3));
    assert_eq!(answer.headers["bailiwick-answered-by"], "upstream");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert_eq!(world.vault.inner.tokens.count(), 0);
    assert_eq!(world.get(&token, RAW).await.status, 401);
    assert_eq!((stub.calls().len(), stub.tokens().len()), (1, 4));
    // A body that came as a stream is not at hand any more: one try, and the next call has another token.
    stub.takes_no_more(&[]);
    let post = |path: &str| request("POST", path, &token).body(Body::from("{}")).unwrap();
    assert_eq!(world.ask(post(RAW)).await.status, 200);
    stub.takes_no_more(&[nth(5)]);
    stub.calls();
    assert_eq!(world.ask(post(RAW)).await.status, 401);
    assert_eq!((stub.calls().len(), stub.tokens().len()), (1, 5));
    assert_eq!(world.ask(post(RAW)).await.status, 200);
    assert_eq!(stub.calls().pop().unwrap().2["authorization"], format!("Bearer {}", nth(6)));
}

/// The gateway has its messages at hand, whatever is in them.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_gateway_is_made_once_more_with_its_body() {
    let (stub, world, _) = start().await;
    let token = world.token("sales", "crm.read crm.write");
    assert_eq!(world.get(&token, RAW).await.status, 200);
    stub.takes_no_more(&[nth(1)]);
    stub.calls();
    let (asked, caller) = (asked(&world).await, caller(&world, &token));
    let url = format!("{}/api/v1/raw", stub.origin);
    let message = Request::post(url).body(axum::body::Bytes::from_static(b"a message")).unwrap();
    let response = http::through(&world.vault, &asked, caller, "prices", message).await.unwrap();
    assert_eq!(response.status(), 200);
    let calls = stub.calls();
    assert_eq!(calls.iter().map(|call| call.3.as_slice()).collect::<Vec<_>>(), [b"a message"; 2]);
    assert_eq!(calls[1].2["authorization"], format!("Bearer {}", nth(2)));
}

/// What is read of an answer, at a time.
fn finished(world: &World, now: u64, answer: &Value, approved_until: Option<u64>) -> Answer<(u64, bool)> {
    let token = world.token("sales", "crm.read");
    let caller = caller(world, &token);
    at(now, |env| {
        let connection = get(&world.tenant, "prices")?;
        let (text, id) = (Hidden::new("a".into()), "jti".to_owned());
        let assertion = Assertion { text, id, says: String::new(), scopes: Vec::new(), approved_until };
        let body = answer.to_string().into_bytes();
        let got = world.vault.finish(&world.tenant, (&connection, &caller), (&assertion, 200, &body), env)?;
        Ok((got.ends(), got.is_due(env.seconds())))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_lent_no_longer_than_it_lives() {
    let (_stub, world, _) = start().await;
    let lives = |expires_in: Value, approved_until| {
        let answer = json!({"access_token": ACCESS, "token_type": "bearer", "expires_in": expires_in});
        finished(&world, 1_000_000, &answer, approved_until).map(|(end, _)| end - 1_000_000)
    };
    assert_eq!(lives(json!(600), None).unwrap(), 600);
    assert_eq!(lives(Value::Null, None).unwrap(), 60, "of which it is not said");
    assert_eq!(lives(json!(86_400), None).unwrap(), 3_600, "an hour at most");
    assert_eq!(lives(json!(600), Some(1_000_030)).unwrap(), 30, "no longer than what was approved");
    assert_eq!(lives(json!(10), Some(1_000_030)).unwrap(), 10);
    assert_eq!(lives(json!(600), Some(1_000_000)).unwrap_err().rule, "assertion.over");
    // What nobody has to approve is got anew before it ends; what somebody has, is used to its end.
    let got = |approved: bool| Got::of_test(1_000, 2_000, "jti", !approved);
    assert!(!got(false).is_due(1_749) && got(false).is_due(1_750) && !got(true).is_due(1_999));
}

#[test]
fn tokens_are_bounded_and_cross_nothing() {
    let key = |tenant, user: &str, agent: &str, connection: &str, grant: &str, says: &str| {
        Key::of_test(tenant, [user, agent, connection, grant, says])
    };
    let got = |end| Arc::new(Got::of_test(0, end, "jti", true));
    let tokens = Tokens::default();
    let base = || key(1, "sarah", "agent:sales", "prices", "g1", "read");
    tokens.keep(base(), got(100), 0);
    assert!(tokens.find(&base(), 99).is_some() && tokens.find(&base(), 100).is_none());
    for other in [
        key(2, "sarah", "agent:sales", "prices", "g1", "read"),
        key(1, "olga", "agent:sales", "prices", "g1", "read"),
        key(1, "sarah", "agent:other", "prices", "g1", "read"),
        key(1, "sarah", "agent:sales", "other", "g1", "read"),
        key(1, "sarah", "agent:sales", "prices", "g2", "read"),
        key(1, "sarah", "agent:sales", "prices", "g1", "read write"),
    ] {
        assert!(tokens.find(&other, 1).is_none(), "{other:?}");
    }
    // One takes the place of the one before; what is dropped late leaves it alone.
    let before = tokens.find(&base(), 1).unwrap();
    tokens.keep(base(), got(200), 1);
    tokens.drop_it(&before);
    assert_eq!((tokens.count(), tokens.find(&base(), 199).is_some()), (1, true));
    tokens.forget(200, None);
    assert_eq!(tokens.count(), 0);
    // The bounds: of a pair, of a tenant, of all. The first to be over goes.
    for n in 0..=TOKENS_PER_PAIR_MAX {
        tokens.keep(key(1, "sarah", "agent:sales", "prices", &format!("g{n}"), ""), got(1_000 + n as u64), 0);
    }
    assert_eq!(tokens.count(), TOKENS_PER_PAIR_MAX);
    assert!(tokens.find(&key(1, "sarah", "agent:sales", "prices", "g0", ""), 1).is_none());
    for tenant in 1..6 {
        for n in 0..TOKENS_PER_TENANT_MAX {
            let end = 5_000 + u64::from(tenant);
            tokens.keep(key(tenant, &format!("u{n}"), "agent:sales", "prices", "g", ""), got(end), 0);
        }
        assert!(tokens.count() <= TOKENS_MAX);
    }
    assert_eq!(tokens.count(), TOKENS_MAX);
    assert!(tokens.find(&key(5, "u0", "agent:sales", "prices", "g", ""), 1).is_some());
    tokens.forget(1, Some((5, "u0")));
    assert_eq!(tokens.count(), TOKENS_MAX - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_connects_it_and_it_keeps_where_it_leads() {
    let (stub, world, _) = start().await;
    let page = request("GET", "/connect/prices", "").header("cookie", "sarah/s").body(Body::empty()).unwrap();
    assert_eq!(world.ask(page).await.status, 400);
    assert!(connections_of(&world.tenant, "sarah").unwrap().is_empty());
    now_is(|env| {
        let key = Secret::ApiKey { key: Hidden::new("a-key-of-somebody-0123".into()) };
        let refusal = set_credential(&world.tenant, "prices", &sarah(), key, "user:admin", env).unwrap_err();
        assert_eq!(refusal.rule, "credential.holder");
        let refused = |change_it: &dyn Fn(&mut ConnectionSpec)| {
            let mut spec = prices(&stub.origin);
            change_it(&mut spec);
            change(&world.tenant, &spec, None, "user:admin", env).unwrap_err().description
        };
        let provider = |spec: &mut ConnectionSpec, issuer: &str, token_url: &str, resource: &str| {
            spec.provider = Provider::IdentityAssertion {
                issuer: issuer.into(),
                token_url: token_url.into(),
                client_id: "acme-sales".into(),
                client_auth: ClientAuth::Basic,
                scopes: Vec::new(),
                resource: resource.into(),
            };
        };
        let token_url = format!("{}/token", stub.origin);
        assert!(refused(&|spec| spec.holder = HolderKind::User).contains("holder"));
        assert!(refused(&|spec| spec.exchange = true).contains("exchange"));
        let https = "https://pricing.example";
        assert!(refused(&|spec| provider(spec, https, &token_url, https)).contains("keeps its hosts"), "the issuer");
        assert!(refused(&|spec| provider(spec, &stub.origin, https, https)).contains("keeps its hosts"));
        assert!(refused(&|spec| provider(spec, "http://pricing.example", &token_url, https)).contains("issuer"));
        assert!(refused(&|spec| provider(spec, &stub.origin, &token_url, "prices")).contains("resource"));
        let other = ConnectionSpec { holder: HolderKind::UserAndAgent, ..crm(&stub.origin) };
        assert!(create(&world.tenant, other, None, "user:admin", env).unwrap_err().description.contains("holder"));
        let mut spec = prices(&stub.origin);
        provider(&mut spec, &stub.origin, &token_url, https);
        change(&world.tenant, &spec, None, "user:admin", env).unwrap();
    });
    assert_eq!(accounts(&world.tenant).unwrap().pop().unwrap().2, "acme-sales");
}
