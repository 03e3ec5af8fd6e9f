//! Sources and lines without a database: what is read, what is refused, and with which words.

use super::parse;
use super::source::{Item, LINE_BYTES_MAX, Source};
use super::{BulkFormat, SourceFault};
use proptest::prelude::*;
use std::io::{Cursor, Read};

fn open(text: &str, format: Option<BulkFormat>) -> Result<Source, SourceFault> {
    Source::open(Box::new(Cursor::new(text.to_owned())), format)
}

/// Every item: its number, and the tuple with its condition or what is wrong.
fn read(text: &str) -> Vec<String> {
    items(open(text, None))
}

/// The same of a source that was opened, or why it was not; the last may be why it ended before its end.
fn items(source: Result<Source, SourceFault>) -> Vec<String> {
    let mut source = match source {
        Ok(source) => source,
        Err(fault) => return vec![fault.to_string()],
    };
    let mut found = Vec::new();
    let mut spare = [String::new(), String::new()];
    loop {
        match source.next() {
            Ok(None) => return found,
            Err(fault) => {
                found.push(fault.to_string());
                return found;
            }
            Ok(Some((number, item))) => match parse::tuple(item, &mut spare) {
                Ok(None) => found.push(format!("{number} empty")),
                Ok(Some(tuple)) => {
                    let condition = tuple.condition.as_ref();
                    let with = condition.map(|c| format!(" {} {}", c.name, serde_json::to_string(&c.context).unwrap()));
                    found.push(format!("{number} {tuple}{}", with.unwrap_or_default()));
                }
                Err(fault) => found.push(format!("{number} {fault}")),
            },
        }
    }
}

#[test]
fn json_lines() {
    let text = "\u{feff}{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"}\n\n  \r\n\
        {\"object\":\"d:\\u0031\",\"user\":\"g:1#m\",\"relation\":\"r\",\"condition\":null}\r\n\
        {\"key\":{\"user\":\"user:*\",\"relation\":\"r\",\"object\":\"d:1\",\"condition\":{\"name\":\"c\",\"context\":\
        {\"x\":[1,{\"y\":2.5}]}}},\"timestamp\":\"2024-01-01T00:00:00Z\"}\n\
        {\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\",\"condition\":{\"name\":\"c\"}}";
    let expected = [
        "1 d:1#r@user:a",
        "2 empty",
        "3 empty",
        "4 d:1#r@g:1#m",
        "5 d:1#r@user:* c {\"x\":[1,{\"y\":2.5}]}",
        "6 d:1#r@user:a c {}",
    ];
    assert_eq!(read(text), expected);
}

#[test]
fn bad_json_lines() {
    let refused = |line: &str, says: &str| {
        let found = read(line);
        assert!(found.len() == 1 && found[0].contains(says), "{line}: {found:?}");
    };
    refused("{\"user\":\"user:a\",\"relation\":\"r\"}", "missing field `object`");
    refused("{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\",\"conditon\":{}}", "unknown field `conditon`");
    refused(
        "{\"user\":\"user:a\",\"user\":\"user:b\",\"relation\":\"r\",\"object\":\"d:1\"}",
        "duplicate field `user`",
    );
    refused("{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"", "EOF while parsing an object at column");
    refused("{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"} {}", "trailing characters");
    refused("{\"user\":7,\"relation\":\"r\",\"object\":\"d:1\"}", "invalid type: integer `7`, expected a string");
    refused("{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d1\"}", "`d1` is not an object");
    refused("{\"user\":\"user:a b\",\"relation\":\"r\",\"object\":\"d:1\"}", "`user:a b` is not a subject");
    refused("{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\",\"timestamp\":1}", "unknown field `timestamp`");
    refused(
        "{\"key\":{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"},\"user\":\"user:a\"}",
        "beside `key`",
    );
    let long = format!("{{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:{}\"}}", "x".repeat(300));
    refused(&long, "the object is longer than 256");
    let deep = format!("{{\"user\":{}", "[".repeat(100_000));
    refused(&deep, "expected a string");
    let wide = "y".repeat(40_000);
    let line = format!(
        "{{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\",\"condition\":{{\"name\":\"c\",\"context\":{{\"x\":\"{wide}\"}}}}}}"
    );
    refused(&line, "the context is longer than 32768");
}

#[test]
fn lists() {
    let one = "{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"}";
    assert_eq!(read("[]"), [""; 0]);
    assert_eq!(read(&format!(" [ {one} ,\n{one}]\n")), ["1 d:1#r@user:a", "2 d:1#r@user:a"]);
    let tricky = "[{\"user\":\"user:]},\\\"{\",\"relation\":\"r\",\"object\":\"d:1\"}]";
    assert_eq!(read(tricky), ["1 d:1#r@user:]},\"{"]);
    assert!(read(&format!("[{one},,{one}]"))[1].contains("expected value"));
    assert!(read(&format!("[{one} {one}]"))[0].contains("trailing characters"));
    assert!(read(&format!("[{one}"))[0].contains("ends within its list"));
    assert!(read(&format!("[{one},"))[1].contains("ends within its list"));
    assert!(read(&format!("[{one}] x"))[1].contains("behind the end of the list"));
    assert!(read("[7]")[0].contains("invalid type"));
    let page = |token: &str| {
        format!("{{\n \"tuples\" : [{{\"key\":{one},\"timestamp\":\"x\"}}],\n \"continuation_token\":\"{token}\"}}\n")
    };
    assert_eq!(read(&page("")), ["1 d:1#r@user:a"]);
    assert!(read(&page("abc"))[1].contains("read all pages"));
}

#[test]
fn csv_as_fga_has_it() {
    let text = "user_type,user_id,user_relation,relation,object_type,object_id,condition_name,condition_context\n\
        user,chris,,owner,folder,product,inOfficeIP,\n\
        folder,product,,parent,folder,product-2021,inOfficeIP,\"{\"\"ip_addr\"\":\"\"10.0.0.1\"\"}\"\n\
        team,fga,member,viewer,folder,product-2021,,";
    let expected = [
        "2 folder:product#owner@user:chris inOfficeIP {}",
        "3 folder:product-2021#parent@folder:product inOfficeIP {\"ip_addr\":\"10.0.0.1\"}",
        "4 folder:product-2021#viewer@team:fga#member",
    ];
    assert_eq!(read(text), expected);
    let other_order = "object_id, object_type ,relation,user_id,user_type\n1,d,r,*,user\n";
    assert_eq!(read(other_order), ["2 d:1#r@user:*"]);
}

#[test]
fn bad_csv() {
    let refused = |text: &str, says: &str| {
        let found = read(text);
        assert!(found.last().is_some_and(|last| last.contains(says)), "{text}: {found:?}");
    };
    refused("user_type,user_id,relation,object_type\n", "the column `object_id` is missing");
    refused("user_type,user_id,relation,object_type,object_id,colour\n", "`colour` is none");
    refused("user_type,user_id,user_id,relation,object_type,object_id\n", "the column `user_id` is there twice");
    let head = "user_type,user_id,relation,object_type,object_id,condition_name,condition_context\n";
    refused(&format!("{head}user,a,r,d,1,,{{}}\n"), "context without a condition name");
    refused(&format!("{head}user,a,r,d,1,c,[]\n"), "condition_context is no JSON object");
    refused(&format!("{head}user,a,r,d,1\n"), "5 columns where the first line has 7");
    refused(&format!("{head}user,a,r,d,,,\n"), "`d:` is not an object");
    let unclosed = format!("{head}user,a,r,d,\"1,,\n{}", "user,a,r,d,1,,\n".repeat(80_000));
    let found = read(&unclosed);
    assert!(found[0].contains("longer than") && found[1].contains("where the next begins"), "{found:?}");
}

#[test]
fn a_long_line_costs_no_memory_and_not_the_next() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let read = buffer.len().min(usize::try_from(self.0).unwrap());
            buffer[..read].fill(b'x');
            self.0 -= read as u64;
            Ok(read)
        }
    }
    let good = "{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"}\n";
    let text = Cursor::new(good).chain(Endless(64 << 20)).chain(Cursor::new("\n")).chain(Cursor::new(good));
    let mut source = Source::open(Box::new(text), None).unwrap();
    assert!(matches!(source.next().unwrap(), Some((1, Item::Json(_)))));
    assert!(matches!(source.next().unwrap(), Some((2, Item::Bad(_)))));
    assert!(matches!(source.next().unwrap(), Some((3, Item::Json(_)))));
    assert!(source.next().unwrap().is_none());
    let longest = format!("{}\n", "x".repeat(LINE_BYTES_MAX));
    let mut source = open(&longest, Some(BulkFormat::JsonLines)).unwrap();
    assert!(matches!(source.next().unwrap(), Some((1, Item::Json(_)))));
}

#[test]
fn damaged_compression_is_told() {
    let plain = "{\"user\":\"user:a\",\"relation\":\"r\",\"object\":\"d:1\"}\n".repeat(1_000);
    let packed = zstd::encode_all(plain.as_bytes(), 1).unwrap();
    let cut = packed[..packed.len() - 5].to_vec();
    let opened = Source::open(Box::new(Cursor::new(cut)), None);
    let fault = opened.and_then(|mut source| while_some(&mut source)).unwrap_err();
    assert!(fault.to_string().contains("the source cannot be read on: "), "{fault}");
}

/// Reads to the end.
fn while_some(source: &mut Source) -> Result<(), SourceFault> {
    while source.next()?.is_some() {}
    Ok(())
}

/// Gives a source in parts of these sizes, over and over, and breaks at its end when it is told so.
struct Parts {
    bytes: Cursor<Vec<u8>>,
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
    breaks: bool,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.sizes.next().unwrap().min(buffer.len());
        let read = self.bytes.read(&mut buffer[..size])?;
        if read == 0 && self.breaks {
            return Err(std::io::Error::other("the cable was pulled"));
        }
        Ok(read)
    }
}

fn in_parts(bytes: &[u8], sizes: &[usize], breaks: bool) -> Vec<String> {
    let (bytes, sizes) = (Cursor::new(bytes.to_vec()), Vec::from(sizes).into_iter().cycle());
    items(Source::open(Box::new(Parts { bytes, sizes, breaks }), None))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

/// Documents of every format, well-formed or not, in every packing.
fn documents() -> impl Strategy<Value = Vec<u8>> {
    let tuple = "\\{\"user\":\"user:[aé]\",\"relation\":\"r\",\"object\":\"d:[0-9]\"\\}";
    let item = prop_oneof![5 => tuple, 1 => "[ -~é]{0,12}", 1 => "[ \r\t]{0,3}", 1 => "[\\[\\]{},:\"]{0,6}"];
    let record = prop_oneof![5 => "user,[aé],r,d,[0-9]", 1 => "[ -~é]{0,12}", 1 => "\"[a,\n]{0,4}\",a,r,d,1"];
    let several = prop::collection::vec(item, 0..6);
    let plain = prop_oneof![
        several.clone().prop_map(|items| items.join("\n").into_bytes()),
        several.clone().prop_map(|items| format!("[{}]", items.join(",")).into_bytes()),
        (several, "[ \n]{0,2}", "a?").prop_map(|(items, space, token)| {
            format!("{{{space}\"tuples\":[{}],\"continuation_token\":\"{token}\"}}", items.join(",")).into_bytes()
        }),
        prop::collection::vec(record, 0..6).prop_map(|records| {
            format!("user_type,user_id,relation,object_type,object_id\n{}", records.join("\n")).into_bytes()
        }),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let mark = prop_oneof![Just(""), Just("\u{feff}"), Just(" \n"), Just("\u{feff} ")];
    let marked = (mark, plain).prop_map(|(mark, plain)| [mark.as_bytes(), &plain].concat());
    let packed = (marked, 0..5_u8).prop_map(|(bytes, packing)| {
        let half = bytes.len() / 2;
        match packing {
            0 => gzip(&bytes),
            1 => [gzip(&bytes[..half]), gzip(&bytes[half..])].concat(),
            2 => zstd::encode_all(&*bytes, 1).unwrap(),
            _ => bytes,
        }
    });
    // Whole three times of four; else cut.
    (packed, prop::option::weighted(0.25, any::<prop::sample::Index>())).prop_map(|(mut bytes, cut)| {
        let whole = bytes.len();
        bytes.truncate(cut.map_or(whole, |cut| cut.index(whole + 1)));
        bytes
    })
}

proptest! {
    #[test]
    fn a_source_is_read_alike_in_whatever_parts(
        bytes in documents(),
        sizes in prop::collection::vec(1..9_usize, 1..4),
    ) {
        prop_assert_eq!(in_parts(&bytes, &sizes, false), in_parts(&bytes, &[usize::MAX], false));
    }

    #[test]
    fn what_stands_before_a_break_is_read(
        bytes in documents(),
        sizes in prop::collection::vec(1..9_usize, 1..4),
        place in any::<prop::sample::Index>(),
    ) {
        let place = place.index(bytes.len() + 1);
        let broken = in_parts(&bytes[..place], &sizes, true);
        let (last, before) = broken.split_last().expect("a break is told");
        let whole = in_parts(&bytes, &sizes, false);
        prop_assert_eq!(before, &whole[..before.len().min(whole.len())]);
        let told = last.ends_with("the cable was pulled") || whole.get(before.len()) == Some(last);
        prop_assert!(told, "{:?} of {:?}", broken, whole);
        // Once the format is told, nothing that was complete is held back: a line is when its end was read.
        if place == bytes.len() && !before.is_empty() && whole.iter().all(|item| !item.contains("cannot be read on")) {
            prop_assert!(before.len() + 1 >= whole.len(), "{:?} of {:?}", broken, whole);
        }
    }
}
