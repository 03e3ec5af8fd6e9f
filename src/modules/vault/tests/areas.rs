//! INT-2: what people gave and what agents have lie in two areas, each under keys of its own; neither is read by the other.

use super::super::records::{credential, opened};
use super::*;
use crate::identity::decode;
use crate::secrets::{self, Hierarchy};

#[tokio::test(flavor = "multi_thread")]
async fn what_people_gave_and_what_agents_have_cannot_be_read_by_each_other() {
    let world = World::new(true);
    let tenant = &world.tenant;
    world.connect(crm("https://crm.example"));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let agent = Holder::Agent("agent:sales".into());
    now_is(|env| {
        let spec = llm();
        create(tenant, spec, None, "user:admin", env).unwrap();
        let key = Secret::ApiKey { key: Hidden::new("llm-key-aa11bb22cc33".into()) };
        set_credential(tenant, "llm", &agent, key, "user:admin", env).unwrap();
    });
    let records = tenant.engine().records(VAULT);
    let all = records.scan(&[], None, 1_000).unwrap();
    let row = |id: &str, holder: &Holder| {
        let held = credential(tenant, id, holder).unwrap().unwrap();
        opened(tenant, &held).unwrap();
        let sealed = held.stamp().to_owned();
        let (key, value) =
            all.iter().find(|(_, value)| String::from_utf8_lossy(value).contains(&sealed)).unwrap().clone();
        (key, value, decode(&sealed).unwrap())
    };
    let (people, agents) = (row("crm", &sarah()), row("llm", &agent));
    assert_ne!(people.0[4], agents.0[4], "two sorts of records");

    // The keys of one area, and of the system, open nothing of the other; nor does its own at another place.
    let ring = tenant.identity().ring();
    let opens = |hierarchy, place: &[u8], bytes: &[u8]| secrets::open(ring, hierarchy, place, bytes).is_ok();
    for (own, (place, _, bytes), elsewhere) in
        [(Hierarchy::UserCredentials, &people, &agents.0), (Hierarchy::AgentCredentials, &agents, &people.0)]
    {
        for hierarchy in [Hierarchy::UserCredentials, Hierarchy::AgentCredentials, Hierarchy::System] {
            assert_eq!(opens(hierarchy, place, bytes), hierarchy == own);
        }
        assert!(!opens(own, elsewhere, bytes));
    }
    // Whoever can write to the disk, and puts one in the other's place, reads nothing through us.
    records.write(vec![records.put(people.0, agents.1), records.put(agents.0, people.1)]).unwrap();
    for (id, holder) in [("crm", &sarah()), ("llm", &agent)] {
        let held = credential(tenant, id, holder).unwrap().unwrap();
        assert_eq!(opened(tenant, &held).unwrap_err().rule, "vault.open");
    }
    for token in [world.token("sales", "crm.read"), world.own_token("sales", "crm.read")] {
        for id in ["crm", "llm"] {
            let answer = world.get(&token, &format!("/proxy/{id}/v1/x")).await;
            assert!(!answer.status.is_success(), "{id}: {}", answer.text());
        }
    }
}
