//! hnsw_rs on the rows, users and queries of `bench/peers/run.py`, one thread:
//! `RUSTFLAGS="-C target-cpu=native" cargo build --release`, then `hnsw-rs-peer FOLDER DATA ROWS`. It answers a line
//! `team 25` with a line of JSON.

use hnsw_rs::prelude::{DistDot, Hnsw};
use serde_json::{Value, json};
use std::io::Write as _;

const K: usize = 10;
const QUERIES: usize = 25;
const USERS: usize = 10;
const WIDTHS: [usize; 3] = [64, 128, 256];
const DIMENSION: usize = 384;
/// CPU time that a width is measured for at least.
const ROUND_NS_MIN: u64 = 150_000_000;

fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Unit rows of a `.npy` of half floats.
fn rows(path: &str) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let from = 10 + usize::from(bytes[8]) + 256 * usize::from(bytes[9]);
    let unit = |row: &[u8]| {
        let row: Vec<f32> = row.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        // DistDot refuses a product over one, which rounding makes.
        row.iter().map(|x| x / length * 0.9999).collect::<Vec<f32>>()
    };
    bytes[from..].chunks_exact(2 * DIMENSION).map(unit).collect()
}

fn exact(rows: &[Vec<f32>], mask: &[u8], query: &[f32]) -> Vec<usize> {
    let score = |row: &Vec<f32>| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let seen = mask.iter().zip(rows).enumerate().filter(|(_, (seen, _))| **seen == 1);
    let mut all: Vec<(f32, usize)> = seen.map(|(at, (_, row))| (score(row), at)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.iter().take(K).map(|(_, at)| *at).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, data) = (&arguments[0], &arguments[1]);
    let mut rows = rows(&format!("{data}/packages.f16.npy"));
    rows.truncate(arguments[2].parse().unwrap());
    let queries = self::rows(&format!("{data}/queries.f16.npy"));
    let start = cpu_ns();
    let graph: Hnsw<'_, f32, DistDot> = Hnsw::new(16, rows.len(), 16, 200, DistDot {});
    rows.iter().enumerate().for_each(|(at, row)| graph.insert((row, at)));
    println!("{}", json!({"build_cpu_s": (cpu_ns() - start) as f64 / 1e9}));
    for line in std::io::stdin().lines() {
        let cell = line.unwrap().replace(' ', "-");
        let bytes = std::fs::read(format!("{folder}/{cell}.u8")).unwrap();
        let masks: Vec<&[u8]> = bytes.chunks_exact(rows.len()).collect();
        let pairs: Vec<(&[u8], &Vec<f32>)> = (0..USERS * QUERIES)
            .map(|at| (masks[at / QUERIES], &queries[at % queries.len()]))
            .collect();
        let truth: Vec<Vec<usize>> = pairs.iter().map(|(mask, query)| exact(&rows, mask, query)).collect();
        let points = WIDTHS.map(|width| measure(&graph, &pairs, &truth, width, cell.ends_with("-100")));
        println!("{}", Value::from_iter(points));
        std::io::stdout().flush().unwrap();
    }
}

fn measure(
    graph: &Hnsw<'_, f32, DistDot>,
    pairs: &[(&[u8], &Vec<f32>)],
    truth: &[Vec<usize>],
    width: usize,
    all: bool,
) -> Value {
    let ask = |(mask, query): &(&[u8], &Vec<f32>)| {
        let only = |at: &usize| mask[*at] == 1;
        graph.search_possible_filter(query, K, width, if all { None } else { Some(&only) })
    };
    let start = cpu_ns();
    let answers: Vec<_> = pairs.iter().map(ask).collect();
    let mut rounds = 1.0;
    while cpu_ns() - start < ROUND_NS_MIN {
        pairs.iter().for_each(|pair| drop(std::hint::black_box(ask(pair))));
        rounds += 1.0;
    }
    let seconds = (cpu_ns() - start) as f64 / 1e9 / rounds;
    let due: usize = truth.iter().map(Vec::len).sum();
    let hit = |(answer, truth): (&Vec<hnsw_rs::prelude::Neighbour>, &Vec<usize>)| {
        truth.iter().filter(|at| answer.iter().any(|n| n.d_id == **at)).count()
    };
    let found: usize = answers.iter().zip(truth).map(hit).sum();
    json!({"plan": width.to_string(), "recall": found as f64 / due.max(1) as f64,
        "searches_per_cpu_second": pairs.len() as f64 / seconds})
}
