//! What others hold leaves in nobody's answer, and what could be guessed cannot be tried.

use super::stub::Stub;
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const OF_BOB: &str = "ya29-a0AfB1c2D3e4F5g6H7i8J9";

fn set(world: &World, connection: &str, holder: &Holder, secret: Secret) {
    now_is(|env| set_credential(&world.tenant, connection, holder, secret, "user:admin", env).unwrap());
}

fn tokens(access: &str) -> Secret {
    Secret::Oauth2 { access_token: Hidden::new(access.to_owned()), refresh_token: None }
}

fn bob() -> Holder {
    Holder::User("bob".to_owned())
}

async fn ready() -> (Stub, World, String) {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let token = world.token("sales", "crm.read crm.write");
    (stub, world, token)
}

/// OUT-1: whoever asks, by the proxy or with output of their own, and whatever became of it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_hold_leaves_in_nobodys_answer() {
    let (_stub, world, token) = ready().await;
    let seen = |text: &'static str| {
        let (world, token) = (&world, &token);
        async move { world.get(token, &format!("/proxy/crm/v1/{text}")).await }
    };
    assert_eq!(seen(OF_BOB).await.text(), OF_BOB, "nobody holds it");
    set(&world, "crm", &bob(), tokens(OF_BOB));
    assert_eq!(seen(OF_BOB).await.text(), "[removed:secret-of-another]");
    let event = world.last(EventKind::ProxyCalled);
    assert_eq!(event.details()["removed_rules"], "secret-of-another=1");
    assert_eq!(event.details()["removed_of"], "user:bob connection:crm");
    let output = request("POST", "/filter", &token).body(Body::from(format!("Bob's is {}.", STANDARD.encode(OF_BOB))));
    let answer = world.ask(output.unwrap()).await.text();
    assert!(answer.starts_with("Bob's is [removed:secret-of-another]"), "{answer}");
    // Another one in its place, and none.
    let next = "ya29-k1L2m3N4o5P6q7R8s9T0";
    set(&world, "crm", &bob(), tokens(next));
    assert_eq!(seen(OF_BOB).await.text(), OF_BOB);
    assert_eq!(seen(next).await.text(), "[removed:secret-of-another]");
    now_is(|env| {
        let held = records::credential(&world.tenant, "crm", &bob()).unwrap().unwrap();
        let mut change = world.tenant.change(env);
        records::remove(&mut change, &held);
        change.commit().unwrap();
    });
    assert_eq!(seen(next).await.text(), next);
    // An agent's key, and the client secret of a connection that has nothing to do with the call.
    now_is(|env| {
        create(&world.tenant, llm(), None, "user:admin", env).unwrap();
        let other = ConnectionSpec { id: "erp".into(), ..crm("https://erp.example") };
        create(&world.tenant, other, Some("erp-client-0a1b2c3d4e5f6a7b"), "user:admin", env).unwrap();
    });
    let key = Secret::ApiKey { key: Hidden::new("llm-key-99aa88bb77cc".to_owned()) };
    set(&world, "llm", &Holder::Agent("agent:other".to_owned()), key);
    for (text, owner) in
        [("llm-key-99aa88bb77cc", "agent:other connection:llm"), ("erp-client-0a1b2c3d4e5f6a7b", "connection:erp")]
    {
        assert_eq!(seen(text).await.text(), "[removed:secret-of-another]", "{text}");
        assert_eq!(world.last(EventKind::ProxyCalled).details()["removed_of"], owner);
    }
}

/// Where so much was written that all is read anew, nothing is looked for less meanwhile, and what is gone is gone.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_held_is_read_anew_after_many_writes() {
    let (_stub, world, token) = ready().await;
    set(&world, "crm", &bob(), tokens(OF_BOB));
    let path = format!("/proxy/crm/v1/{OF_BOB}");
    assert_eq!(world.get(&token, &path).await.text(), "[removed:secret-of-another]");
    let many = |from: u32| {
        now_is(|env| {
            for n in from..from + 1_100 {
                let mut change = world.tenant.change(env);
                change.mark(VAULT, b'~', &[&n.to_string()]);
                change.commit().unwrap();
            }
        });
    };
    many(0);
    assert_eq!(world.get(&token, &path).await.text(), "[removed:secret-of-another]");
    now_is(|env| {
        let held = records::credential(&world.tenant, "crm", &bob()).unwrap().unwrap();
        let mut change = world.tenant.change(env);
        records::remove(&mut change, &held);
        change.commit().unwrap();
    });
    many(2_000);
    assert_eq!(world.get(&token, &path).await.text(), OF_BOB);
}

/// A key by which a connection is known to its provider leaves no more than a secret.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_connections_leave_in_no_answer() {
    let (_stub, world, token) = ready().await;
    now_is(|env| {
        let drawn = KeyFrom::Drawn(crate::identity::SigningAlgorithm::Es256);
        add_key(&world.tenant, "crm", drawn, "user:admin", env).unwrap();
    });
    let keys = records::client_keys(&world.tenant, &connections::get(&world.tenant, "crm").unwrap()).unwrap();
    let [key] = keys.as_slice() else { panic!("{} keys", keys.len()) };
    let said = request("POST", "/filter", &token).body(Body::from(format!("<{}>", STANDARD.encode(key)))).unwrap();
    let said = world.ask(said).await.text();
    assert!(said.starts_with("<[removed:") && said.len() < 60, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_keeps_is_looked_for_while_it_lives() {
    let (_stub, world, token) = ready().await;
    let path = format!("/proxy/crm/v1/{OF_BOB}");
    let look = || world.vault.inner.filters.look_for(&world.tenant, "user:bob".to_owned(), &tokens(OF_BOB)).unwrap();
    let looked = look();
    assert_eq!(world.get(&token, &path).await.text(), "[removed:secret-of-another]");
    drop(looked);
    assert_eq!(world.get(&token, &path).await.text(), OF_BOB);
}

/// A record that does not open (its key is gone) is in no answer, as nobody can use it, and keeps nobody else's from leaving.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_does_not_open_harms_nobody_else() {
    let (_stub, world, token) = ready().await;
    set(&world, "crm", &bob(), tokens(OF_BOB));
    let records = world.tenant.engine().records(VAULT);
    let key = |holder: &str| crate::identity::record_key(world.tenant.number(), b'u', &["crm", holder]);
    let row = records.get(&key("bob")).unwrap().unwrap();
    // Sealed at another place.
    records.write(vec![records.put(key("carol"), row)]).unwrap();
    let answer = world.get(&token, &format!("/proxy/crm/v1/{OF_BOB}")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "[removed:secret-of-another]"));
}

/// What is removed tells whether a guess was right.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_guessed_cannot_be_tried() {
    let (_stub, world, token) = ready().await;
    let desk = ConnectionSpec { id: "desk".into(), provider: Provider::Basic {}, ..crm("https://desk.example") };
    now_is(|env| create(&world.tenant, desk, None, "user:admin", env).unwrap());
    let password = "Summer2026!";
    let secret = Secret::Basic { user: "sarah".to_owned(), password: Hidden::new(password.to_owned()) };
    set(&world, "desk", &sarah(), secret);
    let guess = request("POST", "/filter", &token).body(Body::from(format!("{password} {ACCESS}"))).unwrap();
    assert_eq!(world.ask(guess).await.text(), format!("{password} [removed:held-secret]"));
    assert_eq!(world.get(&token, &format!("/proxy/crm/v1/{password}")).await.text(), password);
    // A token for another resource, or for the issuer alone, as every application has one, is none for the filter.
    let token = world.token_for("sales", "crm.read", OTHER_API);
    let guess = request("POST", "/filter", &token).body(Body::from(password)).unwrap();
    assert_eq!(world.ask(guess).await.status, 401);
}
