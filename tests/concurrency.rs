//! Writers and readers together, over several stores. Every write is logged with its revision, every answer with the
//! revision it carries; afterwards the log is replayed and the oracle must give each answer. `BAILIWICK_RACES` sets how many
//! answers, `BAILIWICK_SEED` which writes and questions.

use crate::agree::number;
use crate::oracle::{Oracle, Value};
use crate::story;
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use bailiwick::vector::{Effort, Element, Metric, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Answers that are compared before the next round starts, so that a long run needs no more memory than a short one.
const ANSWERS_PER_ROUND: u64 = 100_000;
const STORES: u64 = 3;
const WRITERS: u64 = 3;
const READERS: u64 = 3;
/// Chunks of a store's collection; each belongs to one writer.
const CHUNKS: u64 = 15;
/// Snapshots kept, so that questions about an exact revision find some and miss some.
const RETAINED: usize = 64;
/// Writes that a round waits for, and views after which a reader waits no longer.
const WRITES_PER_ROUND_MIN: u64 = 400;
const VIEWS_PER_READER_MAX: usize = 20_000;
/// Writes in one round, so that replaying has an end.
const WRITES_PER_WRITER_MAX: u64 = 4_000;

const TYPES: &str = "type user
type group
  relations
    define member: [user, user:*, group#member]
type folder
  relations
    define parent: [folder]
    define blocked: [user, group#member]
";

/// The models that take turns: they differ in how relations are computed and in what tuples they let count.
pub(crate) fn models() -> Vec<Model> {
    let viewers = [
        "    define viewer: [user, group#member] or viewer from parent\n",
        "    define viewer: ([user, group#member] or viewer from parent) but not blocked\n",
        "    define viewer: [user] or viewer from parent\n",
    ];
    viewers.iter().map(|viewer| story::model(&format!("{TYPES}{viewer}"))).collect()
}

/// Everybody's tuples; each belongs to one writer, so that the order of two writers does not matter.
pub(crate) fn universe() -> Vec<Tuple> {
    let mut texts = Vec::new();
    for n in 0..4 {
        for user in ["user:a", "user:b", "user:*"] {
            texts.push(format!("group:{n} member {user}"));
        }
        for user in ["user:a", "user:b", "user:c"] {
            texts.push(format!("folder:{n} viewer {user}"));
        }
        for m in 0..4 {
            texts.push(format!("folder:{n} viewer group:{m}#member"));
            if n != m {
                texts.push(format!("group:{n} member group:{m}#member"));
                texts.push(format!("folder:{n} parent folder:{m}"));
            }
        }
        texts.push(format!("folder:{n} blocked user:a"));
        texts.push(format!("folder:{n} blocked group:{}#member", (n + 1) % 4));
    }
    texts.iter().map(|text| story::tuple(text)).collect()
}

#[derive(Clone)]
enum Change {
    Model(usize),
    /// Tuples, and chunks that move to another folder in the same request.
    Tuples {
        writes: Vec<usize>,
        deletes: Vec<usize>,
        moves: Vec<(u64, u64)>,
    },
}

struct Event {
    revision: Revision,
    store: usize,
    change: Change,
}

enum Answer {
    Check {
        object: Object,
        relation: &'static str,
        allowed: bool,
    },
    Objects {
        relation: &'static str,
        ids: BTreeSet<String>,
    },
    /// The chunks that a search found, of all that are visible.
    Search {
        relation: &'static str,
        chunks: BTreeSet<u64>,
    },
    Users {
        object: Object,
        relation: &'static str,
        listed: BTreeSet<Subject>,
    },
}

/// What one view answered about one subject.
struct Seen {
    revision: Revision,
    store: usize,
    subject: Subject,
    answers: Vec<Answer>,
}

/// Numbers that look random and come again with their seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// What all threads share.
struct Race<'a> {
    database: &'a Bailiwick,
    stores: &'a [StoreId],
    models: &'a [Model],
    universe: &'a [Tuple],
    /// The newest revision that any writer has been told of.
    acknowledged: AtomicU64,
    answered: AtomicU64,
    written: AtomicU64,
    done: AtomicBool,
    wanted: u64,
    ids: &'a AtomicU64,
    /// The revision at which all stores were whole.
    started: Revision,
}

impl Race<'_> {
    fn writer(&self, writer: u64, seed: u64) -> Vec<Event> {
        let mut random = Random(seed);
        let own: Vec<usize> = (0..self.universe.len()).filter(|n| *n as u64 % WRITERS == writer).collect();
        let mut there = vec![BTreeSet::new(); self.stores.len()];
        let mut events = Vec::new();
        for _ in 0..WRITES_PER_WRITER_MAX {
            if self.done.load(Ordering::Relaxed) {
                break;
            }
            let store = usize::try_from(random.below(STORES)).unwrap();
            let (change, written) = if writer == 0 && random.below(20) == 0 {
                self.change_model(store, &mut random)
            } else {
                self.toggle(store, &own, &mut there[store], &mut random)
            };
            match written {
                Ok(at) => {
                    self.acknowledged.fetch_max(at.revision.0, Ordering::SeqCst);
                    self.written.fetch_add(1, Ordering::Relaxed);
                    events.push(Event { revision: at.revision, store, change });
                }
                // The model of the moment does not take it: nothing was written.
                Err(WriteError::Tuple { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        events
    }

    fn change_model(&self, store: usize, random: &mut Random) -> (Change, Result<At<()>, WriteError>) {
        let n = usize::try_from(random.below(self.models.len() as u64)).unwrap();
        let id = ModelId(ulid::Ulid::from_parts(self.ids.fetch_add(1, Ordering::Relaxed), 2));
        (Change::Model(n), self.database.write_model(self.stores[store], id, self.models[n].clone()))
    }

    /// Grants what is not there and revokes what is, up to three of the writer's own tuples.
    fn toggle(
        &self,
        store: usize,
        own: &[usize],
        there: &mut BTreeSet<usize>,
        random: &mut Random,
    ) -> (Change, Result<At<()>, WriteError>) {
        let chosen: BTreeSet<usize> = (0..=random.below(3)).map(|_| random.pick(own)).collect();
        let (deletes, writes): (Vec<usize>, Vec<usize>) = chosen.iter().partition(|n| there.contains(n));
        let tuples = |of: &[usize]| of.iter().map(|n| self.universe[*n].clone()).collect();
        let query = WriteQuery { writes: tuples(&writes), deletes: tuples(&deletes), ..WriteQuery::default() };
        let mut moves = Vec::new();
        let written = if random.below(3) == 0 {
            let mine = u64::try_from(own[0]).unwrap() + WRITERS * random.below(CHUNKS / WRITERS);
            moves.push((mine, random.below(4)));
            let upserts = moves.iter().map(|(chunk, folder)| new_chunk(*chunk, *folder)).collect();
            let query = ChunksQuery { upserts, tuples: query, ..ChunksQuery::default() };
            let written = self.database.write_chunks(self.stores[store], COLLECTION, query, Timestamp(1));
            written.map(|at| At { revision: at.revision, value: () })
        } else {
            self.database.write(self.stores[store], None, query, Timestamp(1))
        };
        if written.is_ok() {
            there.retain(|n| !deletes.contains(n));
            there.extend(&writes);
        }
        (Change::Tuples { writes, deletes, moves }, written)
    }

    fn reader(&self, seed: u64) -> Vec<Seen> {
        let mut random = Random(seed);
        let mut seen = Vec::new();
        while self.answered.load(Ordering::Relaxed) < self.wanted
            || self.written.load(Ordering::Relaxed) < WRITES_PER_ROUND_MIN && seen.len() < VIEWS_PER_READER_MAX
        {
            let store = usize::try_from(random.below(STORES)).unwrap();
            let acknowledged = Revision(self.acknowledged.load(Ordering::SeqCst));
            let view = |consistency| self.database.view(self.stores[store], None, consistency);
            let view = match random.below(8) {
                0 => {
                    let back = Revision(acknowledged.0.saturating_sub(random.below(2 * RETAINED as u64)));
                    match view(Consistency::Exact(back)) {
                        Ok(view) => {
                            assert_eq!(view.revision(), back, "an exact question");
                            view
                        }
                        // Let go already, or from before the store had a model.
                        Err(QuestionError::RevisionGone { .. } | QuestionError::NoModel(_)) => continue,
                        Err(error) => panic!("{error}"),
                    }
                }
                1 => newest(view(Consistency::AtLeast(acknowledged)).unwrap(), acknowledged),
                _ => newest(view(Consistency::Latest).unwrap(), acknowledged),
            };
            let revision = view.revision();
            if revision < self.started {
                continue; // from before the stores were whole
            }
            let (subject, answers) = ask(&view, &mut random);
            self.answered.fetch_add(answers.len() as u64, Ordering::Relaxed);
            seen.push(Seen { revision, store, subject, answers });
        }
        self.done.store(true, Ordering::Relaxed);
        seen
    }
}

/// What was acknowledged before the question is in the answer.
fn newest(view: View, acknowledged: Revision) -> View {
    let revision = view.revision();
    assert!(revision >= acknowledged, "{acknowledged:?} was acknowledged, and {revision:?} answers");
    view
}

/// One client that only asks for the newest: it never goes back, and sees all that was acknowledged before it asked.
fn client(race: &Race<'_>, seed: u64) -> Vec<Seen> {
    let mut random = Random(seed);
    let mut last = Revision(0);
    let mut seen = Vec::new();
    while !race.done.load(Ordering::Relaxed) {
        let store = usize::try_from(random.below(STORES)).unwrap();
        let acknowledged = Revision(race.acknowledged.load(Ordering::SeqCst));
        let view = newest(race.database.view(race.stores[store], None, Consistency::Latest).unwrap(), acknowledged);
        let revision = view.revision();
        assert!(revision >= last, "the token went back from {last:?} to {revision:?}");
        last = revision;
        let (subject, answers) = ask(&view, &mut random);
        race.answered.fetch_add(answers.len() as u64, Ordering::Relaxed);
        seen.push(Seen { revision, store, subject, answers });
    }
    seen
}

/// A batch of checks and lists about one subject, of one view.
fn ask(view: &View, random: &mut Random) -> (Subject, Vec<Answer>) {
    let names = ["user:a", "user:b", "user:c", "user:*", "group:1#member", "group:3#member"];
    let subject = SubjectRef::parse(random.pick(&names)).unwrap().to_owned();
    let (given, limits) = (Given::default(), Limits::default());
    let folder = |n: u64| Object { object_type: "folder".into(), id: n.to_string() };
    let mut answers = Vec::new();
    for _ in 0..12 {
        let (object, relation) = (folder(random.below(5)), random.pick(&["viewer", "blocked"]));
        let key = TupleKeyRef { object: object.as_ref(), relation, subject: subject.as_ref() };
        let allowed = view.check(&CheckQuery { key, given }, &limits).unwrap() == Decision::Allow;
        answers.push(Answer::Check { object, relation, allowed });
    }
    let relation = random.pick(&["viewer", "blocked"]);
    answers.push(search(view, subject.as_ref(), relation));
    let query = ListObjectsQuery { object_type: "folder", relation, subject: subject.as_ref(), given };
    let ids = view.list_objects(&query, &limits).unwrap().iter().map(str::to_owned).collect();
    answers.push(Answer::Objects { relation, ids });
    if random.below(4) == 0 {
        let object = folder(random.below(4));
        let query = ListUsersQuery {
            object: object.as_ref(),
            relation: "viewer",
            subject_type: "user",
            subject_relation: None,
            given,
        };
        let listed = view.list_users(&query, &limits).unwrap().into_iter().collect();
        answers.push(Answer::Users { object, relation: "viewer", listed });
    }
    (subject, answers)
}

const COLLECTION: &str = "chunks";

fn new_chunk(chunk: u64, folder: u64) -> NewChunk {
    let object = Object { object_type: "folder".into(), id: folder.to_string() };
    let vector = vec![f32::from(u8::try_from(chunk).unwrap()), 1.0];
    NewChunk { id: chunk.to_string(), object, vector, text: None, payload: None }
}

fn search(view: &View, subject: SubjectRef<'_>, relation: &'static str) -> Answer {
    let query = SearchQuery {
        collection: COLLECTION,
        subject,
        agent: None,
        vectors: &[vec![1.0, 1.0]],
        k: 100,
        relation: Some(relation),
        filter: None,
        effort: Effort::Balanced,
        given: Given::default(),
        with: With::default(),
    };
    let found = view.search(&query, &Limits::default()).unwrap().remove(0);
    assert_eq!(found.hits.len(), found.visible);
    let chunks = found.hits.iter().map(|hit| hit.chunk.id.parse().unwrap()).collect();
    Answer::Search { relation, chunks }
}

/// Replays the log and compares every answer with the oracle's at its revision.
fn judge(race: &Race<'_>, mut events: Vec<Event>, mut seen: Vec<Seen>) -> usize {
    events.sort_by_key(|event| event.revision); // stable: one writer's events keep their order
    seen.sort_by_key(|s| s.revision);
    let mut models = vec![0; race.stores.len()];
    let mut there = vec![BTreeSet::new(); race.stores.len()];
    let mut folders: Vec<BTreeMap<u64, u64>> = vec![(0..CHUNKS).map(|n| (n, n % 4)).collect(); race.stores.len()];
    let mut events = events.into_iter().peekable();
    let mut known: BTreeMap<(usize, String), crate::oracle::Answers> = BTreeMap::new();
    let mut judged = 0;
    let decide = |_: &TupleCondition| Value::True;
    for s in seen {
        while let Some(event) = events.next_if(|event| event.revision <= s.revision) {
            known.retain(|(store, _), _| *store != event.store);
            match event.change {
                Change::Model(n) => models[event.store] = n,
                Change::Tuples { writes, deletes, moves } => {
                    folders[event.store].extend(moves);
                    for n in deletes {
                        assert!(there[event.store].remove(&n), "deleted, but never written");
                    }
                    there[event.store].extend(writes);
                }
            }
        }
        let tuples = there[s.store].iter().map(|n| &race.universe[*n]);
        let oracle = Oracle::new(&race.models[models[s.store]], tuples, &decide);
        let mut of = |subject: &Subject| {
            let answers = known.entry((s.store, subject.to_string()));
            answers.or_insert_with(|| oracle.answers(subject)).clone()
        };
        let own = of(&s.subject);
        for answer in &s.answers {
            let what = format!("at {:?}, store {}, {}", s.revision, s.store, s.subject);
            match answer {
                Answer::Check { object, relation, allowed } => {
                    let expected = oracle.check(&own, object, relation) == Value::True;
                    assert_eq!(*allowed, expected, "check {object} {relation} {what}");
                }
                Answer::Objects { relation, ids } => {
                    let [expected, _] = oracle.list_objects(&own, "folder", relation);
                    assert_eq!(*ids, expected, "list objects {relation} {what}");
                }
                Answer::Search { relation, chunks } => {
                    let [visible, _] = oracle.list_objects(&own, "folder", relation);
                    let expected = folders[s.store].iter().filter(|(_, folder)| visible.contains(&folder.to_string()));
                    let expected: BTreeSet<u64> = expected.map(|(chunk, _)| *chunk).collect();
                    assert_eq!(*chunks, expected, "search {relation} {what}");
                }
                Answer::Users { object, relation, listed } => {
                    let everybody = Subject::Wildcard { object_type: "user".into() };
                    let open = oracle.check(&of(&everybody), object, relation) == Value::True;
                    for subject in
                        ["user:a", "user:b", "user:c", "user:*"].map(|s| SubjectRef::parse(s).unwrap().to_owned())
                    {
                        let has = oracle.check(&of(&subject), object, relation) == Value::True;
                        let listed = listed.contains(&subject);
                        // Those whom the wildcard covers may be left out.
                        assert!(
                            listed == has || has && open && subject != everybody,
                            "list users {object} {relation} {what}"
                        );
                    }
                }
            }
            judged += 1;
        }
    }
    judged
}

/// One round: how many answers were compared, and how many writes there were.
fn round(database: &Bailiwick, ids: &AtomicU64, seed: u64, wanted: u64) -> (usize, usize) {
    let models = models();
    let universe = universe();
    let stores: Vec<StoreId> = (0..STORES)
        .map(|_| {
            let store = StoreId(ulid::Ulid::from_parts(ids.fetch_add(1, Ordering::Relaxed), 1));
            database.create_store(store, "race", Timestamp(1)).unwrap();
            let id = ModelId(ulid::Ulid::from_parts(ids.fetch_add(1, Ordering::Relaxed), 2));
            database.write_model(store, id, models[0].clone()).unwrap();
            let guard = Guard { object_type: "folder".into(), relation: "viewer".into() };
            let space = Space::new(2, Metric::Dot, Element::F32).unwrap();
            let spec = CollectionSpec { name: COLLECTION.into(), space, guard };
            database.create_collection(store, spec, Timestamp(1)).unwrap();
            let upserts = (0..CHUNKS).map(|n| new_chunk(n, n % 4)).collect();
            let query = ChunksQuery { upserts, ..ChunksQuery::default() };
            database.write_chunks(store, COLLECTION, query, Timestamp(1)).unwrap();
            store
        })
        .collect();
    let race = Race {
        database,
        stores: &stores,
        models: &models,
        universe: &universe,
        acknowledged: AtomicU64::new(database.revision().0),
        answered: AtomicU64::new(0),
        written: AtomicU64::new(0),
        done: AtomicBool::new(false),
        wanted,
        ids,
        started: database.revision(),
    };
    let (events, seen) = std::thread::scope(|scope| {
        let race = &race;
        let writers: Vec<_> = (0..WRITERS).map(|w| scope.spawn(move || race.writer(w, seed ^ (w << 40)))).collect();
        let readers: Vec<_> = (0..READERS).map(|r| scope.spawn(move || race.reader(seed ^ ((r + 7) << 44)))).collect();
        let client = scope.spawn(move || client(race, seed ^ 99));
        let events: Vec<Event> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        let mut seen: Vec<Seen> = readers.into_iter().flat_map(|r| r.join().unwrap()).collect();
        seen.extend(client.join().unwrap());
        (events, seen)
    });
    let writes = events.len();
    let judged = judge(&race, events, seen);
    for store in stores {
        database.delete_store(store, Timestamp(2)).unwrap();
    }
    (judged, writes)
}

#[test]
fn every_answer_is_the_oracles_at_its_revision() {
    let (races, seed) = (number("BAILIWICK_RACES", ANSWERS_PER_ROUND), number("BAILIWICK_SEED", 1));
    eprintln!("concurrency: {races} answers, BAILIWICK_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    // Few chunks, so that rows are laid out anew all the time.
    let settings = Settings { sync: false, snapshots_retained: RETAINED, arrange_chunks_min: 8, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings).unwrap();
    let ids = AtomicU64::new(1);
    let (mut judged, mut writes) = (0, 0);
    for n in 0..races.div_ceil(ANSWERS_PER_ROUND) {
        let wanted = ANSWERS_PER_ROUND.min(races);
        let (compared, written) = round(&database, &ids, (seed + n).wrapping_mul(0x9E37_79B9_7F4A_7C15), wanted);
        judged += compared;
        writes += written;
    }
    assert!(judged as u64 >= races * 9 / 10, "only {judged} answers were compared");
    assert!(writes > 50, "only {writes} writes happened");
    let report = database.verify().unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
    eprintln!("concurrency: {judged} answers are the oracle's, between {writes} writes");
}
