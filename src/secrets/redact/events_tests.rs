//! What the filter promises over streams of events.

use super::Filter;
use super::events::EVENT_BYTES_MAX;
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "v4ult-9f8e7d6c5b4a39281706\u{e9}x";

fn filter() -> Filter {
    Filter::new([SECRET.as_bytes()]).unwrap()
}

fn run(stream: &str, length: usize) -> (String, u64) {
    let (mut events, mut out) = (filter().events(), Vec::new());
    for chunk in stream.as_bytes().chunks(length) {
        events.push(chunk, &mut out);
    }
    let report = events.finish(&mut out);
    (String::from_utf8(out).unwrap(), report.total())
}

fn chat(text: &str) -> String {
    format!("data: {}\n\n", json!({"id": "c1", "choices": [{"index": 0, "delta": {"content": text}}]}))
}

fn claude(index: u64, text: &str) -> String {
    let event = json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}});
    format!("event: content_block_delta\ndata: {event}\n\n")
}

/// The texts at a pointer in a stream's events, put together.
fn text(stream: &str, pointer: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let values = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    values.filter_map(|value| Some(value.pointer(pointer)?.as_str()?.to_owned())).collect()
}

#[test]
fn a_secret_that_is_split_over_events_is_removed() {
    let pieces = ["The key is ", "v4ult-9f", "8e7d6c5b4a", "39281706\u{e9}", "x", ". Bye."];
    let stream = pieces.map(chat).concat() + "data: [DONE]\n\n";
    for length in [1, 7, usize::MAX] {
        let (out, removed) = run(&stream, length);
        assert_eq!(text(&out, "/choices/0/delta/content"), "The key is [removed:held-secret]. Bye.");
        assert_eq!((removed, out.ends_with("data: [DONE]\n\n")), (1, true), "{out}");
        assert_eq!(out.matches("\"id\":\"c1\"").count(), pieces.len(), "{out}");
    }
}

#[test]
fn each_text_is_a_stream_of_its_own() {
    let (one, two) = SECRET.split_at(9);
    let stream = [claude(0, one), claude(1, one), claude(1, "x"), claude(0, two)].concat();
    let (out, removed) = run(&stream, 5);
    assert_eq!(removed, 1);
    let of = |index: u64| {
        let own: String = out.split_inclusive("\n\n").filter(|e| e.contains(&format!("\"index\":{index}"))).collect();
        text(&own, "/delta/text")
    };
    assert_eq!((of(0).as_str(), of(1)), ("[removed:held-secret]", format!("{one}x")));
}

#[test]
fn what_waits_comes_before_what_ends_the_text() {
    let stop = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n: comment\n\n";
    let stream = [&claude(0, "so v4ult-9f"), ping, &claude(0, "8e"), stop].concat();
    let (out, removed) = run(&stream, 3);
    assert_eq!((text(&out, "/delta/text").as_str(), removed), ("so v4ult-9f8e", 0));
    assert!(out.ends_with(&(claude(0, "v4ult-9f8e") + stop)), "{out}");
    assert!(out.starts_with(&(claude(0, "so ") + ping)), "{out}");
}

#[test]
fn events_without_secrets_leave_as_they_came_and_at_once() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!(
            "\u{feff}: hello{end}{end}id: 7{end}event: x{end}data:  not json {{{end}data: more{end}{end}retry: 10{end}{end}\
             data: {{\"choices\" : [ {{ \"delta\":{{\"content\":\"Hi \\u00e9\"}} }} ] , \"n\": 1.50}}{end}{end}data{end}{end}tail"
        );
        for length in [1, 4, usize::MAX] {
            assert_eq!(run(&stream, length), (stream.clone(), 0));
        }
        let (mut events, mut out) = (filter().events(), Vec::new());
        let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"Hi.\"}}}}]}}{end}{end}");
        events.push(event.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), event, "nothing of it waits");
    }
}

#[test]
fn a_secret_within_an_event_is_removed_wherever_it_stands() {
    let event = json!({"error": {"message": format!("bad key {SECRET}")}});
    let stream = format!("event: {SECRET}\ndata: {event}\n\ndata: {SECRET}\n\n: {SECRET}\n\ndata: cut {SECRET}");
    let (out, removed) = run(&stream, 6);
    assert!(removed == 5 && !out.contains(SECRET), "{out}");
}

#[test]
fn a_large_event_leaves_as_it_comes() {
    let filler = ".".repeat(3 * EVENT_BYTES_MAX);
    let stream = format!("{}data: {{\"x\":\"{filler}{SECRET}{filler}\"}}\n\n{}", chat("v4ult-9f"), chat("8."));
    let (mut events, mut out) = (filter().events(), Vec::new());
    for chunk in stream.as_bytes().chunks(1_000) {
        events.push(chunk, &mut out);
        assert!(events.event.len() <= EVENT_BYTES_MAX + 1);
    }
    assert_eq!(events.finish(&mut out).total(), 1);
    let out = String::from_utf8(out).unwrap();
    // Both parts of the text come once more each: as the first waits, and as the second does.
    assert_eq!(out.len(), stream.len() - SECRET.len() + "[removed:held-secret]".len() + 2 * chat("").len());
    assert_eq!(text(&out, "/choices/0/delta/content"), "v4ult-9f8.");
}

proptest! {
    /// Whatever the parts and the chunks, the text is what the filter makes of the whole text.
    #[test]
    fn parts_and_chunks_do_not_matter(
        cuts in proptest::collection::vec(0..60_usize, 0..10),
        text_of in proptest::sample::select(vec![
            format!("a {SECRET} b {SECRET}"), format!("{SECRET}{SECRET}"), "no secret \u{1f600}\u{e9} v4ult-9f".to_owned(),
            "api_key = 'q7Rt2LpX9vBn4KsW8mZc' and more".to_owned(),
        ]),
        length in 1..50_usize,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text_of.is_char_boundary(*cut)).collect();
        cuts.extend([0, text_of.len()]);
        cuts.sort_unstable();
        let stream: String = cuts.windows(2).map(|cut| chat(text_of.get(cut[0]..cut[1]).unwrap())).collect();
        let (out, removed) = run(&stream, length);
        let (whole, report) = filter().redact(text_of.as_bytes());
        prop_assert_eq!(text(&out, "/choices/0/delta/content"), String::from_utf8(whole).unwrap());
        prop_assert_eq!(removed, report.total());
    }
}
