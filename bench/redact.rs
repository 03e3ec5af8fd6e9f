//! How fast the output filter is: text, JSON and random bytes, with and without secrets that are held, in chunks as a proxy
//! has them and as a model streams them; and what it adds to each event of a model's stream. `cargo bench --bench redact` runs
//! it on little, `-- full` on 64 MiB and 200,000 events.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::secrets::{Filter, HOLDINGS_MAX, Holdings};
use hdrhistogram::Histogram;
use serde_json::json;
use std::hash::{BuildHasher as _, Hasher};
use std::sync::Arc;
use std::time::Instant;

/// Letters of tokens.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Numbers that are the same in each run.
fn numbers(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    })
}

fn token(seed: u64, length: usize) -> String {
    let letter = |n: u64| char::from(LETTERS[usize::try_from(n % 64).unwrap()]);
    numbers(seed).map(letter).take(length).collect()
}

/// Most bytes of text in an event: models stream a word or a part of one.
const PART_BYTES: usize = 6;

/// Events as a model streams them: each brings a few letters; in every 500th place a secret stands, split over some.
fn events(text: &str, secrets: &[String], count: usize) -> Vec<String> {
    let mut written = String::new();
    let mut words = text.split_inclusive(' ').cycle();
    let (mut parts, mut sizes) = (Vec::with_capacity(count), numbers(3));
    while parts.len() < count {
        if parts.len() % 500 == 0 {
            written += &secrets[parts.len() / 500 % secrets.len()];
        }
        while written.len() < PART_BYTES {
            written += words.next().unwrap();
        }
        let mut size = 1 + usize::try_from(sizes.next().unwrap()).unwrap() % PART_BYTES;
        while !written.is_char_boundary(size) {
            size += 1;
        }
        parts.push(written.drain(..size).collect::<String>());
    }
    let event =
        |part| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": part}}]});
    parts.into_iter().map(|part| format!("data: {}\n\n", event(part))).collect()
}

/// What the filter adds to each event of a stream, beside reading it: from its last byte in to the bytes that may leave.
fn added(name: &str, filter: &Filter, events: &[String], hash: &mut impl Hasher) {
    let (mut stream, mut out, mut times) = (filter.events(), Vec::new(), Histogram::<u64>::new(3).unwrap());
    for event in events {
        let begun = Instant::now();
        stream.push(event.as_bytes(), &mut out);
        times.record(u64::try_from(begun.elapsed().as_nanos()).unwrap()).unwrap();
        assert!(!out.is_empty(), "no event waits for the next");
        hash.write_usize(out.len());
        out.clear();
    }
    let removed = stream.finish(&mut out).total();
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|q| times.value_at_quantile(q) as f64 / 1e3);
    println!("{name:24} {:>8} {removed:>8} {p50:>10.1} {p99:>10.1} {most:>10.1}", events.len());
}

/// So many secrets of others, each of 48 letters.
fn holdings(count: usize) -> Arc<Holdings> {
    let holdings = Holdings::new(HOLDINGS_MAX);
    for n in 0..count {
        holdings.put(&format!("user:{n}"), [token(n as u64 + 1_000, 48).as_bytes()]).unwrap();
    }
    Arc::new(holdings)
}

/// The documentation of this repository, again and again.
fn prose(bytes: usize) -> String {
    let mut paths: Vec<_> = std::fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    let text: String = texts.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.repeat(bytes.div_ceil(text.len()))
}

fn main() {
    let full = std::env::args().any(|argument| argument == "full");
    let bytes = if full { 64 << 20 } else { 1 << 20 };
    let prose = prose(bytes);
    let json = serde_json::to_string(&prose).unwrap();
    let random: Vec<u8> = numbers(1).map(|n| u8::try_from(n & 0xff).unwrap()).take(bytes).collect();
    // Ten connections: five opaque tokens, five that are long as JSON Web Tokens are, each with a refresh token.
    let secrets: Vec<String> =
        (0..20_usize).map(|n| token(n as u64 + 7, if n % 4 == 0 { 1_500 } else { 48 })).collect();
    println!("{:24} {:8} {:>10} {:>10} {:>8}", "filter", "text", "chunk", "MB/s", "waits");
    let mut hash = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher();
    let few = holdings(1_000);
    let begun = Instant::now();
    let many = holdings(if full { 200_000 } else { 20_000 });
    println!("{many:?} made in {:?}", begun.elapsed());
    for (name, held, others, shapes) in [
        ("20 secrets and shapes", 20, None, true),
        ("20 secrets", 20, None, false),
        ("shapes", 0, None, true),
        ("1,000 of others", 0, Some(&few), false),
        ("many of others", 0, Some(&many), false),
        ("20, many, and shapes", 20, Some(&many), true),
    ] {
        let begun = Instant::now();
        let mut filter = Filter::new(secrets.iter().take(held).map(|secret| secret.as_bytes())).unwrap();
        println!("{name:24} made in {:?}", begun.elapsed());
        if let Some(others) = others {
            filter = filter.with_holdings(Arc::clone(others));
        }
        let filter = if shapes { filter } else { filter.without_shapes() };
        let _ = filter.redact(b"compiles the shapes");
        for (kind, text) in [("prose", prose.as_bytes()), ("json", json.as_bytes()), ("random", &random)] {
            for chunk in [16 << 10, 200] {
                let (mut stream, mut out, mut waits) = (filter.stream(), Vec::with_capacity(chunk * 2), 0);
                let begun = Instant::now();
                for part in text.chunks(chunk) {
                    stream.push(part, &mut out);
                    waits = waits.max(stream.held());
                    hash.write_usize(out.len());
                    out.clear();
                }
                hash.write_u64(stream.finish(&mut out).total());
                let speed = text.len() as f64 / 1e6 / begun.elapsed().as_secs_f64();
                println!("{name:24} {kind:8} {chunk:>10} {speed:>10.0} {waits:>8}");
            }
        }
    }
    println!(
        "\n{:24} {:>8} {:>8} {:>10} {:>10} {:>10}",
        "added to each event", "events", "removed", "p50 us", "p99 us", "most us"
    );
    let events = events(&prose, &secrets, if full { 200_000 } else { 5_000 });
    for (name, held, others) in
        [("20 secrets and shapes", 20, None), ("shapes", 0, None), ("20, many, and shapes", 20, Some(&many))]
    {
        let mut filter = Filter::new(secrets.iter().take(held).map(|secret| secret.as_bytes())).unwrap();
        if let Some(others) = others {
            filter = filter.with_holdings(Arc::clone(others));
        }
        added(name, &filter, &events, &mut hash);
    }
    println!("hash of answers: {:016x}", hash.finish());
}
