//! No sequence of exchanges gives a token that is wider than those it came from, in any way; and whatever is revoked takes
//! along what hangs on it, and nothing else.

use super::*;
use proptest::prelude::*;

const AGENTS: [&str; 3] = ["sales", "planner", "writer"];
const SCOPES: [&str; 5] = ["read", "write", "delete", "contacts:read", "contacts:write"];
const RESOURCES: [&str; 2] = [API, CRM];

/// One try: which token, by whom, for what, how much later.
#[derive(Clone, Debug)]
struct Step {
    of: usize,
    by: usize,
    scopes: Option<u8>,
    resources: Option<u8>,
    approved: bool,
    later: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let parts = (any::<usize>(), 0..AGENTS.len(), any::<Option<u8>>(), any::<Option<u8>>(), any::<bool>(), 0..120_u64);
    parts.prop_map(|(of, by, scopes, resources, approved, later)| Step { of, by, scopes, resources, approved, later })
}

fn pick(list: &[&str], bits: u8) -> Vec<String> {
    list.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, item)| (*item).to_owned()).collect()
}

struct Made {
    token: String,
    parent: Option<usize>,
    claims: Map<String, Value>,
    grant: String,
}

fn list(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    match claims.get(claim) {
        Some(Value::String(text)) => text.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(several)) => several.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn actors(claims: &Map<String, Value>) -> Vec<String> {
    let (mut names, mut next) = (Vec::new(), claims.get("act"));
    while let Some(act) = next {
        names.push(act["sub"].as_str().unwrap().to_owned());
        next = act.get("act");
    }
    names
}

fn made(world: &World, token: String, parent: Option<usize>) -> Made {
    let grant = world.examine(&token).unwrap().grant.id;
    Made { claims: claims(&token), token, parent, grant }
}

/// What may be said of a token beside the one it was made from.
fn check(parent: &Made, child: &Made, by: &str, step: &Step) -> Result<(), TestCaseError> {
    let (before, after) = (&parent.claims, &child.claims);
    for claim in ["scope", "aud"] {
        let has = list(before, claim);
        prop_assert!(list(after, claim).iter().all(|one| has.contains(one)), "{claim}: {before:?} {after:?}");
    }
    for claim in ["iss", "sub", "auth_time", "acr", "amr", "sid"] {
        prop_assert_eq!(before.get(claim), after.get(claim), "{}", claim);
    }
    prop_assert!(after["exp"].as_u64() <= before["exp"].as_u64());
    let mut chain = actors(before);
    if chain.first().map(String::as_str) != Some(by) {
        chain.insert(0, by.to_owned());
    }
    prop_assert_eq!(actors(after), chain);
    // What the classes say: never is never, and by name or not, only an approval gives what needs one.
    let scopes = list(after, "scope");
    prop_assert!(!scopes.contains(&"delete".to_owned()));
    prop_assert!(step.approved || !scopes.contains(&"write".to_owned()));
    if let Some(bits) = step.scopes.filter(|bits| !pick(&SCOPES, *bits).is_empty()) {
        prop_assert!(scopes.iter().all(|scope| pick(&SCOPES, bits).contains(scope)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_wider_and_what_is_revoked_takes_its_own_along(
        steps in proptest::collection::vec(step(), 1..24),
        broken: usize,
    ) {
        let mut world = World::new();
        for (from, to) in AGENTS.iter().flat_map(|from| AGENTS.iter().map(move |to| (from, to))) {
            if from != to {
                delegate(&world.idp, from, to, true, &world.env()).unwrap();
            }
        }
        let roots = [("sales", "read write delete contacts:read"), ("planner", "openid contacts:read contacts:write")];
        let roots = roots.map(|(agent, scope)| world.tokens(agent, scope).access_token);
        let mut tokens: Vec<Made> = roots.into_iter().map(|token| made(&world, token, None)).collect();
        for (n, step) in steps.iter().enumerate() {
            world.now += step.later;
            let (at, by) = (step.of % tokens.len(), AGENTS[step.by]);
            let (scopes, id) = (step.scopes.map(|bits| pick(&SCOPES, bits).join(" ")), format!("ap-{n}"));
            let resources = step.resources.map(|bits| pick(&RESOURCES, bits)).unwrap_or_default();
            let mut more: Vec<(&str, &str)> = resources.iter().map(|one| ("resource", one.as_str())).collect();
            more.extend(scopes.as_deref().map(|scopes| ("scope", scopes)));
            if step.approved {
                world.approve(&id, "write", world.now + 60);
                more.push(("approval", &id));
            }
            let answer = world.pass_on(by, &tokens[at].token, &more);
            if let Ok(answer) = answer {
                let child = made(&world, answer.access_token, Some(at));
                check(&tokens[at], &child, by, step)?;
                tokens.push(child);
            }
        }
        // One grant goes.
        let broken = broken % tokens.len();
        let alive: Vec<bool> = tokens.iter().map(|made| world.examine(&made.token).is_ok()).collect();
        world.idp.revoke_grant(&tokens[broken].grant, "test", &world.env()).unwrap();
        let hangs = |mut at: usize| loop {
            if at == broken {
                return true;
            }
            match tokens[at].parent {
                Some(parent) => at = parent,
                None => return false,
            }
        };
        for (at, made) in tokens.iter().enumerate() {
            let lives = world.examine(&made.token).is_ok();
            prop_assert_eq!(lives, alive[at] && !hangs(at), "{}", at);
            if hangs(at) {
                let answer = world.pass_on("sales", &made.token, &[]);
                prop_assert!(answer.is_err());
            }
        }
    }
}
