//! How fast the output filter is: text, JSON and random bytes, with and without secrets that are held, in chunks as a proxy
//! has them and as a model streams them. `cargo bench --bench redact` runs it on little, `-- full` on 64 MiB.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::secrets::Filter;
use std::hash::{BuildHasher as _, Hasher as _};
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
    for (name, held, shapes) in [("20 secrets and shapes", 20, true), ("20 secrets", 20, false), ("shapes", 0, true)] {
        let begun = Instant::now();
        let filter = Filter::new(secrets.iter().take(held).map(|secret| secret.as_bytes())).unwrap();
        println!("{name:24} made in {:?}", begun.elapsed());
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
    println!("hash of answers: {:016x}", hash.finish());
}
