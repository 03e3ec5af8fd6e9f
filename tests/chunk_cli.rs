//! `bailiwick collection`, `bailiwick chunk` and `bailiwick search` as a person uses them, against a directory and against a
//! server: the README's three commands, real documents with known answers, wrong files, and imports that were stopped.

use crate::cli::{Place, err, in_both_places, out, program, serve};
use crate::conformance::shared;
use crate::data::{lines, text};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

const MODEL: &str = "model
  schema 1.1
type user
type agent
type folder
  relations
    define viewer: [user, agent]
type document
  relations
    define parent: [folder]
    define viewer: [user, agent] or viewer from parent
";

/// Who may see what: Anne documents 1 and 2 (of folder a), Bob document 3, the agent documents 2 and 3.
const TUPLES: [(&str, &str, &str); 6] = [
    ("user:anne", "viewer", "folder:a"),
    ("folder:a", "parent", "document:1"),
    ("folder:a", "parent", "document:2"),
    ("user:bob", "viewer", "document:3"),
    ("agent:helper", "viewer", "document:2"),
    ("agent:helper", "viewer", "document:3"),
];

/// Four chunks: id, document, language, vector.
const CHUNKS: [(&str, u8, &str, [f32; 3]); 4] = [
    ("one", 1, "en", [1.0, 0.0, 0.0]),
    ("two", 2, "en", [0.8, 0.6, 0.0]),
    ("two-b", 2, "de", [0.6, 0.8, 0.0]),
    ("three", 3, "en", [0.96, 0.28, 0.0]),
];

/// A NumPy file of single floats.
fn npy(path: &Path, shape: &str, numbers: &[f32]) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header}{}\n", " ".repeat(63 - (10 + header.len()) % 64));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend([u8::try_from(header.len()).unwrap(), 0]);
    bytes.extend(header.as_bytes());
    for number in numbers {
        let mut element = number.to_bits().to_be_bytes();
        element.reverse();
        bytes.extend(element);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The files of a small world.
fn files(directory: &Path) {
    std::fs::write(directory.join("model.fga"), MODEL).unwrap();
    let tuple = |(user, relation, object): &(&str, &str, &str)| {
        format!("{}\n", json!({"user": user, "relation": relation, "object": object}))
    };
    std::fs::write(directory.join("tuples.jsonl"), TUPLES.iter().map(tuple).collect::<String>()).unwrap();
    let chunk = |(id, document, lang, _): &(&str, u8, &str, [f32; 3])| {
        let object = format!("document:{document}");
        format!("{}\n", json!({"id": id, "object": object, "text": format!("text of\n{id}"), "lang": lang}))
    };
    std::fs::write(directory.join("chunks.jsonl"), CHUNKS.iter().map(chunk).collect::<String>()).unwrap();
    let vectors: Vec<f32> = CHUNKS.iter().flat_map(|chunk| chunk.3).collect();
    npy(&directory.join("chunks.npy"), "(4, 3)", &vectors);
    npy(&directory.join("question.npy"), "(3,)", &[1.0, 0.0, 0.0]);
}

const IMPORT: [&str; 10] = [
    "chunk",
    "import",
    "--collection",
    "docs",
    "--create",
    "document#viewer",
    "--vectors",
    "chunks.npy",
    "--chunks",
    "chunks.jsonl",
];

/// The small world in a place.
fn world(place: &Place<'_>) {
    files(place.directory);
    place.says(&["store", "create", "docs"]);
    place.says(&["model", "write", "model.fga"]);
    place.says(&["import", "tuples.jsonl"]);
    let said = place.says(&IMPORT);
    assert!(said.starts_with("chunks.jsonl: 4 chunks written, in "), "{said}");
}

/// The ids of the hits that are printed.
fn hits(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.split('\t').nth(2).unwrap()).collect()
}

fn fails(output: &Output, expect: &str) {
    let said = err(output);
    assert_eq!(output.status.code(), Some(2), "{}{said}", out(output));
    assert!(said.lines().last().unwrap().starts_with("error: ") && said.contains(expect), "says {said}, not {expect}");
    assert_eq!(out(output), "");
}

#[test]
fn the_three_commands_of_the_readme() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter_map(|l| l.strip_prefix("    bailiwick ")).collect();
    let own: Vec<&str> = commands.into_iter().filter(|l| l.contains("--data ./own")).collect();
    assert_eq!(own.len(), 3, "{own:?}");
    let directory = tempfile::tempdir().unwrap();
    files(directory.path());
    let mut last = String::new();
    for command in own {
        let output = program(directory.path()).args(command.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", err(&output));
        last = out(&output);
        if command.starts_with("search") {
            let how = err(&output);
            assert!(how.starts_with("3 chunks visible to user:anne, scanned: "), "{how}");
        }
    }
    let expect = "1\t1.0000\tone\tdocument:1\ttext of one\n2\t0.8000\ttwo\tdocument:2\ttext of two\n\
                  3\t0.6000\ttwo-b\tdocument:2\ttext of two-b\n";
    assert_eq!(last, expect);
}

#[test]
fn searches() {
    in_both_places(|place| {
        world(place);
        let ask = |more: &[&str]| {
            let words = ["search", "--collection", "docs", "--user"];
            place.says(&[&words, more].concat())
        };
        let question = ["--vector", "[1, 0, 0.0]"];
        let of = |user: &'static str, more: &[&'static str]| ask(&[&[user], &question[..], more].concat());
        assert_eq!(hits(&of("user:anne", &[])), ["one", "two", "two-b"]);
        assert_eq!(hits(&of("user:anne", &["--exact", "--k", "2"])), ["one", "two"]);
        assert_eq!(hits(&of("user:bob", &[])), ["three"]);
        assert_eq!(of("user:nobody", &[]), "");
        assert_eq!(hits(&of("user:anne", &["--agent", "agent:helper"])), ["two", "two-b"]);
        let given = "user:anne viewer document:3";
        assert_eq!(hits(&of("user:anne", &["--contextual-tuple", given])), ["one", "three", "two", "two-b"]);
        let filter = r#"{"field": "lang", "equal": "de"}"#;
        assert_eq!(hits(&of("user:anne", &["--filter", filter, "--with-payload"])), ["two-b"]);
        assert!(of("user:anne", &["--filter", filter, "--with-payload"]).ends_with("\t{\"lang\":\"de\"}"));
        assert_eq!(hits(&ask(&["user:anne", "--like", "two-b"])), ["two-b", "two", "one"]);

        let whole = ["search", "--collection", "docs", "--user", "user:bob", "--vector", "[1,0,0]"];
        let found = place.json(0, &[&whole[..], &["--with-text", "--with-payload"]].concat());
        assert_eq!(found["hits"][0]["text"], "text of\nthree");
        assert_eq!((&found["hits"][0]["payload"], &found["visible"]), (&json!({"lang": "en"}), &json!(1)));
        assert_eq!((&found["plan"]["kind"], &found["plan"]["visited"]), (&json!("scan"), &json!(1)));
        assert!(found["token"].is_string());
        let bare = place.json(0, &whole);
        assert_eq!(bare["hits"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "object", "score"]);

        // A chunk that one may not see is told from none by nobody.
        for (user, chunk) in [("user:bob", "one"), ("user:bob", "missing"), ("user:anne", "three")] {
            let output = place.output(&["search", "--collection", "docs", "--user", user, "--like", chunk]);
            fails(&output, &format!("there is no chunk `{chunk}` that `{user}` may see"));
        }
        let both =
            ["search", "--collection", "docs", "--user", "user:anne", "--agent", "agent:helper", "--like", "one"];
        fails(&place.output(&both), "there is no chunk `one` that `agent:helper` may see");
        // The next search knows what was taken away.
        place.says(&["tuple", "delete", "user:anne", "viewer", "folder:a"]);
        assert_eq!(of("user:anne", &[]), "");
    });
}

#[test]
fn collections_and_chunks() {
    in_both_places(|place| {
        world(place);
        let create = ["collection", "create", "--name", "other", "--dimension", "2", "--metric", "euclid", "--element"];
        let made = place.says(&[&create[..], &["f16", "--guard", "document#viewer"]].concat());
        assert_eq!(made, "created other: 2 elements, euclid, f16, seen by document#viewer");
        let listed = place.says(&["collection", "list"]);
        assert!(listed.starts_with("docs\tdocument#viewer\t3\tcosine\tf32\t4\t"), "{listed}");
        assert_eq!(place.json(0, &["collection", "list"])["collections"][1]["name"], "other");
        let shown = place.says(&["collection", "show", "--name", "docs"]);
        for line in ["vectors\t3 elements, cosine, f32\t", "chunks\t4\t", "objects with chunks\t3\t", "graph covers\t"]
        {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let info = place.json(0, &["collection", "show", "--name", "docs"]);
        assert_eq!((&info["chunks"], &info["guard"]["relation"]), (&json!(4), &json!("viewer")));
        assert!(info["memory"]["vectors"].as_u64().unwrap() > 0 && info["kernel"].is_string(), "{info}");

        let got = place.says(&["chunk", "get", "two", "--collection", "docs"]);
        assert_eq!(got, "id       two\nobject   document:2\npayload  {\"lang\":\"en\"}\n\ntext of\ntwo");
        let got = place.json(1, &["chunk", "get", "one", "none", "--collection", "docs", "--with-vector"]);
        assert_eq!((&got["chunks"][0]["vector"], &got["missing"]), (&json!([1.0, 0.0, 0.0]), &json!(["none"])));

        let list = ["chunk", "list", "--collection", "docs"];
        assert_eq!(place.says(&list).lines().count(), 4);
        let two = place.says(&[&list[..], &["--object", "document:2"]].concat());
        assert_eq!(two.lines().next(), Some("two\tdocument:2\ttext of two\t{\"lang\":\"en\"}"));
        let limited = place.output(&[&list[..], &["--limit", "3", "--json"]].concat());
        assert_eq!(out(&limited).lines().count(), 3);
        assert_eq!(serde_json::from_str::<Value>(out(&limited).lines().next().unwrap()).unwrap()["id"], "one");
        assert!(err(&limited).contains("3 chunks listed, there are more; --limit"), "{}", err(&limited));
        let german = place.says(&[&list[..], &["--filter", r#"{"field": "lang", "equal": "de"}"#]].concat());
        assert_eq!(german.lines().count(), 1);

        let delete = ["chunk", "delete", "--collection", "docs"];
        assert_eq!(place.says(&[&delete[..], &["--id", "one", "--id", "none"]].concat()), "deleted 1 chunk");
        assert_eq!(place.says(&[&delete[..], &["--object", "document:2"]].concat()), "deleted 2 chunks");
        assert_eq!(place.says(&list).lines().count(), 1);
        assert_eq!(place.output(&delete).status.code(), Some(2), "nothing to delete is no wish");

        let careful = place.output(&["collection", "delete", "--name", "docs"]);
        fails(&careful, "this deletes collection `docs` with all that is in it; add --yes");
        assert_eq!(place.says(&["collection", "delete", "--name", "docs", "--yes"]), "deleted docs");
        assert_eq!(place.says(&["collection", "list"]).lines().count(), 1);
    });
}

#[test]
fn wrong_files_are_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place { directory: directory.path(), flags: vec!["--data".into(), "db".into()] };
    world(&place);
    let at = |name: &str| directory.path().join(name);
    npy(&at("wide.npy"), "(4, 4)", &[1.0; 16]);
    npy(&at("short.npy"), "(3, 3)", &[1.0; 9]);
    npy(&at("zero.npy"), "(4, 3)", &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    std::fs::write(at("bad.jsonl"), "{\"id\":\"x\",\"object\":\"document:1\",\"vector\":[1,2,3]}\n{\"id\":\"y\"}\n")
        .unwrap();
    std::fs::write(at("folder.jsonl"), "{\"id\":\"x\",\"object\":\"folder:a\",\"vector\":[1,2,3]}\n").unwrap();
    let import = |more: &[&str]| place.output(&[&["chunk", "import", "--collection"], more].concat());
    for (arguments, expect) in [
        (vec!["docs", "--chunks", "none.jsonl"], "none.jsonl: No such file"),
        (vec!["docs", "--chunks", "chunks.jsonl", "--vectors", "none.npy"], "none.npy: No such file"),
        (
            vec!["docs", "--chunks", "chunks.jsonl", "--vectors", "wide.npy"],
            "wide.npy: vectors have 4 elements here, and 3 in collection `docs`",
        ),
        (
            vec!["docs", "--chunks", "chunks.jsonl", "--vectors", "short.npy"],
            "chunks.jsonl: there are 4 chunks here and 3 rows in short.npy",
        ),
        (vec!["docs", "--chunks", "bad.jsonl"], "bad.jsonl:2: there is no `object`"),
        (vec!["docs", "--chunks", "bad.jsonl", "--id", "key"], "bad.jsonl:1: there is no `key`"),
        (vec!["docs", "--chunks", "folder.jsonl"], "folder.jsonl:1: chunk 'x': the object is of type 'folder'"),
        (vec!["docs", "--chunks", "chunks.jsonl", "--vectors", "zero.npy"], "chunks.jsonl:2: chunk 'two': "),
        (vec!["nope", "--chunks", "bad.jsonl"], "there is no collection `nope`; --create TYPE#RELATION makes it"),
        (vec!["nope", "--chunks", "bad.jsonl", "--create", "document"], "write it as document#can_view"),
        (vec!["nope", "--chunks", "bad.jsonl", "--create", "document#owner"], "'document#owner' not found"),
        (
            vec!["docs", "--chunks", "bad.jsonl", "--create", "document#viewer", "--metric", "dot"],
            "collection `docs` is there already, and is another: 3 elements, cosine, f32",
        ),
    ] {
        let output = import(&arguments);
        fails(&output, expect);
    }
    let collections = place.json(0, &["collection", "list"]);
    assert_eq!(collections["collections"].as_array().unwrap().len(), 1, "what failed leaves no collection");
    assert_eq!(collections["collections"][0]["chunks"], 4, "and no chunk");
    let search = |more: &[&str]| place.output(&[&["search", "--user", "user:anne", "--collection"], more].concat());
    npy(&at("two.npy"), "(2, 3)", &[1.0; 6]);
    for (arguments, expect) in [
        (vec!["nope", "--vector", "[1,2,3]"], "collection 'nope' not found"),
        (vec!["nope", "--vector", "[1,2,3]"], "; `bailiwick collection list` prints those there are"),
        (vec!["docs", "--vector", "[1,2]"], "2"),
        (vec!["docs", "--vector", "1,2,3"], "--vector is no list of numbers"),
        (vec!["docs", "--vector-file", "none.npy"], "none.npy: No such file"),
        (vec!["docs", "--vector-file", "two.npy"], "two.npy: there are 2 rows; say which with --row, counted from 0"),
        (vec!["docs", "--vector-file", "two.npy", "--row", "2"], "there is no row 2 among 2"),
        (vec!["docs", "--vector-file", "chunks.jsonl"], "it is no NumPy file"),
        (vec!["docs", "--vector", "[1,2,3]", "--filter", "{\"field\": 1}"], "filter"),
        (vec!["docs", "--vector", "[1,2,3]", "--filter", "{lang}"], "the filter is not JSON"),
        (vec!["docs", "--vector", "[1,2,3]", "--relation", "owner"], "relation 'document#owner' not found"),
        (vec!["docs", "--vector", "[1,2,3]", "--k", "1001"], "k is 1001"),
    ] {
        fails(&search(&arguments), expect);
    }
    let twice = search(&["docs", "--vector", "[1,2,3]", "--like", "one"]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(err(&twice).contains("cannot be used with"), "{}", err(&twice));
}

/// Lines of chunks with vectors inside.
fn inside(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{{\"id\":\"c{n}\",\"object\":\"document:1\",\"vector\":[{n},1,1]}}\n")).collect()
}

#[test]
fn an_import_that_was_stopped_is_run_again() {
    in_both_places(|place| {
        world(place);
        let file = place.directory.join("more.jsonl");
        std::fs::write(&file, format!("{}nonsense\n{}", inside(0..6), inside(6..10))).unwrap();
        let import = ["chunk", "import", "--collection", "more", "--create", "document#viewer", "--batch", "2"];
        let import = [&import[..], &["--chunks", "more.jsonl"]].concat();
        let stopped = place.output(&import);
        fails(&stopped, "more.jsonl:7: ");
        assert!(err(&stopped).contains("; 6 chunks before its batch are written; the same command writes them again"));
        let held = |expect: u64| assert_eq!(place.json(0, &["collection", "show", "--name", "more"])["chunks"], expect);
        held(6);
        std::fs::write(&file, inside(0..10)).unwrap();
        assert!(place.says(&import).starts_with("more.jsonl: 10 chunks written, in "));
        held(10);

        // Refused chunks are left out when that is asked for; those that are named are bounded, all are counted.
        let bad = format!(
            "{}{}",
            "{\"id\":\"x\"}\n".repeat(15),
            "{\"id\":\"y\",\"object\":\"folder:a\",\"vector\":[1,2,3]}\n".repeat(10)
        );
        std::fs::write(&file, format!("{bad}{}", inside(10..12))).unwrap();
        let skipped = place.output(&[&import[..], &["--skip-refused"]].concat());
        assert_eq!(skipped.status.code(), Some(1), "{}", err(&skipped));
        assert!(out(&skipped).starts_with("more.jsonl: 2 chunks written, 25 refused, in "), "{}", out(&skipped));
        assert!(err(&skipped).contains("more.jsonl:1: there is no `object`"), "{}", err(&skipped));
        assert!(
            err(&skipped).contains("more.jsonl:16: chunk 'y': the object is of type 'folder'"),
            "{}",
            err(&skipped)
        );
        assert!(err(&skipped).contains("more.jsonl: 5 more chunks are refused"), "{}", err(&skipped));
        held(12);
        let report = place.json(1, &[&import[..], &["--skip-refused"]].concat());
        assert_eq!((&report["written"], &report["refused"]), (&json!(2), &json!(25)));
        assert_eq!(report["refused_first"].as_array().unwrap().len(), 20);
    });
}

#[test]
fn an_import_that_was_killed_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let place = Place { directory: directory.path(), flags: vec!["--server".into(), server.grpc.clone()] };
    world(&place);
    let import = ["chunk", "import", "--collection", "docs", "--batch", "2", "--chunks", "-", "--server", &server.grpc];
    let start = || program(directory.path()).args(import).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = start();
    let mut sender = child.stdin.take().unwrap();
    sender.write_all(inside(0..5).as_bytes()).unwrap();
    let held = || place.json(0, &["collection", "show", "--name", "docs"])["chunks"].as_u64().unwrap();
    // It waits for more lines with two batches written; each look is a program's run, so that this is no busy loop.
    assert!((0..600).any(|_| held() == 8), "the batches are not written as they are read");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(held(), 8);
    let mut child = start();
    let mut sender = child.stdin.take().unwrap();
    sender.write_all(inside(0..9).as_bytes()).unwrap();
    drop(sender);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(out(&output).starts_with("-: 9 chunks written"), "{}", out(&output));
    assert_eq!(held(), 13);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn batches_are_bounded_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let place = Place { directory: directory.path(), flags: vec!["--server".into(), server.grpc.clone()] };
    world(&place);
    // More than one request may have, in one batch of the default length.
    let body = "word ".repeat((1 << 20) / 5);
    let mut file = zstd::Encoder::new(std::fs::File::create(directory.path().join("large.zst")).unwrap(), 1).unwrap();
    for n in 0..70 {
        let line = json!({"id": format!("l{n}"), "object": "document:1", "vector": [n, 1, 1], "text": body});
        writeln!(file, "{line}").unwrap();
    }
    file.finish().unwrap();
    let said = place.says(&["chunk", "import", "--collection", "docs", "--chunks", "large.zst"]);
    assert!(said.starts_with("large.zst: 70 chunks written"), "{said}");
    assert_eq!(server.stop(), Some(0));
}

/// One known answer: the question's row, who asks, and the chunks with their scores.
fn known(folder: &Path) -> (String, String, Vec<(String, f64)>) {
    let case = lines(&folder.join("rag_top10.jsonl.zst")).into_iter().find(|case| {
        text(case, "relation") == "can_view" && case["margin"].as_f64().is_some_and(|margin| margin > 1e-4)
    });
    let case = case.unwrap();
    let row = lines(&folder.join("queries.jsonl.zst")).iter().position(|q| text(q, "id") == text(&case, "query"));
    let top = case["top"].as_array().unwrap();
    let top = top.iter().map(|hit| (hit[0].as_str().unwrap().to_owned(), hit[1].as_f64().unwrap())).collect();
    (row.unwrap().to_string(), text(&case, "user").to_owned(), top)
}

#[test]
fn real_documents_come_in_and_the_known_answer_out() {
    let Some(data) = shared("data") else { return };
    let folder = data.join("k8s-docs");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (row, user, expect) = known(&folder);
    in_both_places(|place| {
        place.says(&["store", "create", "k8s"]);
        place.says(&["model", "write", &path("model.fga")]);
        place.says(&["import", &path("tuples.jsonl.zst")]);
        let (vectors, chunks) = (path("chunks.f16.npy"), path("chunks.jsonl.zst"));
        let import = ["chunk", "import", "--store", "k8s", "--collection", "docs", "--create", "document#can_view"];
        let files = ["--element", "f16", "--vectors", &vectors, "--chunks", &chunks];
        let fields = ["--id", "id", "--object-prefix", "document:", "--object", "document"];
        let report = place.json(0, &[&import[..], &files, &fields].concat());
        assert_eq!((&report["written"], &report["refused"]), (&json!(19_860), &json!(0)));
        let search = ["search", "--store", "k8s", "--collection", "docs", "--exact", "--user", &user, "--vector-file"];
        let found = place.json(0, &[&search[..], &[&path("queries.f16.npy"), "--row", &row]].concat());
        let hits = found["hits"].as_array().unwrap();
        assert_eq!(hits.len(), expect.len());
        for (hit, (id, score)) in hits.iter().zip(&expect) {
            let near = (hit["score"].as_f64().unwrap() - score).abs() < 1e-5;
            assert!(near && hit["id"] == id.as_str(), "{hit} where {id} with {score} is right");
        }
        if place.flags[0] == "--data" {
            let info = place.json(0, &["collection", "show", "--name", "docs"]);
            assert_eq!(info["graph_rows"], 19_860, "the graph is kept: {info}");
        }
    });
}
