//! Files made byte for byte, files of NumPy and pyarrow, and the real ones of the shared data where they are.

use super::arrow::Bounded;
use super::lines::LINE_BYTES_MAX;
use super::{Chunks, Fields, FileChunk, FileFault, Input, PayloadFields, Place};
use arrow_array::builder::{
    BooleanBuilder, FixedSizeListBuilder, Float16Builder, Float32Builder, Float64Builder, Int64Builder,
    LargeListBuilder, ListBuilder, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::{Float16Type, Int32Type};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, Date32Array, Int32Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use serde_json::json;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn input(name: &str, bytes: impl Into<Vec<u8>>) -> Input {
    Input { path: name.into(), source: Box::new(Cursor::new(bytes.into())) }
}

/// Options as the command line has them, `--id key --payload a,b`.
fn fields(options: &str) -> Fields {
    let mut fields = Fields::default();
    let words: Vec<_> = options.split_whitespace().collect();
    for pair in words.chunks(2) {
        let value = pair[1].to_owned();
        match pair[0] {
            "--id" => fields.id = value,
            "--object" => fields.object = value,
            "--object-prefix" => fields.object_prefix = Some(value),
            "--text" => fields.text = Some(value),
            "--vector" => fields.vector = value,
            "--payload" => fields.payload = PayloadFields::parse(&value),
            other => panic!("{other}"),
        }
    }
    fields
}

pub(super) fn read(chunks: Input, vectors: Option<Input>, options: &str) -> Vec<Result<FileChunk, FileFault>> {
    match Chunks::open(chunks, vectors, fields(options)) {
        Ok(chunks) => chunks.collect(),
        Err(fault) => vec![Err(fault)],
    }
}

fn lines(text: &str, options: &str) -> Vec<Result<FileChunk, FileFault>> {
    read(input("c.jsonl", text), None, options)
}

#[track_caller]
fn good(found: Vec<Result<FileChunk, FileFault>>) -> Vec<FileChunk> {
    found.into_iter().map(|chunk| chunk.unwrap_or_else(|fault| panic!("{fault}"))).collect()
}

#[track_caller]
fn one(found: Vec<Result<FileChunk, FileFault>>) -> FileChunk {
    let mut chunks = good(found);
    assert_eq!(chunks.len(), 1);
    chunks.remove(0)
}

/// The last of what was found is this fault.
#[track_caller]
fn refused(found: &[Result<FileChunk, FileFault>], said: &[&str]) {
    let fault = found.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(said.iter().all(|part| fault.contains(part)), "{fault}\nshould say {said:?}");
}

/// A NumPy file of that version with that header, padded as NumPy pads.
pub(super) fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let length = if version == 1 { 2 } else { 4 };
    let padding = 63 - (8 + length + header.len()) % 64;
    let header = format!("{header}{}\n", " ".repeat(padding));
    let mut size = u32::try_from(header.len()).unwrap().to_be_bytes().to_vec();
    size.reverse();
    size.truncate(length);
    [b"\x93NUMPY", [version, 0].as_slice(), &size, header.as_bytes(), data].concat()
}

pub(super) fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
}

/// One, minus two and a half, two to the minus 24 (the smallest half); then a quarter, 65,504 (the largest), zero.
const HALVES: [u16; 6] = [0x3c00, 0xc100, 0x0001, 0x3400, 0x7bff, 0x0000];
const NUMBERS: [f32; 6] = [1.0, -2.5, 5.960_464_5e-8, 0.25, 65504.0, 0.0];

fn bytes<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>, big: bool) -> Vec<u8> {
    let ordered = numbers.into_iter().flat_map(|mut number| {
        if !big {
            number.reverse();
        }
        number
    });
    ordered.collect()
}

fn data(descr: &str) -> Vec<u8> {
    let big = descr.starts_with('>');
    match descr.trim_start_matches(['<', '>']) {
        "f2" => bytes(HALVES.map(u16::to_be_bytes), big),
        "f4" => bytes(NUMBERS.map(f32::to_be_bytes), big),
        "f8" => bytes(NUMBERS.map(|x| f64::from(x).to_be_bytes()), big),
        other => panic!("{other}"),
    }
}

const TWO_LINES: &str = "{\"id\":\"a\",\"object\":\"doc:1\"}\n{\"id\":\"b\",\"object\":\"doc:2\"}\n";

fn with_npy(lines: &str, npy: Vec<u8>) -> Vec<Result<FileChunk, FileFault>> {
    read(input("c.jsonl", lines), Some(input("v.npy", npy)), "")
}

#[test]
fn every_width_order_and_version_of_numpy_is_read() {
    for descr in ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"] {
        for version in [1, 2, 3] {
            let chunks = good(with_npy(TWO_LINES, npy(version, &header(descr, "(2, 3)"), &data(descr))));
            let vectors: Vec<_> = chunks.into_iter().map(|chunk| chunk.vector).collect();
            assert_eq!(vectors, [NUMBERS[..3].to_vec(), NUMBERS[3..].to_vec()], "{descr} {version}");
        }
    }
    let old = "{'shape': (2L, 3L), 'fortran_order': False, \"descr\": \"<f4\"}";
    assert_eq!(good(with_npy(TWO_LINES, npy(1, old, &data("<f4")))).len(), 2);
    let mut squeezed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    squeezed.write_all(&npy(1, old, &data("<f4"))).unwrap();
    assert_eq!(good(with_npy(TWO_LINES, squeezed.finish().unwrap())).len(), 2);
}

#[test]
fn what_numpy_file_is_not_read_says_what_to_do() {
    let of = |header: &str, data: &[u8]| with_npy(TWO_LINES, npy(1, header, data));
    let f4 = data("<f4");
    refused(&of(&header("<i4", "(2, 3)"), &f4), &["v.npy:", "`<i4`", "numpy.save"]);
    refused(&of(&header("|O", "(2, 3)"), &f4), &["`|O`"]);
    refused(&of(&header("<f4", "(6,)"), &f4), &["[6]", "rows and columns"]);
    refused(&of(&header("<f4", "(1, 2, 3)"), &f4), &["[1, 2, 3]"]);
    refused(&of(&header("<f4", "()"), &f4), &["[]"]);
    refused(&of(&header("<f4", "(2, 4097)"), &f4), &["4097", "4096"]);
    refused(&of(&header("<f4", "(2, 0)"), &f4), &["0 elements"]);
    refused(&of(&header("<f4", "(2, 3)").replace("False", "True"), &f4), &["Fortran", "ascontiguousarray"]);
    refused(&of("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}", &f4), &["records", "numpy.save"]);
    refused(&of("{'descr': '<f4', 'shape': (2, 3)}", &f4), &["not one that NumPy writes"]);
    refused(&of("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}", &f4), &["no size"]);
    refused(&of("{'descr': '<f4", &f4), &["quoted word"]);
    refused(&of("", &f4), &["`{` is missing"]);
    refused(&of(&header("<f4", "(2, 3)"), &f4[..20]), &["v.npy: row 2:", "2 rows", "complete"]);
    refused(&of(&header("<f4", "(2, 3)"), &[&f4[..], &[0]].concat()), &["more behind the 2 rows"]);
    refused(&with_npy(TWO_LINES, b"PK\x03\x04 and more".to_vec()), &["npz"]);
    refused(&with_npy(TWO_LINES, b"something".to_vec()), &["no NumPy file"]);
    refused(&with_npy(TWO_LINES, Vec::new()), &["ends within its header"]);
    refused(&with_npy(TWO_LINES, npy(4, &header("<f4", "(2, 3)"), &f4)), &["version 4"]);
    let long = [b"\x93NUMPY\x02\x00".as_slice(), &[0xff; 4]].concat();
    refused(&with_npy(TWO_LINES, long), &["4294967295 bytes"]);
    refused(&read(input("v.npy", npy(1, &header("<f4", "(2, 3)"), &f4)), None, ""), &["--vectors"]);
}

#[test]
fn lines_and_rows_must_be_as_many() {
    let both = npy(1, &header("<f4", "(2, 3)"), &data("<f4"));
    let found = with_npy("{\"id\":\"a\",\"object\":\"doc:1\"}\n\n", both.clone());
    assert_eq!(found.len(), 2);
    refused(&found, &["c.jsonl: there are 1 chunks", "2 rows in v.npy"]);
    let found = with_npy(&TWO_LINES.repeat(3), both.clone());
    assert_eq!(found.len(), 3);
    refused(&found, &["there are 6 chunks", "2 rows"]);
    // A bad line takes its row with it.
    let found = with_npy("{\"id\":\"a\"}\n{\"id\":\"b\",\"object\":\"doc:2\"}", both);
    assert_eq!(found[0].as_ref().unwrap_err().place, Some(Place::Line(1)));
    assert_eq!(found[1].as_ref().unwrap().vector, NUMBERS[3..]);
}

#[test]
fn fields_of_a_line_become_a_chunk() {
    let line = r#"{"id":7,"object":"doc:1","text":"hello","vector":[1,-0.5,1e-3],"year":2024,"tags":["x"]}"#;
    let chunk = one(lines(line, ""));
    assert_eq!((chunk.id.as_str(), chunk.object.to_string().as_str()), ("7", "doc:1"));
    assert_eq!((chunk.vector, chunk.text.as_deref()), (vec![1.0, -0.5, 1e-3], Some("hello")));
    assert_eq!(chunk.payload, json!({"year": 2024, "tags": ["x"]}).as_object().cloned());
    assert_eq!(chunk.place, Place::Line(1));

    let line = r#"{"key":"k","doc":"1","body":"hello","e":[1,2],"year":2024,"id":"other","text":"kept"}"#;
    let chunk = one(lines(line, "--id key --object doc --object-prefix document: --text body --vector e"));
    assert_eq!((chunk.id.as_str(), chunk.object.to_string().as_str()), ("k", "document:1"));
    assert_eq!(chunk.text.as_deref(), Some("hello"));
    assert_eq!(chunk.payload, json!({"year": 2024, "id": "other", "text": "kept"}).as_object().cloned());

    let line = r#"{"id":"p","vector":[1,2],"team":null,"a":1,"b":{"c":[true]}}"#;
    let options = "--object id --object-prefix pkg:";
    let chunk = one(lines(line, &format!("{options} --payload id,b,missing")));
    assert_eq!((chunk.object.to_string().as_str(), chunk.text), ("pkg:p", None));
    assert_eq!(chunk.payload, json!({"id": "p", "b": {"c": [true]}}).as_object().cloned());
    assert_eq!(one(lines(line, &format!("{options} --payload none"))).payload, None);
    // What has its prefix already does not get another.
    let line = r#"{"id":"p","object":"doc:1","vector":[1,2],"text":null}"#;
    assert_eq!(one(lines(line, "--object-prefix doc:")).object.to_string(), "doc:1");
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let bad = [
        (r#"{"object":"doc:1","vector":[1]}"#, "", "there is no `id`"),
        (r#"{"id":"a","vector":[1]}"#, "", "there is no `object`"),
        (r#"{"id":"a","object":"doc:1"}"#, "", "there is no `vector`"),
        (r#"{"id":1.5,"object":"doc:1","vector":[1]}"#, "", "`id` is neither"),
        (r#"{"id":"a","object":["doc:1"],"vector":[1]}"#, "", "`object` is neither"),
        (r#"{"id":"a","object":"1","vector":[1]}"#, "", "--object-prefix"),
        (r#"{"id":"a","object":"doc:1","vector":[1,"2"]}"#, "", "`vector`, element 1:"),
        (r#"{"id":"a","object":"doc:1","vector":[1,null]}"#, "", "`vector`, element 1:"),
        (r#"{"id":"a","object":"doc:1","vector":"1"}"#, "", "expected a list of numbers in `vector`"),
        (r#"{"id":"a","object":"doc:1","vector":[NaN]}"#, "", "`vector`, element 0:"),
        (r#"{"id":"a","object":"doc:1","vector":[1],"text":5}"#, "", "`text` is no string"),
        (r#"{"id":"a","object":"doc:1","vector":[1]}"#, "--text body", "there is no `body`"),
        (r#"{"id":"a","id":"b","object":"doc:1","vector":[1]}"#, "", "`id` occurs twice"),
        (r#"{"id":"a","x":1,"x":2,"object":"doc:1","vector":[1]}"#, "", "`x` occurs twice"),
        (r#"{"id":"a","object":"doc:1","vector":[1]"#, "", "no JSON"),
        (r#"{"id":"a","object":"doc:1","vector":[1]} {}"#, "", "no JSON"),
        ("[1]", "", "an object of fields"),
    ];
    let good = r#"{"id":"a","object":"doc:1","vector":[1],"body":"t"}"#;
    for (line, options, said) in bad {
        let found = lines(&format!("{good}\n{line}\n{good}"), options);
        assert_eq!(found.len(), 3, "{line}");
        refused(&found[..2], &["c.jsonl:2: ", said]);
        assert!(!found[1].as_ref().unwrap_err().ends);
        assert_eq!(found[2].as_ref().unwrap().place, Place::Line(3));
    }
    let long = format!(r#"{{"id":"a","object":"doc:1","vector":[{}1]}}"#, "1,".repeat(4096));
    refused(&lines(&long, ""), &["`vector` has more than 4096 elements"]);
    let long = format!("{}\n{good}", " ".repeat(LINE_BYTES_MAX + 1));
    let found = lines(&long, "");
    refused(&found[..1], &["c.jsonl:1: ", "longer than"]);
    assert_eq!(found[1].as_ref().unwrap().place, Place::Line(2));
}

#[test]
fn compression_and_marks_are_seen_and_other_formats_named() {
    let line = r#"{"id":"a","object":"doc:1","vector":[1]}"#;
    one(read(input("c", zstd::encode_all(line.as_bytes(), 1).unwrap()), None, ""));
    let mut squeezed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    squeezed.write_all(line.as_bytes()).unwrap();
    let squeezed = squeezed.finish().unwrap();
    one(read(input("c", squeezed.clone()), None, ""));
    refused(&read(input("c", &squeezed[..squeezed.len() - 9]), None, ""), &["c:", "cannot be read on"]);
    one(lines(&format!("\u{feff}{line}\r\n\r\n"), ""));
    assert!(lines("", "").is_empty());
    refused(&lines(&format!("[{line}]"), ""), &["jq"]);
    refused(&lines("id,object\n", ""), &["neither JSON lines"]);
    refused(&read(input("t.parquet", "PAR1 and more"), None, ""), &["t.parquet: ", "Arrow IPC"]);
    refused(&lines(line, "--payload vector"), &["cannot be payload"]);
}

pub(super) fn file(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

pub(super) fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

/// The numbers of two rows, as a list of singles.
pub(super) fn singles() -> ArrayRef {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for row in NUMBERS.chunks(3) {
        lines_append(&mut lists, row);
    }
    Arc::new(lists.finish())
}

fn lines_append(lists: &mut ListBuilder<Float32Builder>, row: &[f32]) {
    lists.values().append_slice(row);
    lists.append(true);
}

fn halves() -> ArrayRef {
    let mut lists = FixedSizeListBuilder::new(Float16Builder::new(), 3);
    for half in HALVES {
        lists.values().append_value(<Float16Type as ArrowPrimitiveType>::Native::from_bits(half));
    }
    lists.append(true);
    lists.append(true);
    Arc::new(lists.finish())
}

fn doubles() -> ArrayRef {
    let mut lists = LargeListBuilder::new(Float64Builder::new());
    for row in NUMBERS.chunks(3) {
        row.iter().for_each(|x| lists.values().append_value(f64::from(*x)));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

pub(super) fn with_vectors(vectors: ArrayRef) -> RecordBatch {
    table(vec![("id", texts(&["a", "b"])), ("object", texts(&["doc:1", "doc:2"])), ("vector", vectors)])
}

#[test]
fn arrow_files_and_streams_give_the_same_chunks() {
    for vectors in [singles(), halves(), doubles()] {
        let batch = with_vectors(vectors);
        for bytes in [file(&[batch.clone(), batch.clone()]), stream(&[batch.clone(), batch.clone()])] {
            let chunks = good(read(input("t.arrow", bytes.clone()), None, ""));
            assert_eq!(chunks.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["a", "b", "a", "b"]);
            assert_eq!(chunks.iter().map(|c| c.place).collect::<Vec<_>>(), [1, 2, 3, 4].map(Place::Row));
            assert_eq!(chunks[2].vector, NUMBERS[..3]);
            assert_eq!(chunks[3].vector, NUMBERS[3..]);
            assert_eq!((&chunks[0].text, &chunks[0].payload), (&None, &None));
            let squeezed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
            assert_eq!(good(read(input("t.arrow.zst", squeezed), None, "")), chunks);
        }
    }
    let chunks = Chunks::open(input("t", file(&[with_vectors(halves())])), None, Fields::default()).ok().unwrap();
    assert_eq!((chunks.dimension(), chunks.total()), (Some(3), None));
    // Vectors from beside, whatever the column is.
    let beside = Some(input("v.npy", npy(1, &header("<f4", "(2, 3)"), &data("<f4"))));
    let chunks = good(read(input("t", file(&[with_vectors(texts(&["x", "y"]))])), beside, ""));
    assert_eq!(chunks[1].vector, NUMBERS[3..]);
    let beside = Some(input("v.npy", npy(1, &header("<f4", "(1, 6)"), &data("<f4"))));
    refused(&read(input("t", file(&[with_vectors(singles())])), beside, ""), &["2 chunks", "1 rows"]);
}

#[test]
fn columns_of_arrow_become_payload() {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.values().append_value("x");
    tags.values().append_null();
    tags.append(true);
    tags.append(false);
    let mut kinds = StringDictionaryBuilder::<Int32Type>::new();
    kinds.append_value("howto");
    kinds.append_null();
    let mut whole = Int64Builder::new();
    whole.append_value(i64::MAX);
    whole.append_null();
    let mut float = Float64Builder::new();
    float.append_value(0.5);
    float.append_value(f64::NAN);
    let mut truth = BooleanBuilder::new();
    truth.append_value(true);
    truth.append_null();
    let batch = table(vec![
        ("n", Arc::new(Int32Array::from(vec![7, 8]))),
        ("object", Arc::new(LargeStringArray::from(vec!["1", "2"]))),
        ("text", Arc::new(StringViewArray::from(vec![Some("a text that is longer than a view holds inline"), None]))),
        ("vector", singles()),
        ("tags", Arc::new(tags.finish())),
        ("kind", Arc::new(kinds.finish())),
        ("whole", Arc::new(whole.finish())),
        ("float", Arc::new(float.finish())),
        ("truth", Arc::new(truth.finish())),
        ("day", Arc::new(Date32Array::from(vec![1, 2]))),
    ]);
    let options = "--id n --object-prefix doc:";
    let bytes = file(&[batch]);
    refused(&read(input("t", bytes.clone()), None, options), &["t: ", "`day`", "Date32", "--payload"]);
    let payload = "--payload n,tags,kind,whole,float,truth";
    let chunks = good(read(input("t", bytes.clone()), None, &format!("{options} {payload}")));
    let all = json!({"n": 7, "tags": ["x"], "kind": "howto", "whole": i64::MAX, "float": 0.5, "truth": true});
    assert_eq!(chunks[0].payload, all.as_object().cloned());
    assert_eq!(chunks[1].payload, json!({"n": 8}).as_object().cloned());
    assert_eq!((chunks[0].id.as_str(), chunks[1].object.to_string().as_str()), ("7", "doc:2"));
    assert_eq!((chunks[0].text.as_deref().map(str::len), &chunks[1].text), (Some(46), &None));
    assert_eq!(one_of(&bytes, &format!("{options} --payload none")).payload, None);
    refused(&read(input("t", bytes.clone()), None, &format!("{options} --payload x")), &["`x`", "n, object, text"]);
    refused(&read(input("t", bytes.clone()), None, "--payload none"), &["no column `id`", "--id"]);
    refused(&read(input("t", bytes.clone()), None, "--id float --payload none"), &["`float` is Float64", "--id"]);
    refused(&read(input("t", bytes.clone()), None, &format!("{options} --vector n")), &["`n` is Int32", "--vector"]);
    refused(&read(input("t", bytes), None, &format!("{options} --text n")), &["`n` is Int32", "--text"]);
}

fn one_of(bytes: &[u8], options: &str) -> FileChunk {
    good(read(input("t", bytes), None, options)).remove(0)
}

#[test]
fn a_bad_row_of_arrow_is_named_and_the_next_is_read() {
    let mut lists = ListBuilder::new(Float32Builder::new());
    lists.append(false);
    lists.values().append_null();
    lists.append(true);
    lists.values().append_slice(&vec![1.0; 4097]);
    lists.append(true);
    lines_append(&mut lists, &[f32::NAN]);
    lines_append(&mut lists, &[1.0]);
    lines_append(&mut lists, &[1.0]);
    let ids: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("c"), Some("d"), None, Some("f")]));
    let mut float = Float64Builder::new();
    float.append_slice(&[0.0, 0.0, 0.0, 0.0, 0.0, f64::INFINITY]);
    let object = texts(&["doc:1"; 6]);
    let batch = table(vec![
        ("id", ids),
        ("object", object),
        ("vector", Arc::new(lists.finish())),
        ("x", Arc::new(float.finish())),
    ]);
    let found = read(input("t", file(&[batch])), None, "");
    assert_eq!(found.len(), 6);
    for (row, said) in [
        (1, "`vector` is null"),
        (2, "`vector` has an element that is null"),
        (3, "`vector` has 4097 elements"),
        (5, "`id` is null"),
        (6, "`x` is infinite"),
    ] {
        refused(&found[..row], &[&format!("t: row {row}: {said}")]);
    }
    // Numbers that no collection takes are for the collection to refuse.
    assert!(found[3].as_ref().unwrap().vector[0].is_nan());
}

#[test]
fn arrow_that_is_cut_or_damaged_is_an_error() {
    let batch = with_vectors(singles());
    let bytes = file(&[batch.clone(), batch.clone()]);
    assert_eq!(good(read(input("t", bytes.clone()), None, "")).len(), 4);
    for end in 8..bytes.len() {
        let found = read(input("t", &bytes[..end]), None, "");
        assert!(found.last().is_some_and(Result::is_err), "cut at {end} of {}", bytes.len());
    }
    refused(&read(input("t", [b"ARROW1".as_slice(), &[0; 5000]].concat()), None, ""), &["nothing behind its magic"]);
    let whole = stream(&[batch.clone(), batch]);
    assert_eq!(good(read(input("t", whole.clone()), None, "")).len(), 4);
    for end in 5..whole.len() {
        // A stream may end between batches; within one it may not.
        let found = read(input("t", &whole[..end]), None, "");
        let good = found.iter().filter(|chunk| chunk.is_ok()).count();
        assert!(good % 2 == 0 && good <= 4, "cut at {end}");
    }
    // Whatever byte is another, an error or other chunks, never a panic.
    for at in 8..bytes.len() {
        for wrong in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = wrong;
            let found = read(input("t", damaged), None, "");
            assert!(found.len() <= 5, "byte {at} as {wrong}");
        }
    }
}

#[test]
fn a_batch_is_read_within_its_bound() {
    let mut bounded = Bounded { reader: Box::new(std::io::BufReader::new(std::io::repeat(7))), left: 1000 };
    let mut bytes = Vec::new();
    let error = bounded.read_to_end(&mut bytes).unwrap_err().to_string();
    assert!(bytes.len() == 1000 && error.contains("max_chunksize"), "{} {error}", bytes.len());
    bounded.left = 1;
    assert_eq!(bounded.read(&mut [0; 8]).unwrap(), 1);
}

/// Written by NumPy 2.4 and pyarrow 26, so that it is not only our own writer that is read.
#[test]
fn what_numpy_and_pyarrow_wrote_is_read() {
    let options = "--object-prefix doc:";
    let table = include_bytes!("../../../tests/data/chunks/pyarrow.arrow").to_vec();
    let chunks = good(read(input("pyarrow.arrow", table), None, options));
    assert_eq!(chunks.len(), 2);
    assert_eq!((chunks[0].id.as_str(), chunks[1].object.to_string().as_str()), ("a", "doc:2"));
    assert_eq!((&chunks[0].vector, &chunks[1].vector), (&vec![1.0, -2.5], &vec![0.25, 65504.0]));
    assert_eq!(chunks[0].payload, json!({"year": 2024, "kind": "howto"}).as_object().cloned());
    let squeezed = include_bytes!("../../../tests/data/chunks/pyarrow-lz4.arrow").to_vec();
    refused(&read(input("lz4.arrow", squeezed), None, options), &["lz4.arrow: ", "compression=None"]);
    let vectors = include_bytes!("../../../tests/data/chunks/numpy.npy").to_vec();
    let chunks = good(with_npy(TWO_LINES, vectors));
    assert_eq!((&chunks[0].vector, &chunks[1].vector), (&vec![1.0, -2.5], &vec![0.25, 65504.0]));
}

fn shared(name: &str) -> Option<Input> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: {} is not here", path.display());
        return None;
    };
    Some(Input { path: PathBuf::from(name), source: Box::new(file) })
}

/// Reads all of a real set; checks the number of chunks, and that vectors have length one.
fn real(chunks: &str, vectors: &str, count: usize, options: &str) -> Option<Vec<FileChunk>> {
    let chunks =
        Chunks::open(shared(chunks)?, Some(shared(vectors)?), fields(options)).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!((chunks.total(), chunks.dimension()), (Some(count as u64), Some(384)));
    let chunks = good(chunks.collect());
    assert_eq!(chunks.len(), count);
    for chunk in &chunks {
        let length: f32 = chunk.vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 0.01, "{} has length {length}", chunk.id);
    }
    Some(chunks)
}

#[test]
fn the_real_documents_are_read() {
    let options = "--object document --object-prefix document:";
    let Some(chunks) = real("k8s-docs/chunks.jsonl.zst", "k8s-docs/chunks.f16.npy", 19_860, options) else { return };
    for (row, chunk) in chunks.iter().enumerate() {
        let payload = chunk.payload.as_ref().unwrap();
        assert_eq!(payload["row"], json!(row));
        assert_eq!(payload.keys().collect::<Vec<_>>(), ["heading", "row"]);
        assert!(chunk.text.is_some() && chunk.object.object_type == "document");
    }
}

#[test]
fn the_real_packages_are_read() {
    let options = "--object team --object-prefix team: --payload section,source";
    let Some(chunks) = real("debian/packages.jsonl.zst", "debian/packages.f16.npy", 63_666, options) else { return };
    assert!(chunks.iter().all(|chunk| chunk.object.object_type == "team" && chunk.text.is_none()));
}

/// Memory is for one row and one line: of a file that promises a great many, only what is asked for is read.
#[test]
fn a_file_without_end_is_read_as_far_as_asked() {
    let rows = npy(1, &header("<f4", "(1000000000000, 3)"), &[]);
    let vectors = Input { path: "v".into(), source: Box::new(Cursor::new(rows).chain(std::io::repeat(0))) };
    let mut at = 0;
    let line = b"{\"id\":\"a\",\"object\":\"doc:1\"}\n";
    let endless = std::iter::repeat(line).flatten();
    let source = Box::new(Endless(endless));
    for chunk in Chunks::open(Input { path: "c".into(), source }, Some(vectors), Fields::default()).ok().unwrap() {
        assert_eq!(chunk.unwrap().vector, [0.0; 3]);
        at += 1;
        if at == 1000 {
            break;
        }
    }
    assert_eq!(at, 1000);
}

struct Endless<I>(I);

impl<'a, I: Iterator<Item = &'a u8>> Read for Endless<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(buffer.iter_mut().zip(&mut self.0).map(|(to, from)| *to = *from).count())
    }
}
