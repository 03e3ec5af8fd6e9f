//! Filtered search on real embeddings: recall at 10 and searches a second of one core, by the share of rows allowed.
//!
//! `cargo bench --bench search` takes the 63,666 packages of `../shared/data/debian`; `-- small` the first 6,000 of them,
//! `-- 1e6` a million made from them: each row mixed with one of its team and noise, 30 % of them moved to another team.
//! Sets are uniform (rows one by one) and by team (whole teams). Layouts are shuffled and grouped by team. Speeds are of
//! CPU time of the searching thread, so that waiting for a core is left out. Every answer is compared with the exact one,
//! and some exact ones with a plain loop; a wrong one stops the bench. Writes a JSON and an SVG (recall against speed) to
//! a folder, the second argument; the third is the data's, if elsewhere.
//!
//! With `ask` before these arguments it is one side of `bench/peers/run.py`: it lays rows out by team, writes the users'
//! sets to the folder, prints `{"build_cpu_s":...}`, and then measures each cell that a line of its input names
//! (`team 25`), printing one line of JSON for each.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

mod data;

use bailiwick::tuple::{ObjectSet, Ordinal};
use bailiwick::vector::{Chunk, Effort, Element, Graph, Hit, Metric, PlanKind, Query, RowSet, Space, Vectors, search};
use data::{Dice, halves};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIMENSION: usize = 384;
const SHARES: [f64; 9] = [0.01, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 90.0, 100.0];
const WIDTHS: [usize; 6] = [32, 64, 96, 128, 256, 512];
const USERS: usize = 10;
const QUERIES: usize = 25;
const K: usize = 10;

/// CPU time that a cell is measured for at least.
const ROUND_NS_MIN: u64 = 150_000_000;

/// CPU seconds of all threads of this process, in steps of the system's tick.
fn process_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = text.rsplit(") ").next().unwrap().split(' ').skip(11).take(2);
    ticks.map(|t| t.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// CPU nanoseconds of this thread.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// About normal, of variance one.
fn normal(dice: &mut Dice) -> f32 {
    let sum: u64 = (0..4).map(|_| dice.roll() >> 40).sum();
    (sum as f32 / (1 << 24) as f32 - 2.0) * 1.732
}

struct World {
    rows: Vec<Vec<f32>>,
    team_of: Vec<usize>,
    teams: Vec<Vec<usize>>,
    queries: Vec<Vec<f32>>,
}

fn world(data: &Path, size: usize) -> World {
    let base = halves(&data.join("packages.f16.npy"));
    let file = std::fs::File::open(data.join("packages.jsonl.zst")).unwrap();
    let mut numbers = BTreeMap::new();
    let team = |line: Result<String, _>| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["team"].to_string();
    let names: Vec<String> = BufReader::new(zstd::Decoder::new(file).unwrap()).lines().map(team).collect();
    let mut team_of: Vec<usize> = Vec::new();
    for name in names {
        let next = numbers.len();
        team_of.push(*numbers.entry(name).or_insert(next));
    }
    let queries = halves(&data.join("queries.f16.npy"));
    let mut mates = vec![Vec::new(); numbers.len()];
    team_of.iter().enumerate().for_each(|(row, team)| mates[*team].push(row));
    let mut rows: Vec<Vec<f32>> = base.iter().take(size).cloned().collect();
    team_of.truncate(rows.len());
    let mut dice = Dice(5);
    while rows.len() < size {
        let from = rows.len() % base.len();
        let team = team_of[from];
        let mate = &base[mates[team][dice.below(mates[team].len())]];
        let alpha = 0.1 + 0.3 * (dice.below(1_000) as f32 / 1_000.0);
        let noise = 0.25 / (DIMENSION as f32).sqrt();
        rows.push(
            base[from]
                .iter()
                .zip(mate)
                .map(|(a, b)| (1.0 - alpha) * a + alpha * b + noise * normal(&mut dice))
                .collect(),
        );
        team_of.push(if dice.below(10) < 3 { dice.below(numbers.len()) } else { team });
    }
    let mut teams = vec![Vec::new(); numbers.len()];
    team_of.iter().enumerate().for_each(|(row, team)| teams[*team].push(row));
    World { rows, team_of, teams, queries }
}

/// The rows of `USERS` users who may see about `share` percent.
fn users(world: &World, by_team: bool, share: f64, dice: &mut Dice) -> Vec<ObjectSet> {
    let count = ((world.rows.len() as f64 * share / 100.0) as usize).max(1);
    let mut parts: Vec<Vec<usize>> =
        if by_team { world.teams.clone() } else { (0..world.rows.len()).map(|row| vec![row]).collect() };
    parts.retain(|part| part.len() <= count.max(8));
    let mut user = || {
        let mut rows: Vec<u32> = Vec::new();
        for at in 0..parts.len() {
            let other = at + dice.below(parts.len() - at);
            parts.swap(at, other);
            if rows.len() >= count {
                break;
            }
            // A team that would overshoot by far is left out, so that shares are what they say.
            if share > 50.0 || rows.len() + parts[at].len() <= count + count / 5 + 2 {
                rows.extend(parts[at].iter().map(|row| *row as u32));
            }
        }
        rows.into_iter().map(Ordinal).collect()
    };
    (0..USERS).map(|_| user()).collect()
}

fn plain(world: &World, allowed: &ObjectSet, query: &[f32]) -> Vec<(f32, u32)> {
    let unit = |v: &[f32]| {
        let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.iter().map(|x| x / length).collect::<Vec<f32>>()
    };
    let query = unit(query);
    let score = |row: &Vec<f32>| unit(row).iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
    let mut all: Vec<(f32, u32)> = allowed.iter().map(|o| (score(&world.rows[o.0 as usize]), o.0)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.truncate(K);
    all
}

/// One effort in one cell.
struct Point {
    label: String,
    recall: f64,
    /// Searches a CPU second.
    speed: f64,
    /// Mean visits of a search.
    visits: f64,
    /// The share of searches that the graph answered.
    walked: f64,
}

impl Point {
    fn json(&self) -> Value {
        json!({"plan": self.label, "recall": self.recall, "searches_per_cpu_second": self.speed, "visits": self.visits,
            "by_graph": self.walked})
    }
}

struct Cell<'a> {
    vectors: &'a Vectors,
    graph: &'a Graph,
    sets: Vec<RowSet>,
    queries: &'a [Query],
}

impl Cell<'_> {
    fn truth(&self) -> Vec<Vec<Hit>> {
        let ask = |(set, query)| self.vectors.scan(query, set, K).unwrap();
        self.pairs().map(ask).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&RowSet, &Query)> {
        let queries = self.queries.len();
        self.sets.iter().enumerate().flat_map(move |(user, set)| {
            (0..QUERIES).map(move |at| (set, &self.queries[(user * QUERIES + at) % queries]))
        })
    }

    /// Measures every effort.
    fn points(&self, truth: &[Vec<Hit>], share: f64) -> Vec<Point> {
        let mut efforts = vec![("exact".to_owned(), Effort::Exact), ("balanced".to_owned(), Effort::Balanced)];
        let widths = WIDTHS.iter().filter(|_| share >= 5.0);
        efforts.extend(widths.map(|width| (format!("w{width}"), Effort::Width(*width))));
        efforts.into_iter().map(|(label, effort)| self.measure(label, truth, effort)).collect()
    }

    fn measure(&self, label: String, truth: &[Vec<Hit>], effort: Effort) -> Point {
        let (mut found, mut due, mut visits, mut walked) = (0, 0, 0, 0);
        let start = cpu_ns();
        let ask = |(set, query)| search(self.vectors, Some(self.graph), query, set, K, effort).unwrap();
        let answers: Vec<_> = self.pairs().map(ask).collect();
        let mut rounds = 1.0;
        // The system counts CPU time in steps of milliseconds: short rounds are repeated.
        while cpu_ns() - start < ROUND_NS_MIN {
            self.pairs().for_each(|pair| drop(std::hint::black_box(ask(pair))));
            rounds += 1.0;
        }
        let seconds = (cpu_ns() - start) as f64 / 1e9 / rounds;
        for (answer, truth) in answers.iter().zip(truth) {
            assert_eq!(answer.hits.len(), truth.len(), "never fewer than there are");
            due += truth.len();
            found += truth.iter().filter(|hit| answer.hits.contains(hit)).count();
            visits += answer.visited;
            walked += usize::from(answer.plan == PlanKind::Graph);
        }
        let count = answers.len() as f64;
        Point {
            label,
            recall: found as f64 / due.max(1) as f64,
            speed: count / seconds,
            visits: visits as f64 / count,
            walked: walked as f64 / count,
        }
    }
}

/// CPU microseconds from a user's objects to rows.
fn cold_us(vectors: &Vectors, owners: &[ObjectSet]) -> f64 {
    let (start, mut rounds) = (cpu_ns(), 0.0);
    while cpu_ns() - start < ROUND_NS_MIN / 4 {
        owners.iter().for_each(|set| drop(std::hint::black_box(vectors.rows_of(set))));
        rounds += 1.0;
    }
    (cpu_ns() - start) as f64 / 1e3 / USERS as f64 / rounds
}

/// Lines of recall against speed, one a name, speed on a logarithmic axis.
fn svg(title: &str, lines: &BTreeMap<String, Vec<(f64, f64)>>) -> String {
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='480' font-family='sans-serif' font-size='12'>\
         <rect width='760' height='480' fill='white'/><text x='60' y='24' font-size='15'>{title}</text>"
    );
    let x = |recall: f64| 60.0 + 460.0 * ((recall - 0.8) / 0.2).clamp(0.0, 1.0);
    let y = |speed: f64| 440.0 - 400.0 * ((speed.max(10.0).log10() - 1.0) / 5.0).clamp(0.0, 1.0);
    for tick in 0..=4 {
        let recall = 0.8 + 0.05 * f64::from(tick);
        let at = x(recall);
        write!(out, "<text x='{at}' y='460'>{recall:.2}</text><path d='M{at} 40V440' stroke='#ddd'/>").unwrap();
    }
    for tick in 1..=6 {
        let at = y(10_f64.powi(tick));
        write!(out, "<text x='20' y='{at}'>1e{tick}</text><path d='M60 {at}H520' stroke='#ddd'/>").unwrap();
    }
    for (number, (name, points)) in lines.iter().enumerate() {
        let hue = number * 47 % 360;
        let mut path = String::new();
        for (at, (recall, speed)) in points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            write!(path, "{letter}{:.1} {:.1}", x(*recall), y(*speed)).unwrap();
            write!(out, "<circle cx='{:.1}' cy='{:.1}' r='3' fill='hsl({hue},70%,40%)'/>", x(*recall), y(*speed))
                .unwrap();
        }
        let text = 50 + 16 * number;
        write!(
            out,
            "<path d='{path}' fill='none' stroke='hsl({hue},70%,40%)'/>\
             <text x='540' y='{text}' fill='hsl({hue},70%,40%)'>{name}</text>"
        )
        .unwrap();
    }
    out + "<text x='200' y='476'>recall at 10 against searches a second of one core</text></svg>"
}

fn build(world: &World) -> (Vectors, Vec<Query>) {
    let space = Space::new(DIMENSION, Metric::Cosine, Element::F32).unwrap();
    let mut vectors = Vectors::new(space);
    let start = cpu_ns();
    for (row, vector) in world.rows.iter().enumerate() {
        vectors.upsert(Chunk(row as u32), Ordinal(row as u32), vector).unwrap();
    }
    println!("upsert of {} rows: {:.2} CPU s", vectors.len(), (cpu_ns() - start) as f64 / 1e9);
    let queries = world.queries.iter().map(|query| Query::new(space, query).unwrap()).collect();
    (vectors, queries)
}

/// The kinds of sets: uniform, and by team.
const KINDS: [(&str, bool); 2] = [("uniform", false), ("team", true)];

/// What the command line says.
struct Arguments {
    /// Whether cells are asked for by lines of the input.
    ask: bool,
    rows: usize,
    /// Where to write.
    folder: PathBuf,
    /// Where the data is.
    data: PathBuf,
}

fn arguments() -> Arguments {
    // `cargo bench` passes `--bench` too.
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let ask = arguments.first().is_some_and(|a| a == "ask");
    arguments.drain(..usize::from(ask));
    let name = arguments.first().map_or("debian", String::as_str);
    let rows = match name {
        "small" => 6_000,
        "debian" => 63_666,
        "1e6" => 1_000_000,
        other => other.parse().unwrap(),
    };
    let folder = PathBuf::from(arguments.get(1).cloned().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("bailiwick-search-{name}")).to_string_lossy().into_owned()
    }));
    std::fs::create_dir_all(&folder).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/debian");
    let data = arguments.get(2).map_or(data, PathBuf::from);
    assert!(data.is_dir(), "no data at {}: give its folder as third argument", data.display());
    Arguments { ask, rows, folder, data }
}

/// The key that rows are laid out by.
fn key(world: &World, grouped: bool) -> impl Fn(Ordinal) -> u64 + '_ {
    move |owner| if grouped { world.team_of[owner.0 as usize] as u64 } else { Dice(owner.0.into()).roll() }
}

/// Users of a cell; the same in every run.
fn users_of(world: &World, by_team: bool, share: f64) -> Vec<ObjectSet> {
    users(world, by_team, share, &mut Dice(77 + share as u64))
}

fn main() {
    let arguments = arguments();
    let world = world(&arguments.data, arguments.rows);
    if arguments.ask { answer(&world, &arguments.folder) } else { table(&world, &arguments.folder) }
}

/// Measures the cells that the input names.
fn answer(world: &World, folder: &Path) {
    for (kind, by_team) in KINDS {
        for share in SHARES {
            let mask = |set: &ObjectSet| {
                (0..world.rows.len() as u32).map(|row| u8::from(set.contains(Ordinal(row)))).collect::<Vec<u8>>()
            };
            let masks: Vec<Vec<u8>> = users_of(world, by_team, share).iter().map(mask).collect();
            std::fs::write(folder.join(format!("{kind}-{share}.u8")), masks.concat()).unwrap();
        }
    }
    let cpu = process_cpu_s();
    let (vectors, queries) = build(world);
    let (vectors, _) = vectors.rewrite(key(world, true)).unwrap();
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 1).unwrap();
    println!("{}", json!({"build_cpu_s": process_cpu_s() - cpu}));
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (kind, share) = line.split_once(' ').unwrap();
        let (_, by_team) = *KINDS.iter().find(|(name, _)| *name == kind).unwrap();
        let share: f64 = share.parse().unwrap();
        let owners = users_of(world, by_team, share);
        let sets = owners.iter().map(|set| vectors.rows_of(set)).collect();
        let cell = Cell { vectors: &vectors, graph: &graph, sets, queries: &queries };
        let truth = cell.truth();
        check(world, &owners, &truth);
        println!("{}", Value::from_iter(cell.points(&truth, share).iter().map(Point::json)));
        std::io::stdout().flush().unwrap();
    }
}

/// Measures every cell in both layouts.
fn table(world: &World, folder: &Path) {
    let (mut vectors, queries) = build(world);
    let (mut results, mut lines) = (Vec::new(), BTreeMap::new());
    let mut last: Option<Graph> = None;
    // One thread up to a size at which it takes minutes; CPU time is what counts.
    let threads = if world.rows.len() > 100_000 { 2 } else { 1 };
    for (layout, grouped) in [("shuffled", false), ("grouped", true)] {
        let start = Instant::now();
        let (new, numbers) = vectors.rewrite(key(world, grouped)).unwrap();
        let rewritten = start.elapsed();
        let cpu = process_cpu_s();
        // The second layout takes the graph of the first along, as a running server does.
        let graph = last.map_or_else(|| Graph::new(&new), |graph| graph.renumber(&vectors, &new, &numbers).unwrap());
        vectors = new;
        graph.extend(&vectors, threads).unwrap();
        let memory = vectors.memory();
        let each = |bytes: usize| bytes / vectors.len();
        println!(
            "\n{layout}: rewrite {rewritten:.2?}; graph {:.1} CPU s; bytes a vector: exact {}, codes {}, maps {}, \
             graph {}; kernel {}",
            process_cpu_s() - cpu,
            each(memory.exact),
            each(memory.codes),
            each(memory.maps),
            each(graph.bytes()),
            vectors.kernel_name()
        );
        for (kind, by_team) in KINDS {
            println!("{layout}, {kind} sets: recall / searches a second of one core / visits [share by graph]");
            for share in SHARES {
                let owners = users_of(world, by_team, share);
                let cold = cold_us(&vectors, &owners);
                let sets: Vec<RowSet> = owners.iter().map(|set| vectors.rows_of(set)).collect();
                let rows = sets.iter().map(RowSet::len).sum::<usize>() / USERS;
                let cell = Cell { vectors: &vectors, graph: &graph, sets, queries: &queries };
                let truth = cell.truth();
                if share <= 10.0 {
                    check(world, &owners, &truth);
                }
                let mut text = format!("{share:>6} % {rows:>7} rows, set {cold:>7.1} us:");
                for point in cell.points(&truth, share) {
                    let Point { label, recall, speed, visits, walked } = &point;
                    write!(text, "  {label} {recall:.3}/{speed:.0}/{visits:.0}[{walked:.1}]").unwrap();
                    let mut line = point.json();
                    line["layout"] = json!(layout);
                    line["sets"] = json!(kind);
                    line["share"] = json!(share);
                    results.push(line);
                    if share >= 10.0 && by_team && grouped {
                        lines.entry(format!("{share} %")).or_insert_with(Vec::new).push((*recall, *speed));
                    }
                }
                println!("{text}");
            }
        }
        last = Some(graph);
    }
    std::fs::write(folder.join("ours.json"), serde_json::to_string_pretty(&results).unwrap()).unwrap();
    let title = format!("{} rows, team sets, grouped", world.rows.len());
    std::fs::write(folder.join("recall-speed.svg"), svg(&title, &lines)).unwrap();
    println!("\nwritten to {}", folder.display());
}

/// The first answers of two users against a plain loop.
fn check(world: &World, owners: &[ObjectSet], truth: &[Vec<Hit>]) {
    for (user, owners) in owners.iter().enumerate().take(2) {
        for at in 0..2 {
            let index = user * QUERIES + at;
            let plain = plain(world, owners, &world.queries[index % world.queries.len()]);
            let hits = &truth[index];
            assert_eq!(plain.len(), hits.len(), "as many as a plain loop finds");
            for ((score, _), hit) in plain.iter().zip(hits) {
                assert!((score - hit.score).abs() < 1e-5, "{hit:?} where a plain loop has {score}");
            }
        }
    }
}
