//! `bailiwick demo agents`: an agent writes and sends a proposal for Sarah. A real server with two tenants, stub applications
//! around it, and everything over HTTP: people in browsers, the agent with its key. Each step says what was allowed and what was
//! refused, and why; one that goes otherwise ends the story with a failure. `docs/story.md` is its page.

mod across;
mod act;
mod app;
mod approve;
mod browser;
mod discover;
mod gather;
mod keys;
mod licences;
mod pager;
mod people;
mod prepare;
mod prove;
mod resources;
mod scan;
mod sign_in;
mod stubs;
mod tell;
mod web;
mod world;

use super::Failure;
use super::demo::START_TIMEOUT;
use super::show::{Tone, paint, say};
use app::App;
use bailiwick::engine::Engine;
use bailiwick::identity::Identity;
use bailiwick::server::{Issuers, ServeError, Settings, serve};
use bailiwick::wire::{OutgoingSettings, fresh_id};
use keys::Key;
use people::Person;
use scan::Secret;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stubs::start::Apps;
use tell::Teller;
use tokio::runtime::Runtime;
use web::{Tape, Web};
use world::{Places, World};

/// Everything that the story is played with.
struct Story {
    teller: Teller,
    tape: Tape,
    directory: PathBuf,
    world: World,
    /// The key of the agent, which only the agent has.
    key: Arc<Key>,
    apps: Apps,
    /// The engine's own surface, and the store of the company's data there.
    engine_at: SocketAddr,
    store: String,
    /// What the agent gathered: from where, and what.
    context: Vec<(&'static str, String)>,
    /// By which the agent's application knows who tells it of decisions.
    notification_token: String,
    sarah: Person,
    bob: Person,
    john: Person,
    olga: Person,
    agent: App,
    console: App,
    /// What looks for agents that nobody registered.
    scout: App,
    /// The token with which Olga works, and what Sarah's sign-in gave the agent.
    olga_token: String,
    signed_in: serde_json::Value,
    /// What ties together all that the agent does for this proposal (W3C Trace Context).
    trace: String,
    john_token: String,
    /// What the agent shows to each MCP server: a token for it alone.
    narrowed: BTreeMap<&'static str, String>,
    /// A token that reads the CRM, and the one that Sarah's approval gave.
    read_only: String,
    approved: String,
    /// The id of the approval.
    approval: String,
    /// When Sarah connected her accounts.
    connected_at: u64,
    secrets: Vec<Secret>,
}

/// Plays the story in a temporary directory, or in one that is kept, with what everybody sent and received.
pub(super) fn run(keep: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let temporary = || std::env::temp_dir().join(format!("bailiwick-story-{}", fresh_id()));
    let (kept, directory) = (keep.is_some(), keep.unwrap_or_else(temporary));
    std::fs::create_dir(&directory).map_err(|reason| Failure::File { path: directory.clone(), reason })?;
    let tape = Tape::default();
    log(&tape);
    let mut told = served(&directory, &tape);
    if kept {
        told = told.and_then(|sums| recordings(&directory, &tape).map(|()| sums));
    } else {
        let _ = std::fs::remove_dir_all(&directory); // a leftover in the temporary directory harms nobody
    }
    let (allowed, refused) = told?;
    let took = begun.elapsed().as_secs_f64();
    let sum =
        format!("Everything was as it must be: {allowed} times allowed, {refused} times refused, in {took:.1} s.");
    say(format!("\n{}", paint(&sum, Tone::Strong)));
    say("Not played: custom claims (2.2).");
    say("docs/story.md says what each step proves, and where its code is.");
    Ok(ExitCode::SUCCESS)
}

/// Writes down what everybody sent and received, and what the server logged: a file each.
fn recordings(directory: &Path, tape: &Tape) -> Result<(), Failure> {
    let directory = directory.join("recordings");
    let failed = |path: &Path, reason| Failure::File { path: path.to_owned(), reason };
    std::fs::create_dir(&directory).map_err(|reason| failed(&directory, reason))?;
    for (who, bytes) in tape.all() {
        let path = directory.join(format!("{who}.txt"));
        std::fs::write(&path, bytes).map_err(|reason| failed(&path, reason))?;
    }
    Ok(())
}

/// Keeps all that the server logs, at its most talkative: it is searched for secrets too.
fn log(tape: &Tape) {
    let tape = tape.clone();
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    // Where something else takes the log already, as in a test, there is none to search here.
    let _ = lines.with_writer(move || Lines(tape.clone())).try_init();
}

/// Lines of the log, for the tape.
struct Lines(Tape);

impl std::io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.keep("log", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A runtime for the server and the stubs; people and the agent are on this thread.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::Said(format!("no threads: {error}")))
}

/// Starts the server and the stubs, plays, and stops them.
fn served(directory: &Path, tape: &Tape) -> Result<(usize, usize), Failure> {
    let bind = |reason| Failure::Serve(ServeError::Bind { address: SocketAddr::from(([127, 0, 0, 1], 0)), reason });
    let listener = TcpListener::bind("127.0.0.1:0").map_err(bind)?;
    let base = format!("http://{}", listener.local_addr().map_err(bind)?);
    let data = directory.join("data");
    // What is left is searched for secrets, by us and by others.
    let engine = Engine::open_with(&data, bailiwick::engine::Settings { compress: false, ..Default::default() })?;
    let (ring, ring_key) = prepare::key_ring()?;
    let identity = super::identity::open(engine.clone(), ring)?;
    let runtime = runtime()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, listening) = std::sync::mpsc::channel();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        http: free,
        grpc: free,
        drain_timeout: Duration::from_secs(1),
        // The stubs are on this machine, where a server looks for nobody's API unless it is told to.
        outgoing: OutgoingSettings { loopback: true, ..OutgoingSettings::default() },
        issuers: Some(Issuers { listener: Arc::new(listener), mutual_tls: None, identity: identity.clone() }),
        ..Settings::default()
    };
    let serving = engine.clone();
    let server = runtime.spawn(async move {
        let said = move |http, _| {
            let _ = ready.send(http); // nobody waits any more: the story has failed
        };
        let stopped = async {
            let _ = stopped.await; // an error means that the story has ended as well
        };
        serve(serving, settings, said, stopped).await
    });
    let told = match listening.recv_timeout(START_TIMEOUT) {
        Ok(http) => {
            Story::new(&runtime, (directory, tape), (&engine, &identity), (&base, http, ring_key)).and_then(Story::play)
        }
        Err(_) => Err(Failure::Said("the server did not start".into())),
    };
    drop(stop);
    match runtime.block_on(server) {
        Ok(served) => served.map_err(Failure::from).and(told),
        Err(_) => Err(Failure::Said("the server broke off".into())),
    }
}

impl Story {
    /// The stubs, the two tenants, and people and programs who have done nothing yet.
    fn new(
        runtime: &Runtime,
        (directory, tape): (&Path, &Tape),
        (engine, identity): (&Engine, &Identity),
        (base, engine_at, ring_key): (&str, SocketAddr, Vec<u8>),
    ) -> Result<Story, Failure> {
        let mut apps = Apps::start(runtime)?;
        let places = Places {
            acme: format!("{base}/acme"),
            pricing: format!("{base}/pricing"),
            portal: apps.portal_url.clone(),
            prices: apps.prices_url.clone(),
        };
        let world = World::new(engine, identity, places.clone())?;
        let key = Arc::new(Key::new("2026-11")?);
        let service = world.pricing_domain(&key)?;
        let prices = stubs::prices::Prices {
            url: places.prices.clone(),
            introspection: format!("{}/introspect", places.pricing),
            authorization: stubs::prices::basic("price-service", &service),
            web: Web::new("prices", tape),
        };
        if let Some(listener) = apps.prices.take() {
            stubs::serve(runtime, listener, Arc::new(prices).routes());
        }
        let person = |who, id, login| Person::new(who, id, login, tape);
        let callback = places.callback();
        let mut agent = App::new("agent", tape, (world::AGENT, &places.acme, &callback)).with_key(&key);
        let trace = format!("{:032x}", fresh_id().0);
        agent.begin_task(&trace);
        let console = App::new("console", tape, ("console", &places.acme, &callback));
        let scouts = Arc::new(Key::new("2026-11")?);
        world.scout(&scouts, (&apps.crm_url, &apps.directory_key))?;
        let scout = App::new("scout", tape, (world::SCOUT, &places.acme, "")).with_key(&scouts);
        let mut story = Story {
            teller: Teller::default(),
            directory: directory.to_owned(),
            sarah: person("Sarah", "sarah", "sarah@acme.example"),
            bob: person("Bob", "bob", "bob@acme.example"),
            john: person("John", "john", "john@acme.example"),
            olga: person("Olga", "olga", "olga@acme.example"),
            agent,
            world,
            key,
            apps,
            engine_at,
            store: String::new(),
            context: Vec::new(),
            narrowed: BTreeMap::new(),
            notification_token: keys::secret(),
            tape: tape.clone(),
            console,
            scout,
            olga_token: String::new(),
            john_token: String::new(),
            read_only: String::new(),
            approved: String::new(),
            approval: String::new(),
            connected_at: 0,
            signed_in: serde_json::Value::Null,
            trace,
            secrets: Vec::new(),
        };
        story.keeps_secret("the key of the key ring", ring_key, &[]);
        story.keeps_secret("the secret of the price service", service.into_bytes(), &["prices"]);
        story.keeps_secret("the scout's private key", scouts.private()?, &[]);
        story.keeps_secret("the key of the CRM's list of accounts", story.apps.directory_key.clone(), &[]);
        Ok(story)
    }

    /// Remembers a secret, to look for it at the end, and who may have seen it.
    fn keeps_secret(&mut self, name: &str, bytes: impl Into<Vec<u8>>, seen_by: &'static [&'static str]) {
        self.secrets.push(Secret { name: name.to_owned(), bytes: bytes.into(), seen_by });
    }

    /// Plays all of it. Answers how often something was allowed and refused.
    fn play(mut self) -> Result<(usize, usize), Failure> {
        self.prepare()?;
        self.signs_in()?;
        self.gathers()?;
        self.goes_across()?;
        self.asks_for_approval()?;
        self.acts()?;
        self.buys_licences()?;
        self.is_proved()?;
        Ok((self.teller.allowed, self.teller.refused))
    }
}
