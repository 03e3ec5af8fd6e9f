//! Authorization details are granted as their types want it, and to nobody without who has to allow them.

use super::*;

/// Payments: under 1 nobody is asked, over 1000 somebody else, and the person themselves between; over 100 as `aal2`.
pub(super) struct Payments;

impl DetailTypes for Payments {
    fn allowing(&self, _: &Tenant, detail: &Value) -> Answer<Allowing> {
        let known = |name: &String| ["type", "amount"].contains(&name.as_str());
        if detail["type"] != "payment" || !detail.as_object().unwrap().keys().all(known) {
            let text = "no payment";
            return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.schema", text));
        }
        let amount: f64 = detail["amount"].as_str().unwrap_or("5").parse().unwrap();
        let acr = if amount > 100.0 { "aal2" } else { "aal1" };
        Ok(match amount {
            ..1.0 => Allowing::Nobody,
            ..1000.0 => Allowing::Person(ShownAs { acr: acr.into(), age_s: 300 }),
            _ => Allowing::Others,
        })
    }
}

const LITTLE: &str = r#"[{"type":"payment","amount":"0.5"}]"#;
const SOME: &str = r#"[{"type":"payment","amount":"5"}]"#;
const MORE: &str = r#"[{"type":"payment","amount":"500"}]"#;
const MUCH: &str = r#"[{"type":"payment","amount":"0.5"},{"type":"payment","amount":"450000"}]"#;
const NONSENSE: &str = r#"[{"type":"payment","amount":"0.5"},{"type":"payment","nonsense":true}]"#;

fn detailed(details: &str) -> [(&'static str, &str); 1] {
    [("authorization_details", details)]
}

#[test]
fn a_client_alone_gets_no_detail_that_somebody_has_to_allow() {
    let world = World::new();
    let own = |details: &str| {
        let form = form(&[("scope", "read"), ("authorization_details", details)]);
        ClientCredentialsGrant.redeem(&world.tenant, &world.caller("sales"), &form, &world.env())
    };
    let tokens = own(LITTLE).unwrap();
    assert_eq!(tokens.authorization_details, [json!({"type": "payment", "amount": "0.5"})]);
    for (details, expected) in [(SOME, "details.approval"), (MUCH, "details.approval"), (NONSENSE, "details.schema")] {
        let refusal = own(details).err().unwrap();
        assert_eq!((refusal.rule, refusal.error.text()), (expected, "invalid_authorization_details"), "{details}");
    }
}

#[test]
fn a_sign_in_gives_no_detail_that_another_has_to_allow() {
    let world = World::new();
    let (tenant, env) = (&world.tenant, world.env());
    for (details, expected) in [(MUCH, "details.approval"), (NONSENSE, "details.schema")] {
        let refused = tenant.take_request(&request("crm", &detailed(details)), &env).unwrap_err();
        let Refused::Redirect(to, refusal) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (refusal.rule, parameter(&to, "error").as_deref()),
            (expected, Some("invalid_authorization_details"))
        );
        let pushed = tenant.push_request(&world.caller("crm"), &request("crm", &detailed(details)), &env);
        assert_eq!(rule(pushed), expected);
    }
}

#[test]
fn who_allows_a_detail_sees_it_and_has_lately_shown_who_they_are() {
    let mut world = World::new();
    // Even of a client whose connections are managed, and which asks for no consent.
    let held = world.tenant.client("crm").unwrap();
    let managed = Client { consent: ConsentRule::Managed, ..held.value.clone() };
    world.tenant.change_client(&held, &managed, &world.env()).unwrap();
    let session = world.sign_in("sarah");
    let needs = |world: &World, request: &AuthRequest, session: &Session| {
        world.tenant.needs(request, Some(session), &world.env()).unwrap()
    };
    let (little, some, more) =
        (world.ask("crm", &detailed(LITTLE)), world.ask("crm", &detailed(SOME)), world.ask("crm", &detailed(MORE)));
    assert_eq!(needs(&world, &little, &session), Need::Nothing);
    assert_eq!(needs(&world, &some, &session), Need::Consent);
    assert_eq!(needs(&world, &more, &session), Need::StepUp("aal2".into()));
    let allow = Decided::Allowed { scopes: None };
    assert_eq!(rule(world.tenant.complete(&some, &session, &Decided::NotAsked, &world.env())), "request.needs");
    assert_eq!(rule(world.tenant.complete(&more, &session, &allow, &world.env())), "request.needs");
    let strong = world.sign_in_as("sarah", "aal2");
    assert_eq!(needs(&world, &more, &strong), Need::Consent);
    world.now += 300;
    let late = world.ask("crm", &detailed(SOME));
    assert_eq!(needs(&world, &late, &session), Need::SignIn, "that was too long ago");
    assert_eq!(rule(world.tenant.complete(&late, &session, &allow, &world.env())), "request.needs");
    let code = world.code("crm", "sarah", &detailed(SOME));
    let tokens = world.redeem("crm", &code).unwrap();
    assert_eq!(tokens.authorization_details, [json!({"type": "payment", "amount": "5"})]);
}

/// What a grant has that was made when its type wanted less: as if the type of `had` had become that of `now`.
fn refreshed_as(managed: bool, had: &str, now: &str) -> usize {
    let world = World::new();
    let held = world.tenant.client("crm").unwrap();
    let consent = if managed { ConsentRule::Managed } else { ConsentRule::Ask };
    world.tenant.change_client(&held, &Client { consent, ..held.value.clone() }, &world.env()).unwrap();
    let asked = world.ask("crm", &[detailed(had)[0], ("scope", "openid read offline_access")]);
    let session = world.sign_in("sarah");
    let needs = world.tenant.needs(&asked, Some(&session), &world.env()).unwrap();
    let decided = if needs == Need::Consent { Decided::Allowed { scopes: None } } else { Decided::NotAsked };
    let to = world.tenant.complete(&asked, &session, &decided, &world.env()).unwrap();
    let tokens = world.redeem("crm", &parameter(&to, "code").unwrap()).unwrap();
    assert_eq!(tokens.authorization_details.len(), 1);
    let grants = world.tenant.list::<Grant>(&[], None, PAGE_MAX).unwrap();
    let [grant] = grants.as_slice() else { panic!("{grants:?}") };
    let env = world.env();
    let mut change = world.tenant.change(&env);
    let details = serde_json::from_str(now).unwrap();
    change.replace(grant, &Grant { details, ..grant.value.clone() });
    change.commit().unwrap();
    world.refresh("crm", &tokens.refresh_token.unwrap()).unwrap().authorization_details.len()
}

#[test]
fn a_type_that_wants_more_keeps_no_detail_that_was_had_with_less() {
    assert_eq!(refreshed_as(true, LITTLE, LITTLE), 1);
    assert_eq!(refreshed_as(true, LITTLE, SOME), 0, "nobody was asked, and now the person is");
    assert_eq!(refreshed_as(false, SOME, SOME), 1);
    assert_eq!(refreshed_as(true, SOME, SOME), 1, "they are asked even so");
    assert_eq!(refreshed_as(false, SOME, MORE), 0, "they had shown less of who they are");
    assert_eq!(refreshed_as(false, SOME, r#"[{"type":"payment","amount":"450000"}]"#), 0);
}

#[test]
fn a_type_that_the_client_may_ask_for_no_more_is_in_no_new_token() {
    let world = World::new();
    let asked = [detailed(SOME)[0], ("scope", "openid read offline_access")];
    let tokens = world.redeem("crm", &world.code("crm", "sarah", &asked)).unwrap();
    let tokens = world.refresh("crm", &tokens.refresh_token.unwrap()).unwrap();
    assert_eq!(tokens.authorization_details.len(), 1);
    let held = world.tenant.client("crm").unwrap();
    let less = Client { details_types: Vec::new(), ..held.value.clone() };
    world.tenant.change_client(&held, &less, &world.env()).unwrap();
    let tokens = world.refresh("crm", &tokens.refresh_token.unwrap()).unwrap();
    assert!(
        tokens.authorization_details.is_empty() && claims(&tokens.access_token).get("authorization_details").is_none()
    );
}
