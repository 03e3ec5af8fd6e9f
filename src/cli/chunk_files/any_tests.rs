//! Any bytes as chunk files: each chunk that comes out is whole, and nothing else comes out but errors. In place of fuzz
//! targets, which compile neither Arrow nor compression.

use super::tests::{file, header, input, npy, read, singles, stream, with_vectors};
use super::{Fields, FileChunk, FileFault};
use bailiwick::tuple::ObjectRef;
use bailiwick::vector::DIMENSION_MAX;
use proptest::prelude::*;
use serde_json::{Value, json};

type Found = Vec<Result<FileChunk, FileFault>>;

/// Every chunk is one that could be written; behind what ends a file there is nothing.
fn are_whole(found: &Found) {
    for (at, chunk) in found.iter().enumerate() {
        match chunk {
            Ok(chunk) => {
                assert!(ObjectRef::parse(&chunk.object.to_string()).is_ok(), "{chunk:?}");
                assert!(chunk.vector.len() <= DIMENSION_MAX && chunk.payload.as_ref().is_none_or(|p| !p.is_empty()));
            }
            Err(fault) => assert!(!fault.ends || at + 1 == found.len(), "{fault}"),
        }
    }
}

fn pieces(all: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(all), 0..most).prop_map(|pieces| pieces.concat())
}

const OF_LINES: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\r\n",
    "\"id\":\"a\"",
    "\"id\":7",
    "\"id\":1.5",
    "\"object\":\"doc:1\"",
    "\"object\":\"doc\"",
    "\"vector\":[1,2]",
    "\"vector\":[1e400]",
    "\"vector\":[\"x\"]",
    "\"vector\":[[1]]",
    "\"text\":\"t\"",
    "\"text\":null",
    "\"text\":7",
    "\"lang\":\"en\"",
    "\"lang\":{\"a\":1}",
    "\u{feff}",
    "é",
    "null",
    " ",
];
const OF_HEADERS: [&str; 22] = [
    "{",
    "}",
    "(",
    ")",
    ",",
    ":",
    " ",
    "'",
    "'descr'",
    "'<f4'",
    "'>f8'",
    "'<f2'",
    "'<i4'",
    "'shape'",
    "(3, 2)",
    "(2L, 2L)",
    "3",
    "99999999999999",
    "'fortran_order'",
    "False",
    "True",
    "é",
];

/// What a line holds, as the line would be written again.
fn line(chunk: &FileChunk) -> Value {
    let mut line = json!({"id": chunk.id, "object": chunk.object.to_string(), "vector": chunk.vector});
    if let Some(text) = &chunk.text {
        line["text"] = text.clone().into();
    }
    for (name, value) in chunk.payload.iter().flatten() {
        line[name] = value.clone();
    }
    line
}

proptest! {
    #[test]
    fn any_text_is_lines_of_chunks_or_errors(
        text in prop_oneof![pieces(&OF_LINES, 40), ".{0,80}"],
        middle in pieces(&OF_LINES, 12),
    ) {
        let good = r#"{"id":"a","object":"doc:1","vector":[1,2],"lang":"en"}"#;
        for text in [text, format!("{good}\n{{{middle}}}\n{good}\n")] {
            let found = read(input("c.jsonl", text), None, "");
            are_whole(&found);
            for chunk in found.into_iter().flatten().filter(|chunk| chunk.vector.iter().all(|x| x.is_finite())) {
                let again = read(input("c.jsonl", line(&chunk).to_string()), None, "");
                let again = again.into_iter().next().unwrap().map(|again| FileChunk { place: chunk.place, ..again });
                prop_assert_eq!(again, Ok(chunk));
            }
        }
    }

    #[test]
    fn a_matrix_of_numpy_is_read_as_it_was_written(
        rows in prop::collection::vec(prop::collection::vec(any::<f32>(), 3), 0..5),
        (at, flip, cut) in (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()),
    ) {
        let chunk = |n: usize| format!("{{\"id\":\"{n}\",\"object\":\"doc:{n}\"}}\n");
        let lines: String = (0..rows.len()).map(chunk).collect();
        let data: Vec<u8> = rows.iter().flatten().flat_map(|x| { let mut b = x.to_be_bytes(); b.reverse(); b }).collect();
        let whole = npy(1, &header("<f4", &format!("({}, 3)", rows.len())), &data);
        let of = |bytes: &[u8]| read(input("c.jsonl", lines.clone()), Some(input("v.npy", bytes)), "");
        let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let found = of(&whole);
        prop_assert_eq!(found.len(), rows.len());
        for (chunk, row) in found.into_iter().zip(&rows) {
            prop_assert_eq!(bits(&chunk.unwrap().vector), bits(row));
        }
        // Damaged or cut, it is other rows of some width, or an error.
        let mut damaged = whole.clone();
        damaged[at.index(whole.len())] ^= flip;
        let cut = cut.index(whole.len());
        for bytes in [&damaged, &whole[..cut]] {
            let found = of(bytes);
            are_whole(&found);
            prop_assert!(found.iter().flatten().count() <= rows.len());
        }
        let found = of(&whole[..cut]);
        prop_assert!(found.last().is_some_and(Result::is_err), "cut at {}", cut);
    }

    #[test]
    fn any_header_of_numpy_is_a_matrix_or_an_error(
        text in prop_oneof![pieces(&OF_HEADERS, 20), ".{0,40}"],
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        version in 0_u8..5,
    ) {
        let lines = "{\"id\":\"a\",\"object\":\"doc:1\"}\n{\"id\":\"b\",\"object\":\"doc:2\"}\n";
        let raw = [b"\x93NUMPY".as_slice(), &bytes].concat();
        for npy in [npy(version, &text, &bytes), raw, bytes] {
            are_whole(&read(input("c.jsonl", lines), Some(input("v.npy", npy)), ""));
        }
    }

    #[test]
    fn damaged_arrow_is_chunks_or_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let batch = with_vectors(singles());
        for whole in [file(&[batch.clone(), batch.clone()]), stream(&[batch.clone(), batch])] {
            let mut damaged = whole.clone();
            for (at, byte) in &damage {
                damaged[at.index(whole.len())] = *byte;
            }
            damaged.truncate(8 + cut.index(whole.len() - 7));
            let found = read(input("t", damaged), None, "");
            are_whole(&found);
            prop_assert!(found.len() <= 5);
            are_whole(&read(input("t", [&whole[..8], &bytes].concat()), None, ""));
        }
    }

    #[test]
    fn any_names_of_fields_are_judged(names in prop::collection::vec("[a-c,]{0,3}", 5), line in pieces(&OF_LINES, 20)) {
        let [id, object, text, vector, payload] = <[String; 5]>::try_from(names).unwrap();
        let fields = Fields {
            id, object, object_prefix: Some("doc:".into()), text: Some(text), vector, payload: super::PayloadFields::parse(&payload),
        };
        let lines = format!("{{\"a\":\"1\",\"b\":\"2\",\"c\":[1,2]}}\n{line}");
        if let Ok(chunks) = super::Chunks::open(input("c.jsonl", lines), None, fields) {
            are_whole(&chunks.collect());
        }
    }
}
