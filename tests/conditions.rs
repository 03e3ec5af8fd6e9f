//! Conditions against what cel-go and OpenFGA document: a table of expressions, types of parameters, contexts and
//! outcomes. The rows follow CEL's language definition, cel-go's standard library, and OpenFGA's own tests of conditions.

use bailiwick::model::{CompiledCondition, ConditionDefinition, ConditionFault, Model, Origin, ParameterType};
use serde_json::{Value, json};

/// What a row expects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Met,
    Unmet,
    /// Refused when the model is written; the text holds this.
    Refused(&'static str),
    /// Fails when evaluated; the text holds this.
    Fails(&'static str),
}
use Outcome::{Fails, Met, Refused, Unmet};

const LIMIT: u64 = 100;

fn definition(expression: &str, parameters: &str) -> ConditionDefinition {
    let head = if parameters.is_empty() { "unused: bool" } else { parameters };
    let text = format!("model\n  schema 1.1\ntype user\ncondition c({head}) {{\n true\n}}\n");
    // The language has no word for `any`: `bool` stands in, and is put right below.
    let text = text.replace("any", "bool");
    let mut read = Model::parse_dsl(&text).unwrap_or_else(|e| panic!("{parameters}: {e:?}")).conditions.remove(0);
    if parameters.is_empty() {
        read.parameters.clear();
    }
    if parameters.contains("any") {
        for (_, ty) in &mut read.parameters {
            match ty {
                ParameterType::Map(inner) | ParameterType::List(inner) => **inner = ParameterType::Any,
                other => *other = ParameterType::Any,
            }
        }
    }
    ConditionDefinition { expression: expression.to_owned(), ..read }
}

fn ask(expression: &str, parameters: &str, context: &Value) -> Result<bool, ConditionFault> {
    let compiled = CompiledCondition::compile(&definition(expression, parameters))?;
    compiled.evaluate(context.as_object().unwrap(), None, LIMIT)
}

fn check(rows: &[(&str, &str, Value, Outcome)]) {
    let mut failures = Vec::new();
    for (expression, parameters, context, outcome) in rows {
        let found = ask(expression, parameters, context);
        let right = match (outcome, &found) {
            (Met, Ok(met)) => *met,
            (Unmet, Ok(met)) => !met,
            (Refused(part), Err(ConditionFault::Compile(text))) => text.contains(part),
            (Fails(_), Err(ConditionFault::Compile(_))) => false,
            (Fails(part), Err(fault)) => fault.to_string().contains(part),
            _ => false,
        };
        if !right {
            failures.push(format!("{expression} ({parameters}) {context}: wanted {outcome:?}, found {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[test]
fn operators_and_numbers() {
    let none = || json!({});
    check(&[
        ("param1 == 'ok'", "param1: string", json!({"param1": "ok"}), Met),
        ("param1 == 'ok'", "param1: string", json!({"param1": "notok"}), Unmet),
        ("hour >= 9 && hour < 17", "hour: int", json!({"hour": 9}), Met),
        ("hour >= 9 && hour < 17", "hour: int", json!({"hour": 17}), Unmet),
        ("x % 2 == 0", "x: int", json!({"x": 4}), Met),
        ("-7 / 2 == -3 && -7 % 2 == -1", "", none(), Met),
        ("7u / 2u == 3u", "", none(), Met),
        ("x + 1 > 0", "x: int", json!({"x": i64::MAX}), Fails("verflow")),
        ("x - 1 < 0", "x: int", json!({"x": i64::MIN}), Fails("verflow")),
        ("x * 2 > 0", "x: int", json!({"x": i64::MAX}), Fails("verflow")),
        ("-x > 0", "x: int", json!({"x": i64::MIN}), Fails("")),
        ("x - 1u >= 0u", "x: uint", json!({"x": 0}), Fails("verflow")),
        ("1 / x == 1", "x: int", json!({"x": 0}), Fails("ero")),
        ("1 % x == 1", "x: int", json!({"x": 0}), Fails("ero")),
        ("1.0 / x > 1.0", "x: double", json!({"x": 0}), Met),
        ("x == x", "x: double", json!({"x": 0.1}), Met),
        ("0.1 + 0.2 == 0.3", "", none(), Unmet),
        ("1 == 1.0", "", none(), Refused("found no matching overload for '_==_' applied to '(int, double)'")),
        ("1 < 1.5", "", none(), Refused("found no matching overload for '_<_' applied to '(int, double)'")),
        ("1u == 1", "", none(), Refused("found no matching overload")),
        ("1 + 1.0 == 2.0", "", none(), Refused("found no matching overload")),
        ("double(x) < 1.5", "x: int", json!({"x": 1}), Met),
        ("a < b", "a: any, b: any", json!({"a": 1, "b": 1.5}), Met),
        ("a == b", "a: any, b: any", json!({"a": 1, "b": "1"}), Unmet),
        ("a < b", "a: any, b: any", json!({"a": 1, "b": "1"}), Fails("")),
        ("x > 1 || y", "x: int, y: bool", json!({"x": 2, "y": false}), Met),
        ("1 / x == 1 || true", "x: int", json!({"x": 0}), Met),
        ("true || 1 / x == 1", "x: int", json!({"x": 0}), Met),
        ("1 / x == 1 && false", "x: int", json!({"x": 0}), Unmet),
        ("x ? 1 == 1 : 1 / 0 == 1", "x: bool", json!({"x": true}), Met),
        ("!x", "x: bool", json!({"x": false}), Met),
        ("!x", "x: int", json!({"x": 0}), Refused("found no matching overload for '!_' applied to '(int)'")),
        ("x && 1", "x: bool", json!({"x": true}), Refused("found no matching overload for '_&&_'")),
        ("x ? 1 : 'a'", "x: bool", json!({"x": true}), Refused("found no matching overload for '_?_:_'")),
        ("int('12') == 12 && uint(3) == 3u && double('1.5') == 1.5", "", none(), Met),
        ("int(x) == 1", "x: double", json!({"x": 1.9}), Met),
        ("int(x) > 0", "x: double", json!({"x": 1e30}), Fails("")),
        ("uint(x) > 0u", "x: int", json!({"x": -1}), Fails("")),
        ("string(x) == '7'", "x: int", json!({"x": 7}), Met),
        ("int(d) == 1000000000 && duration(1000000000) == d", "d: duration", json!({"d": "1s"}), Met),
    ]);
}

#[test]
fn texts_lists_and_maps() {
    let none = || json!({});
    check(&[
        ("s.startsWith('ab') && s.endsWith('yz') && s.contains('mm')", "s: string", json!({"s": "abmmyz"}), Met),
        ("s.matches('^a+$')", "s: string", json!({"s": "aaa"}), Met),
        ("matches(s, '^a+$')", "s: string", json!({"s": "aab"}), Unmet),
        ("s.matches('(')", "s: string", json!({"s": "a"}), Fails("")),
        ("size(s) == 2 && s.size() == 2", "s: string", json!({"s": "éß"}), Met),
        ("s + 'b' == 'ab' && s < 'b'", "s: string", json!({"s": "a"}), Met),
        ("s + 1 == 'a1'", "s: string", json!({"s": "a"}), Refused("found no matching overload for '_+_'")),
        ("s.lowerAscii() == 'a'", "s: string", json!({"s": "A"}), Refused("undeclared reference to 'lowerAscii'")),
        ("b'abc' == bytes('abc') && size(b'abc') == 3", "", none(), Met),
        ("'a' in xs", "xs: list<string>", json!({"xs": ["b", "a"]}), Met),
        ("'c' in xs", "xs: list<string>", json!({"xs": []}), Unmet),
        ("1 in xs", "xs: list<string>", json!({"xs": []}), Refused("'@in' applied to '(int, list(string))'")),
        ("xs[0] == 'a'", "xs: list<string>", json!({"xs": ["a"]}), Met),
        ("xs[1] == 'a'", "xs: list<string>", json!({"xs": ["a"]}), Fails("ndex")),
        ("xs['a'] == 'a'", "xs: list<string>", json!({"xs": ["a"]}), Refused("'_[_]'")),
        ("size(xs) == 2 && xs + xs == ['a', 'b', 'a', 'b']", "xs: list<string>", json!({"xs": ["a", "b"]}), Met),
        ("[1, 2] == [1, 2] && [1, 2] != [2, 1]", "", none(), Met),
        ("m['a'] == 1 && m.a == 1 && 'a' in m", "m: map<int>", json!({"m": {"a": 1}}), Met),
        ("m.b == 1", "m: map<int>", json!({"m": {"a": 1}}), Fails("key")),
        ("has(m.a) && !has(m.b)", "m: map<int>", json!({"m": {"a": 1}}), Met),
        ("m[1] == 1", "m: map<int>", json!({"m": {"a": 1}}), Refused("'_[_]' applied to '(map(string, int), int)'")),
        ("size(m) == 1 && m == {'a': 1}", "m: map<int>", json!({"m": {"a": 1}}), Met),
        ("s.field == 1", "s: string", json!({"s": "a"}), Refused("type 'string' does not support field selection")),
        ("u.name == 'x' && u.tags[0] == 't'", "u: map<any>", json!({"u": {"name": "x", "tags": ["t"]}}), Met),
        ("u.age > 18", "u: any", json!({"u": {"age": 20}}), Met),
        ("u.age == null", "u: any", json!({"u": {"age": null}}), Met),
        ("s == null", "s: string", json!({"s": "a"}), Refused("found no matching overload")),
        ("xs.all(x, x > 0)", "xs: list<int>", json!({"xs": [1, 2]}), Met),
        ("xs.exists(x, x > 1)", "xs: list<int>", json!({"xs": [1, 2]}), Met),
        ("xs.exists_one(x, x > 0)", "xs: list<int>", json!({"xs": [1, 2]}), Unmet),
        ("xs.map(x, x * 2) == [2, 4]", "xs: list<int>", json!({"xs": [1, 2]}), Met),
        ("xs.filter(x, x > 1) == [2]", "xs: list<int>", json!({"xs": [1, 2]}), Met),
        ("xs.map(x, x > 1, x + 1) == [3]", "xs: list<int>", json!({"xs": [1, 2]}), Met),
        ("m.all(k, m[k] > 0)", "m: map<int>", json!({"m": {"a": 1, "b": 2}}), Met),
        ("xs.exists(x, 1 / x == 1)", "xs: list<int>", json!({"xs": [0, 1]}), Met),
        ("xs.all(x, 1 / x == 1)", "xs: list<int>", json!({"xs": [0, 1]}), Fails("ero")),
        ("xs.all(x, x + 1)", "xs: list<int>", json!({"xs": [1]}), Refused("found no matching overload")),
        ("xs.exists(x, x == 'a')", "xs: list<int>", json!({"xs": [1]}), Refused("'_==_' applied to '(int, string)'")),
        ("n.all(x, true)", "n: int", json!({"n": 1}), Refused("cannot be range of a comprehension")),
        ("xs.exists(x, x > 0) && x", "xs: list<int>", json!({"xs": [1]}), Refused("undeclared reference to 'x'")),
        ("type(s) == string && type(1) == int", "s: string", json!({"s": "a"}), Met),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn times_and_addresses() {
    let none = || json!({});
    let time = || json!({"t": "2024-02-29T23:30:15.250Z"});
    check(&[
        ("t < timestamp('2025-01-01T00:00:00Z')", "t: timestamp", time(), Met),
        ("t.getFullYear() == 2024 && t.getMonth() == 1 && t.getDate() == 29", "t: timestamp", time(), Met),
        ("t.getDayOfMonth() == 28 && t.getDayOfYear() == 59 && t.getDayOfWeek() == 4", "t: timestamp", time(), Met),
        ("t.getHours() == 23 && t.getMinutes() == 30 && t.getSeconds() == 15", "t: timestamp", time(), Met),
        ("t.getMilliseconds() == 250", "t: timestamp", time(), Met),
        ("t.getHours('Europe/Berlin') == 0 && t.getDate('Europe/Berlin') == 1", "t: timestamp", time(), Met),
        ("t.getHours('+02:00') == 1", "t: timestamp", time(), Met),
        ("t.getHours('No/Where') == 1", "t: timestamp", time(), Fails("")),
        ("t.getHours(1) == 1", "t: timestamp", time(), Refused("'getHours' applied to 'timestamp.(int)'")),
        (
            "t + d > t && (t + d) - t == d",
            "t: timestamp, d: duration",
            json!({"t": "2024-01-01T00:00:00Z", "d": "1h"}),
            Met,
        ),
        ("t + t > t", "t: timestamp", time(), Refused("'_+_' applied to '(timestamp, timestamp)'")),
        (
            "d == duration('90m') && d.getHours() == 1 && d.getMinutes() == 90",
            "d: duration",
            json!({"d": "1h30m"}),
            Met,
        ),
        ("d > duration('1s')", "d: duration", json!({"d": "1.5s"}), Met),
        (
            "now - granted < duration('10m')",
            "now: timestamp, granted: timestamp",
            json!({"now": "2024-01-01T00:09:59Z", "granted": "2024-01-01T00:00:00Z"}),
            Met,
        ),
        ("t == timestamp(1704067200)", "t: timestamp", json!({"t": "2024-01-01T01:00:00+01:00"}), Met),
        ("int(t) == 1704067200", "t: timestamp", json!({"t": "2024-01-01T00:00:00Z"}), Met),
        ("t > 5", "t: timestamp", time(), Refused("'_>_' applied to '(timestamp, int)'")),
        ("t == null", "t: timestamp", time(), Unmet),
        ("timestamp('nonsense') > t", "t: timestamp", time(), Fails("")),
        ("d > duration('1hx')", "d: duration", json!({"d": "1h"}), Fails("")),
        ("d > duration('1d')", "d: duration", json!({"d": "1h"}), Fails("")),
        ("ip.in_cidr('10.0.0.0/8')", "ip: ipaddress", json!({"ip": "10.1.2.3"}), Met),
        ("ip.in_cidr('10.0.0.0/8')", "ip: ipaddress", json!({"ip": "11.1.2.3"}), Unmet),
        ("ip.in_cidr('10.0.0.0/8')", "ip: ipaddress", json!({"ip": "::ffff:10.1.2.3"}), Met),
        ("ip.in_cidr('2001:db8::/32')", "ip: ipaddress", json!({"ip": "2001:db8::1"}), Met),
        ("ip.in_cidr('10.0.0.0')", "ip: ipaddress", json!({"ip": "10.1.2.3"}), Fails("malformed CIDR")),
        (
            "ip.in_cidr(24)",
            "ip: ipaddress",
            json!({"ip": "10.1.2.3"}),
            Refused("'in_cidr' applied to 'IPAddress.(int)'"),
        ),
        ("'10.0.0.1'.in_cidr('10.0.0.0/8')", "", none(), Refused("'in_cidr' applied to 'string.(string)'")),
        ("ip == ipaddress('10.1.2.3')", "ip: ipaddress", json!({"ip": "10.1.2.3"}), Met),
        ("ip == ipaddress('::ffff:10.1.2.3')", "ip: ipaddress", json!({"ip": "10.1.2.3"}), Met),
        (
            "ip == '10.1.2.3'",
            "ip: ipaddress",
            json!({"ip": "10.1.2.3"}),
            Refused("'_==_' applied to '(IPAddress, string)'"),
        ),
        (
            "ips.exists(i, i.in_cidr('10.0.0.0/8'))",
            "ips: list<ipaddress>",
            json!({"ips": ["1.1.1.1", "10.0.0.1"]}),
            Met,
        ),
        ("ipaddress('192.168.0.1').in_cidr('192.168.0.0/24')", "", none(), Met),
        ("ipaddress('192.168.0').in_cidr('192.168.0.0/24')", "", none(), Fails("192.168.0")),
        (
            "ipaddress(true).in_cidr('192.168.0.0/24')",
            "",
            none(),
            Refused("found no matching overload for 'ipaddress' applied to '(bool)'"),
        ),
    ]);
}

#[test]
fn outputs_and_names() {
    let none = || json!({});
    check(&[
        ("param1", "param1: string", none(), Refused("expected a bool condition expression output, but got 'string'")),
        ("x + 1", "x: int", none(), Refused("but got 'int'")),
        ("x", "x: any", none(), Refused("but got 'dyn'")),
        ("m['a']", "m: map<bool>", json!({"m": {"a": true}}), Met),
        ("[true]", "", none(), Refused("but got 'list(bool)'")),
        (
            "invalid",
            "param1: string",
            none(),
            Refused("ERROR: c:1:1: undeclared reference to 'invalid' (in container '')\n | invalid\n | ^"),
        ),
        ("y == 1", "x: int", none(), Refused("undeclared reference to 'y'")),
        ("unknown(x)", "x: int", none(), Refused("undeclared reference to 'unknown'")),
        ("optional.of(x).hasValue()", "x: int", none(), Refused("undeclared reference")),
        ("x +", "x: int", none(), Refused("")),
        ("", "x: int", none(), Refused("")),
        ("Foo{a: x} == Foo{a: x}", "x: int", none(), Refused("undeclared reference to 'Foo'")),
        ("x // a note", "x: bool", json!({"x": true}), Met),
    ]);
    let long = format!("x == '{}'", "a".repeat(600));
    check(&[(&long, "x: string", none(), Refused("longer than 512 bytes"))]);
}

#[test]
fn casts_of_parameters() {
    let bad = "failed to convert context parameter 'x'";
    check(&[
        ("x == 5", "x: int", json!({"x": 5.0}), Met),
        ("x == 5", "x: int", json!({"x": "5"}), Met),
        ("x == 1000", "x: int", json!({"x": "1e3"}), Met),
        ("x == 5", "x: int", json!({"x": 5.5}), Fails(bad)),
        ("x == 5", "x: int", json!({"x": "5.5"}), Fails(bad)),
        ("x == 5", "x: int", json!({"x": "five"}), Fails(bad)),
        ("x == 5", "x: int", json!({"x": true}), Fails(bad)),
        ("x == 5", "x: int", json!({"x": null}), Fails(bad)),
        ("x == 5u", "x: uint", json!({"x": 5}), Met),
        ("x == 5u", "x: uint", json!({"x": -5}), Fails(bad)),
        ("x == 5u", "x: uint", json!({"x": "5"}), Met),
        ("x == 1.5", "x: double", json!({"x": "1.5"}), Met),
        ("x == 2.0", "x: double", json!({"x": 2}), Met),
        ("x == 2.0", "x: double", json!({"x": "inf"}), Fails(bad)),
        ("x == 'a'", "x: string", json!({"x": 1}), Fails(bad)),
        ("x == 'a'", "x: string", json!({"x": true}), Fails(bad)),
        ("x", "x: bool", json!({"x": "true"}), Fails(bad)),
        ("x > duration('0s')", "x: duration", json!({"x": 5}), Fails(bad)),
        ("x > duration('0s')", "x: duration", json!({"x": "5"}), Fails(bad)),
        ("x > duration('0s')", "x: duration", json!({"x": "-1.5h"}), Unmet),
        ("x > timestamp(0)", "x: timestamp", json!({"x": "2024-01-01"}), Fails(bad)),
        ("x > timestamp(0)", "x: timestamp", json!({"x": 5}), Fails(bad)),
        ("x.in_cidr('10.0.0.0/8')", "x: ipaddress", json!({"x": "10.0.0"}), Fails(bad)),
        ("x.in_cidr('10.0.0.0/8')", "x: ipaddress", json!({"x": "fe80::1%eth0"}), Fails(bad)),
        ("size(x) == 2", "x: list<int>", json!({"x": [1, "2"]}), Met),
        ("size(x) == 2", "x: list<int>", json!({"x": [1, "b"]}), Fails(bad)),
        ("size(x) == 2", "x: list<int>", json!({"x": {"a": 1}}), Fails(bad)),
        ("x.a == 1", "x: map<int>", json!({"x": {"a": "1"}}), Met),
        ("x.a == 1", "x: map<int>", json!({"x": ["a"]}), Fails(bad)),
        ("x == 5", "x: int, y: int", json!({"x": 5}), Fails("tuple is missing context parameters '[y]'")),
        ("true || x == 5", "x: int", json!({}), Fails("tuple is missing context parameters '[x]'")),
    ]);
}

#[test]
fn the_tuple_wins_and_knows_only_its_parameters() {
    let compiled = CompiledCondition::compile(&definition("x == 1 && y == 2", "x: int, y: int")).unwrap();
    let (stored, request) = (json!({"x": 1}), json!({"x": 9, "y": 2, "other": true}));
    let (stored, request) = (stored.as_object().unwrap(), request.as_object().unwrap());
    assert_eq!(compiled.evaluate(stored, Some(request), LIMIT), Ok(true));
    assert_eq!(compiled.evaluate(request, Some(stored), LIMIT), Ok(false));
    assert_eq!(compiled.check_stored_context(stored), Ok(()));
    assert_eq!(compiled.check_stored_context(request), Err(ConditionFault::Undeclared("other".into())));
    let wrong = json!({"x": "a"});
    assert!(matches!(compiled.check_stored_context(wrong.as_object().unwrap()), Err(ConditionFault::Cast { .. })));
}

#[test]
fn costs_are_those_of_cel_go() {
    let rows: [(&str, &str, Value, u64); 14] = [
        ("x < y", "x: int, y: int", json!({"x": 1, "y": 2}), 3),
        ("x == y", "x: string, y: string", json!({"x": "ab", "y": "ab"}), 3),
        ("'a' in strlist", "strlist: list<string>", json!({"strlist": ["c", "b", "a"]}), 4),
        ("'d' in strlist", "strlist: list<string>", json!({"strlist": ["a", "b", "c"]}), 4),
        ("x in ['a', 'b']", "x: string", json!({"x": "a"}), 1),
        ("x || y", "x: bool, y: bool", json!({"x": true, "y": true}), 1),
        ("x && y", "x: bool, y: bool", json!({"x": true, "y": true}), 2),
        ("x ? y : x", "x: bool, y: bool", json!({"x": true, "y": true}), 2),
        ("t < timestamp('2024-01-01T00:00:00Z')", "t: timestamp", json!({"t": "2023-01-01T00:00:00Z"}), 2),
        ("s.contains('ab')", "s: string", json!({"s": "x".repeat(95)}), 11),
        ("s.startsWith('ab')", "s: string", json!({"s": "x".repeat(95)}), 11),
        ("m.a == 1", "m: map<int>", json!({"m": {"a": 1}}), 3),
        // For each of two elements: the loop's condition 3, the accumulator 1, the name 1, the comparison 1.
        ("xs.exists(x, x > 5)", "xs: list<int>", json!({"xs": [1, 2]}), 14),
        ("xs + [x] == xs", "xs: list<int>, x: int", json!({"xs": [1], "x": 1}), 15),
    ];
    for (expression, parameters, context, cost) in rows {
        let compiled = CompiledCondition::compile(&definition(expression, parameters)).unwrap();
        let context = context.as_object().unwrap();
        assert_eq!(compiled.cost(context, None), Ok(cost), "{expression}");
        assert_eq!(compiled.evaluate(context, None, cost - 1), Err(ConditionFault::Cost), "{expression}");
        assert!(compiled.evaluate(context, None, cost).is_ok(), "{expression}");
    }
}

#[test]
fn costly_evaluations_are_stopped() {
    let many: Vec<i64> = (0..100_000).collect();
    let nested = "xs.exists(a, xs.exists(b, xs.exists(c, a + b + c == -1)))";
    for expression in ["xs.exists(x, x < 0)", nested, "xs.map(x, x).size() == 0", "5 in xs"] {
        let found = ask(expression, "xs: list<int>", &json!({"xs": many}));
        assert_eq!(found, Err(ConditionFault::Cost), "{expression}");
    }
    // What is found early costs little, however much follows.
    assert_eq!(ask("xs.exists(x, x == 0)", "xs: list<int>", &json!({"xs": many})), Ok(true));
    assert_eq!(ask("s.contains(s)", "s: string", &json!({"s": "x".repeat(10_000)})), Err(ConditionFault::Cost));
}

#[test]
fn parameters_without_a_spelling_in_the_language() {
    let any = ConditionDefinition {
        name: "c".into(),
        expression: "x.a == 'b' && y[0] == 1".into(),
        parameters: vec![
            ("x".into(), ParameterType::Map(Box::new(ParameterType::Any))),
            ("y".into(), ParameterType::List(Box::new(ParameterType::Any))),
        ],
        origin: Origin::default(),
    };
    let compiled = CompiledCondition::compile(&any).unwrap();
    let context = json!({"x": {"a": "b"}, "y": [1]});
    assert_eq!(compiled.evaluate(context.as_object().unwrap(), None, LIMIT), Ok(true));
}

/// Prints what one evaluation costs in time; a bound that no sane machine breaks keeps it honest.
#[test]
fn a_simple_condition_takes_microseconds() {
    let rows = [
        ("hour >= 9 && hour < 17", "hour: int", json!({"hour": 12})),
        ("ip.in_cidr('10.0.0.0/8')", "ip: ipaddress", json!({"ip": "10.1.2.3"})),
        (
            "now < granted + d",
            "now: timestamp, granted: timestamp, d: duration",
            json!({"now": "2024-01-01T00:09:59Z", "granted": "2024-01-01T00:00:00Z", "d": "1h"}),
        ),
        ("xs.exists(x, x == 'b')", "xs: list<string>", json!({"xs": ["a", "b", "c"]})),
    ];
    for (expression, parameters, context) in rows {
        let compiled = CompiledCondition::compile(&definition(expression, parameters)).unwrap();
        let context = context.as_object().unwrap();
        let turns = 20_000_u32;
        let start = std::time::Instant::now();
        let met = (0..turns).filter(|_| compiled.evaluate(context, None, LIMIT) == Ok(true)).count();
        let each = start.elapsed() / turns;
        assert_eq!(met, turns as usize);
        eprintln!("{expression}: {each:?}");
        assert!(each.as_micros() < 200, "{expression}: {each:?}");
    }
}
