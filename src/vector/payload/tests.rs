//! The index against an evaluator that walks the JSON of one chunk, which knows neither paths nor postings.

use super::*;
use crate::tuple::Ordinal;
use crate::vector::{Element, Filter, FilterError, Metric, Space, VectorError, Vectors, row_number};
use proptest::prelude::*;
use serde_json::{Number, json};
use std::cmp::Ordering;

/// Whether the payload matches the filter, both as JSON.
fn naive(payload: Option<&Value>, filter: &Value) -> bool {
    let part = |key: &str| filter.get(key);
    if let Some(filters) = part("and") {
        return filters.as_array().unwrap().iter().all(|filter| naive(payload, filter));
    }
    if let Some(filters) = part("or") {
        return filters.as_array().unwrap().iter().any(|filter| naive(payload, filter));
    }
    if let Some(filter) = part("not") {
        return !naive(payload, filter);
    }
    let mut found = Vec::new();
    if let Some(payload) = payload {
        reach(payload, filter["field"].as_str().unwrap(), &mut found);
    }
    if let Some(wanted) = part("exists") {
        return found.is_empty() != wanted.as_bool().unwrap();
    }
    let mut values = Vec::new();
    found.iter().for_each(|value| elements(value, &mut values));
    let equal = |wanted: &Value| values.iter().any(|value| compare(value, wanted) == Some(Ordering::Equal));
    if let Some(value) = part("equal") {
        return equal(value);
    }
    if let Some(wanted) = part("any_of") {
        return wanted.as_array().unwrap().iter().any(equal);
    }
    let ends = part("range").unwrap().as_object().unwrap();
    values.iter().any(|value| {
        ends.iter().all(|(name, end)| match (name.as_str(), compare(value, end)) {
            (_, None) => false,
            ("gt", Some(order)) => order.is_gt(),
            ("gte", Some(order)) => order.is_ge(),
            ("lt", Some(order)) => order.is_lt(),
            (_, Some(order)) => order.is_le(),
        })
    })
}

/// The values that stand behind a path.
fn reach<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == path {
                    found.push(value);
                } else if let Some(rest) = path.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.')) {
                    reach(value, rest, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| reach(item, path, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn elements<'a>(value: &'a Value, values: &mut Vec<&'a Value>) {
    match value.as_array() {
        Some(items) => items.iter().for_each(|item| elements(item, values)),
        None => values.push(value),
    }
}

/// The order of two scalars of one kind.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(compare_numbers(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bool(a), Value::Bool(b)) => (a == b).then_some(Ordering::Equal),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

/// By whole part, then by what is behind the point.
#[expect(clippy::cast_possible_truncation, reason = "no number of the tests is beyond an i128")]
fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    let parts = |number: &Number| match (number.as_i64(), number.as_u64()) {
        (Some(i), _) => (i128::from(i), 0.0),
        (_, Some(u)) => (i128::from(u), 0.0),
        (None, None) => {
            let f = number.as_f64().unwrap();
            (f.floor() as i128, f - f.floor())
        }
    };
    parts(a).partial_cmp(&parts(b)).unwrap()
}

const FIELDS: [&str; 9] = ["a", "b", "a.b", "a.b.c", "c", "", ".a", "a.", "none"];

fn scalars() -> impl Strategy<Value = Value> {
    let long = |len: usize, last: &str| json!("é".repeat(300).chars().take(len / 2).collect::<String>() + last);
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(-1),
        json!(-1.5),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
        json!(9_007_199_254_740_994.0),
        json!(-9_007_199_254_740_993_i64),
        json!(i64::MAX),
        json!(i64::MAX - 1),
        json!(i64::MIN),
        json!(9_223_372_036_854_775_808.0),
        json!(u64::MAX),
        json!(u64::MAX - 1),
        json!(18_446_744_073_709_551_616.0),
        json!(5e-324),
        json!(1e30),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("1"),
        json!("\u{0}"),
        long(510, ""),
        long(510, "ab"),
        long(510, "aa"),
        long(510, "é"),
        long(510, "abc"),
        long(510, "abd"),
        long(510, "aé"),
        long(520, ""),
    ])
}

fn short_scalars() -> impl Strategy<Value = Value> {
    scalars().prop_filter("a text that filters may have", |value| Scalar::new(value).is_some())
}

fn payloads() -> impl Strategy<Value = Map<String, Value>> {
    let keys = prop::sample::select(vec!["a", "b", "c", "a.b", "b.c", "", "a."]);
    let values = scalars().prop_recursive(3, 12, 3, {
        let keys = keys.clone();
        move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::vec((keys.clone(), inner), 0..3).prop_map(object),
            ]
        }
    });
    prop::collection::vec((keys, values), 0..5).prop_map(|entries| object(entries).as_object().unwrap().clone())
}

fn object(entries: Vec<(&'static str, Value)>) -> Value {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

fn filters() -> impl Strategy<Value = Value> {
    let fields = prop::sample::select(FIELDS.to_vec());
    let ends = (prop::option::of(prop::bool::ANY), prop::option::of(prop::bool::ANY));
    let leaf = prop_oneof![
        (fields.clone(), short_scalars()).prop_map(|(field, value)| json!({"field": field, "equal": value})),
        (fields.clone(), prop::collection::vec(short_scalars(), 1..4))
            .prop_map(|(field, values)| json!({"field": field, "any_of": values})),
        (fields.clone(), prop::bool::ANY).prop_map(|(field, wanted)| json!({"field": field, "exists": wanted})),
        (fields, ends, short_scalars(), short_scalars()).prop_map(|(field, (lower, upper), a, b)| {
            let mut range = Map::new();
            lower.map(|taken| range.insert(if taken { "gte" } else { "gt" }.to_owned(), a));
            upper.map(|taken| range.insert(if taken { "lte" } else { "lt" }.to_owned(), b));
            json!({"field": field, "range": range})
        }),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            list().prop_map(|filters| json!({"and": filters})),
            list().prop_map(|filters| json!({"or": filters})),
            inner.clone().prop_map(|filter| json!({"not": filter})),
        ]
    })
}

const CHUNKS: u32 = 24;

/// What a state of the payloads holds, kept apart from it.
type Held = Vec<Option<Value>>;

fn agree(payloads: &Payloads, held: &Held, filters: &[(Value, Filter)]) -> Result<(), TestCaseError> {
    for (json, filter) in filters {
        let matching = payloads.matching(filter);
        for (chunk, payload) in (0_u32..).zip(held) {
            prop_assert_eq!(matching.admits(Chunk(chunk)), naive(payload.as_ref(), json), "{} on {:?}", json, payload);
        }
    }
    for (chunk, payload) in (0_u32..).zip(held) {
        prop_assert_eq!(payloads.get(Chunk(chunk)).map(Payload::to_value), payload.clone());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn filters_agree_with_a_walk_of_the_json_and_clones_keep_their_answers(
        writes in prop::collection::vec((0..CHUNKS, prop::option::weighted(0.8, payloads())), 1..60),
        filters in prop::collection::vec(filters(), 1..12),
        kept_at in 0_usize..60,
    ) {
        // Empty ranges and those of two kinds are refused, which another test is about.
        let filters: Vec<_> =
            filters.into_iter().filter_map(|json| Filter::from_json(&json).ok().map(|filter| (json, filter))).collect();
        let mut payloads = Payloads::default();
        let mut held: Held = vec![None; CHUNKS as usize];
        let mut kept = (payloads.clone(), held.clone());
        for (i, (chunk, payload)) in writes.into_iter().enumerate() {
            if i == kept_at {
                kept = (payloads.clone(), held.clone());
            }
            held[chunk as usize] = payload.clone().map(Value::Object);
            payloads.set(Chunk(chunk), payload.map(|payload| Payload::new(payload).unwrap()));
        }
        agree(&payloads, &held, &filters)?;
        agree(&kept.0, &kept.1, &filters)?;
        // The counters come back to nothing when all is gone, and so does the index.
        (0..CHUNKS).for_each(|chunk| payloads.set(Chunk(chunk), None));
        prop_assert_eq!((payloads.index_bytes, payloads.json_bytes, payloads.fields.size()), (0, 0, 0));
        agree(&kept.0, &kept.1, &filters)?;
    }

    #[test]
    fn narrowed_rows_are_those_that_the_matching_admits(
        chunks in prop::collection::vec((0_u32..400, 0_u32..20), 1..600),
        allowed in prop::collection::btree_set(0_u32..20, 0..20),
        admitted in prop::collection::btree_set(0_u32..500, 0..300),
        keep in prop::sample::select(vec![1_usize, 10, 300]),
        negated in prop::bool::ANY,
    ) {
        let mut vectors = Vectors::new(Space::new(2, Metric::Dot, Element::F32).unwrap());
        for (chunk, owner) in &chunks {
            vectors.upsert(Chunk(*chunk), Ordinal(*owner), &[1.0, 2.0]).unwrap();
        }
        let matching = Matching { set: admitted.into_iter().take(keep).map(Ordinal).collect(), negated };
        let rows = vectors.rows_of(&allowed.into_iter().map(Ordinal).collect());
        let narrowed = vectors.narrowed(&rows, &matching).unwrap();
        let mut len = 0;
        for row in 0..row_number(chunks.len()) {
            let wanted = rows.contains(row) && matching.admits(vectors.chunk_at(row).unwrap());
            prop_assert_eq!(narrowed.contains(row), wanted, "row {}", row);
            len += usize::from(wanted);
        }
        prop_assert_eq!(narrowed.len(), len);
        vectors.remove(vectors.chunk_at(row_number(chunks.len() - 1)).unwrap());
        prop_assert_eq!(vectors.narrowed(&rows, &matching).unwrap_err(), VectorError::Stale);
    }
}

#[test]
fn many_chunks_of_a_value_and_of_a_field() {
    let mut payloads = Payloads::default();
    let payload =
        |i: u32| Payload::new(object(vec![("a", json!(i)), ("b", json!(i % 3))]).as_object().unwrap().clone());
    let admitted = |payloads: &Payloads, filter: Value| {
        let matching = payloads.matching(&Filter::from_json(&filter).unwrap());
        (0..70_000).filter(|chunk| matching.admits(Chunk(*chunk))).count()
    };
    (0..70_000).for_each(|i| payloads.set(Chunk(i), Some(payload(i).unwrap())));
    let kept = payloads.clone();
    (0..70_000).filter(|i| i % 2 == 0).for_each(|i| payloads.set(Chunk(i), None));
    for (state, all, third, range) in [(&kept, 70_000, 23_333, 50_000), (&payloads, 35_000, 11_666, 25_000)] {
        assert_eq!(admitted(state, json!({"field": "a", "exists": true})), all);
        assert_eq!(admitted(state, json!({"field": "a", "exists": false})), 70_000 - all);
        assert_eq!(admitted(state, json!({"field": "b", "equal": 2})), third);
        assert_eq!(admitted(state, json!({"field": "a", "range": {"gt": 9_999, "lt": 60_000}})), range);
    }
    // 30,001 to 30,002 and half of them.
    assert_eq!(admitted(&payloads, json!({"field": "a", "any_of": [30_000, 30_001, 30_003, -1]})), 2);
}

#[test]
fn payloads_over_a_bound_are_refused() {
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let items = |count: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(count - 1));
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let path = |bytes: usize| format!("{{\"a\":[{{\"{}\":1}}]}}", "k".repeat(bytes - 2));
    for good in [nested(16), items(256), sized(65_536), path(512), "{}".to_owned(), r#"{"":{"":{}}}"#.to_owned()] {
        let payload = Payload::parse(&good).unwrap();
        assert_eq!(payload.json(), good);
        assert_eq!(Payload::new(payload.to_value().as_object().unwrap().clone()), Ok(payload));
    }
    for (bad, error) in [
        (nested(17), PayloadError::Depth),
        (nested(1_000), PayloadError::Depth),
        (format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16)), PayloadError::Depth),
        (items(257), PayloadError::Fields { given: 257 }),
        (sized(65_537), PayloadError::Bytes { given: 65_537 }),
        (path(513), PayloadError::Path { given: 513 }),
        ("[]".to_owned(), PayloadError::NotObject),
        ("{\"a\":\n1".to_owned(), PayloadError::Syntax { line: 2, column: 1 }),
        ("{\"a\":1e999}".to_owned(), PayloadError::Syntax { line: 1, column: 10 }),
    ] {
        assert_eq!(Payload::parse(&bad), Err(error));
    }
    let spaced = "{ \"b\" : [ 1 , 2.50 ] ,\n \"a\" : \"é\\u0001\" }";
    assert_eq!(Payload::parse(spaced).unwrap().json(), "{\"b\":[1,2.5],\"a\":\"é\\u0001\"}");
    let text = PayloadError::Fields { given: 257 }.to_string();
    assert_eq!(text, "the payload has 257 values; it may have 256: leave out what no filter needs");
}

#[test]
fn what_is_not_a_filter_is_refused_where_it_stands() {
    for (filter, start) in [
        (json!(1), "`filter` must be a filter, an object"),
        (json!({}), "`filter` has 0 operators where it must have one"),
        (json!({"and": [{"field": "a"}]}), "`filter.and[0]` has 0 operators"),
        (json!({"field": "a", "equal": 1, "exists": true}), "`filter` has 2 operators"),
        (json!({"and": [], "or": []}), "`filter` has 2 operators"),
        (json!({"not": {"feild": "a"}}), "`filter.not` has the unknown key `feild`; it may have `and`"),
        (json!({"equal": 1}), "`filter` needs `field` beside `equal`"),
        (json!({"field": "a", "and": []}), "`filter` has `field` beside `and`"),
        (json!({"or": []}), "`filter.or` is empty"),
        (json!({"or": {}}), "`filter.or` must be a list of filters"),
        (json!({"field": ["a"], "equal": 1}), "`filter.field` must be the dotted path"),
        (json!({"field": "a".repeat(513), "equal": 1}), "`filter.field` has 513 bytes; it may have 512"),
        (json!({"field": "a", "equal": [1]}), "`filter.equal` must be null, a boolean, a number or a text; an array"),
        (json!({"field": "a", "equal": {}}), "`filter.equal` must be null"),
        (json!({"field": "a", "equal": "x".repeat(513)}), "`filter.equal` has 513 bytes; it may have 512"),
        (json!({"field": "a", "any_of": "x"}), "`filter.any_of` must be a list of nulls"),
        (json!({"field": "a", "any_of": []}), "`filter.any_of` is empty"),
        (json!({"field": "a", "any_of": [1, [2]]}), "`filter.any_of[1]` must be null"),
        (json!({"field": "a", "exists": 1}), "`filter.exists` must be true or false"),
        (json!({"field": "a", "range": [1, 2]}), "`filter.range` must be an object"),
        (json!({"field": "a", "range": {}}), "`filter.range` has no end; give"),
        (json!({"field": "a", "range": {"min": 1}}), "`filter.range` has the unknown key `min`; it may have `gt`"),
        (json!({"field": "a", "range": {"gt": 1, "gte": 1}}), "`filter.range` has two ends of one side; give"),
        (json!({"field": "a", "range": {"gt": 1, "lt": "2"}}), "`filter.range` has a number and a text as its ends"),
        (json!({"field": "a", "range": {"gt": true}}), "`filter.range.gt` must be a number or a text"),
        (json!({"field": "a", "range": {"lte": null}}), "`filter.range.lte` must be a number or a text"),
        (json!({"field": "a", "range": {"gt": 1, "lt": 1.0}}), "`filter.range` holds no value"),
        (json!({"field": "a", "range": {"gte": "b", "lte": "a"}}), "`filter.range` holds no value"),
        (json!({"field": "a", "range": {"lt": ""}}), "`filter.range` holds no value"),
    ] {
        let error = Filter::from_json(&filter).unwrap_err().to_string();
        assert!(error.starts_with(start), "{filter}: {error}");
        assert_eq!(Filter::parse(&filter.to_string()).unwrap_err().to_string(), error);
    }
    assert_eq!(Filter::parse("{\"field\"").unwrap_err(), FilterError::Syntax { line: 1, column: 8 });
    assert!(Filter::parse(r#"{"field":"a","range":{"gte":1,"lte":1.0}}"#).is_ok());
}

#[test]
fn filters_over_a_bound_are_refused() {
    let nested = |levels: usize| (1..levels).fold(json!({"field": "a", "equal": 1}), |inner, _| json!({"not": inner}));
    let values = |count: usize| json!({"field": "a", "any_of": (0..count).collect::<Vec<_>>()});
    let ranges = |count: usize| json!({"or": vec![json!({"field": "a", "range": {"lt": 1}}); count]});
    for good in [nested(16), values(999), ranges(32)] {
        assert!(Filter::from_json(&good).is_ok());
    }
    let deep = format!("{}1{}", "{\"not\":".repeat(1_000), "}".repeat(1_000));
    assert_eq!(Filter::parse(&deep).unwrap_err(), FilterError::Depth);
    for (bad, error) in [
        (nested(17), FilterError::Depth),
        (values(1_000), FilterError::Nodes),
        (json!({"and": vec![nested(1); 1_000]}), FilterError::Nodes),
        (ranges(33), FilterError::Ranges),
    ] {
        assert_eq!(Filter::from_json(&bad).unwrap_err(), error);
    }
}
