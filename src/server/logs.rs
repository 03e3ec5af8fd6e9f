//! What the audit logs are tended with while the server runs: trees grow and are signed, old events go, witnesses are asked.

use super::plugs::Logs;
use crate::identity::{Env, Identity, Tenant};
use crate::modules::audit::care::Witness;
use crate::modules::audit::{Audit, AuditError, Log};
use crate::wire::{Outgoing, OutgoingError, OutgoingRequest, WholeAnswer, now, random};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often new events are taken into the audit trees, and those are signed.
const TENDING: Duration = Duration::from_secs(1);
/// How often is looked for old events. Each time that some go leaves two events that say so, which stay.
const DROPPING: Duration = Duration::from_secs(6 * 3600);
/// How often witnesses are asked, and the longest pause after one failed.
const WITNESSING: Duration = Duration::from_secs(2);
const WITNESS_PAUSE_MAX: Duration = Duration::from_secs(3600);
/// What a witness may take and answer: a line for each of its keys.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);
const WITNESS_ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Takes new events into the audit trees, signs those that grew, and drops what is older than is wanted.
pub(super) async fn keep_logs(identity: Identity) {
    let mut ticks = tokio::time::interval(TENDING);
    let mut next_drop = Instant::now();
    loop {
        ticks.tick().await;
        let (identity, drops) = (identity.clone(), next_drop <= Instant::now());
        // A panic there was reported when it happened.
        let more = tokio::task::spawn_blocking(move || tend(&identity, drops)).await.unwrap_or(false);
        if drops && !more {
            next_drop = Instant::now() + DROPPING;
        }
    }
}

/// Tends all logs. Answers whether there may be more to drop.
fn tend(identity: &Identity, drops: bool) -> bool {
    let (audit, logs) = (Audit::new(identity.engine()), Logs(identity.clone()));
    for tenant in identity.tenants() {
        let env = Env::new(now(), &random);
        if let Err(error) = logs.first_key(&tenant, &env) {
            tracing::error!(tenant = tenant.name(), %error, "the audit log has no key; it is tried again");
        }
    }
    for (tenant, error) in audit.tend(&logs, now()).failed {
        tracing::error!(tenant, %error, "the audit log was not tended; it is tried again");
    }
    let mut more = false;
    for tenant in identity.tenants().into_iter().filter(|_| drops) {
        match audit.log(tenant.number()).drop_old(now()) {
            Ok(done) => more |= done.more,
            Err(error) => tracing::error!(tenant = tenant.name(), %error, "old events stay; it is tried again later"),
        }
    }
    more
}

/// When a witness that failed is asked again.
struct Pause {
    failures: u32,
    until: Instant,
}

/// The pauses of a tenant's witnesses, by their keys.
type Pauses = HashMap<String, Pause>;

/// Asks witnesses for their signatures under the newest checkpoints. Each tenant has one task at a time, so that none waits for
/// another's witnesses.
pub(super) async fn keep_witnesses(identity: Identity, outgoing: Outgoing) {
    let mut ticks = tokio::time::interval(WITNESSING);
    let mut tasks: JoinSet<(u32, Pauses)> = JoinSet::new();
    let mut busy = HashSet::new();
    let mut pauses: HashMap<u32, Pauses> = HashMap::new();
    loop {
        ticks.tick().await;
        while let Some(done) = tasks.try_join_next() {
            match done {
                Ok((tenant, of)) => {
                    busy.remove(&tenant);
                    pauses.insert(tenant, of);
                }
                // It was reported when it happened; whose it was is not known any more.
                Err(_) if tasks.is_empty() => busy.clear(),
                Err(_) => {}
            }
        }
        for tenant in identity.tenants() {
            if busy.insert(tenant.number()) {
                let log = Audit::new(identity.engine()).log(tenant.number());
                let (outgoing, mut of) = (outgoing.clone(), pauses.remove(&tenant.number()).unwrap_or_default());
                tasks.spawn_blocking(move || {
                    ask_witnesses(&tenant, &log, &outgoing, &mut of);
                    (tenant.number(), of)
                });
            }
        }
    }
}

/// Asks those witnesses of a log that have not signed its newest checkpoint, and that are in no pause.
fn ask_witnesses(tenant: &Tenant, log: &Log, outgoing: &Outgoing, pauses: &mut Pauses) {
    let witnesses = match log.care() {
        Ok(care) => care.witnesses,
        Err(error) => {
            tracing::error!(tenant = tenant.name(), %error, "nobody knows who witnesses; it is tried again");
            return;
        }
    };
    pauses.retain(|key, _| witnesses.iter().any(|witness| witness.key == *key));
    for witness in &witnesses {
        if pauses.get(&witness.key).is_some_and(|pause| pause.until > Instant::now()) {
            continue;
        }
        let Err(error) = ask(log, outgoing, witness) else {
            pauses.remove(&witness.key);
            continue;
        };
        let failures = pauses.get(&witness.key).map_or(0, |pause| pause.failures).saturating_add(1);
        let pause = WITNESSING.saturating_mul(2_u32.saturating_pow(failures)).min(WITNESS_PAUSE_MAX);
        let (url, seconds) = (&witness.url, pause.as_secs());
        tracing::warn!(tenant = tenant.name(), url, seconds, %error, "a witness did not sign; it is asked again");
        pauses.insert(witness.key.clone(), Pause { failures, until: Instant::now() + pause });
    }
}

/// Why a witness did not sign.
#[derive(Debug, thiserror::Error)]
enum WitnessError {
    #[error(transparent)]
    Log(#[from] AuditError),
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("the server is stopping")]
    NoRuntime,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it answered what is no text")]
    NoText,
}

/// Asks one witness (C2SP tlog-witness, `add-checkpoint`), and once more when it knows another size than we think.
fn ask(log: &Log, outgoing: &Outgoing, witness: &Witness) -> Result<(), WitnessError> {
    let (url, key) = (witness.add_checkpoint()?, witness.verifier()?);
    let mut old = None;
    for _ in 0..2 {
        let Some(wanted) = log.witness_request(&key, old)? else { return Ok(()) };
        let mut request = OutgoingRequest::new(Method::POST, url.clone());
        request.body = Body::from(wanted.body);
        (request.timeout, request.answer_bytes_max) = (WITNESS_TIMEOUT, WITNESS_ANSWER_BYTES_MAX);
        let answer = outgoing.wait(outgoing.fetch(request)).ok_or(WitnessError::NoRuntime)??;
        let WholeAnswer { status, body, .. } = answer;
        let text = String::from_utf8(body).map_err(|_| WitnessError::NoText)?;
        match status {
            StatusCode::OK => {
                log.add_cosignatures(wanted.size, &text, std::slice::from_ref(&key))?;
                return Ok(());
            }
            // The size that it has seen, as text/x.tlog.size.
            StatusCode::CONFLICT => old = Some(text.trim_end().parse().map_err(|_| WitnessError::Status(status))?),
            status => return Err(WitnessError::Status(status)),
        }
    }
    Err(WitnessError::Status(StatusCode::CONFLICT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Settings};
    use crate::identity::{AUDIT, Event, EventKind, Outcome};
    use crate::modules::audit::note::{Checkpoint, KeyKind, Note, Signer as _, SignerKey};
    use crate::modules::audit::tree::{Hash, extends};
    use crate::wire::{OutgoingSettings, SystemResolver};
    use axum::Router;
    use axum::extract::State;
    use axum::response::IntoResponse as _;
    use axum::routing::post;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    const TENANT: u32 = 7;

    /// A witness: what it has seen last, and what it was sent.
    struct Seen {
        key: SignerKey,
        newest: (u64, Hash),
        asked: Vec<u64>,
        broken: bool,
    }

    type Stub = Arc<Mutex<Seen>>;

    /// `add-checkpoint`, as the specification has it.
    async fn add_checkpoint(State(stub): State<Stub>, body: String) -> axum::response::Response {
        let mut seen = stub.lock().unwrap();
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        seen.asked.push(old);
        if seen.broken {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        if old != seen.newest.0 {
            return (StatusCode::CONFLICT, [("content-type", "text/x.tlog.size")], format!("{}\n", seen.newest.0))
                .into_response();
        }
        let proof: Vec<Hash> = lines.map(|line| STANDARD.decode(line).unwrap().try_into().unwrap()).collect();
        let note = Note::parse(note).unwrap();
        let checkpoint = Checkpoint::parse(note.text()).unwrap();
        if old > 0 && !extends(old, &seen.newest.1, checkpoint.size, &checkpoint.root, &proof) {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        seen.newest = (checkpoint.size, checkpoint.root);
        note.cosign(&seen.key, 1_700_000_000).unwrap().into_response()
    }

    /// A log whose events and checkpoint have the size that is asked for.
    fn grown(engine: &Engine, size: u64) -> Log {
        let log = Audit::new(engine).log(TENANT);
        let more = size - log.size().unwrap();
        let event = || Event::new(TENANT, EventKind::TokenIssued, Outcome::Done, now()).change();
        engine.records(AUDIT).write((0..more).map(|_| event()).collect()).unwrap();
        assert_eq!(log.grow().unwrap().size, size);
        log.sign(&SignerKey::from_seed("audit.example/log", KeyKind::Log, &[1; 32]).unwrap(), now()).unwrap();
        log
    }

    #[test]
    fn a_witness_is_asked_until_it_signs_and_with_the_size_that_it_knows() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let key = SignerKey::from_seed("w.example/1", KeyKind::Witness, &[2; 32]).unwrap();
        let public = key.key().to_string();
        let log = grown(&engine, 3);
        // It has seen three events, and we do not know: as after a backup was put back.
        let newest = (3, log.root(3).unwrap());
        let stub = Arc::new(Mutex::new(Seen { key, newest, asked: Vec::new(), broken: true }));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/w/", listener.local_addr().unwrap());
        let router = Router::new().route("/w/add-checkpoint", post(add_checkpoint)).with_state(Arc::clone(&stub));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let settings = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
        let entered = runtime.enter();
        let outgoing = Outgoing::new(settings, SystemResolver).unwrap();
        drop(entered);
        let witness = Witness { url, key: public.clone() };
        let log = grown(&engine, 5);

        assert!(matches!(ask(&log, &outgoing, &witness), Err(WitnessError::Status(StatusCode::BAD_GATEWAY))));
        assert!(!log.checkpoint().unwrap().unwrap().note.contains("w.example/1"));
        stub.lock().unwrap().broken = false;
        ask(&log, &outgoing, &witness).unwrap();
        assert!(log.checkpoint().unwrap().unwrap().note.contains("w.example/1"));
        ask(&log, &outgoing, &witness).unwrap();
        let log = grown(&engine, 12);
        ask(&log, &outgoing, &witness).unwrap();
        assert!(log.checkpoint().unwrap().unwrap().note.contains("w.example/1"));
        // The third time nothing was new; the fourth began from what it had signed.
        assert_eq!(stub.lock().unwrap().asked, [0, 0, 3, 5]);

        // One that has seen more than there is shows that the log was set back.
        stub.lock().unwrap().newest.0 = 40;
        let log = grown(&engine, 13);
        let error = ask(&log, &outgoing, &witness).unwrap_err();
        assert!(error.to_string().contains("set back"), "{error}");
    }
}
