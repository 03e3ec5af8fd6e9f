//! Any input is answered, never with a panic; and what is read, printed and read again is the same. What modules read has
//! files of its own. `docs/security.md` lists every decoder, and where it is tested.

mod agent;
mod approval;
mod data;
mod identity;
mod login;
mod mcp;
mod pick;
mod scim;
mod vault;

use bailiwick_fuzz::audit::note::{Checkpoint, KeyKind, Note, Signer, SignerKey, VerifierKey};
use bailiwick_fuzz::audit::tree::{HASH_BYTES, extends, includes, whole_parts};
use bailiwick_fuzz::identity::{
    ClientCertificate, Form, Proved, TOKEN_BYTES_MAX, TlsSubject, check_times, decode, encode, judge_proof, unverified_claim, unverified_header,
    usable_keys, verify_with,
};
use bailiwick_fuzz::keys::{Fields, Key, Table};
use bailiwick_fuzz::model::{Model, parse_module_file};
use bailiwick_fuzz::secrets::{Filter, HOLDINGS_MAX, Hierarchy, Holdings, KeyRing, NONCE_BYTES, OpenError, is_newest, open, seal};
use bailiwick_fuzz::tuple::{ObjectRef, SubjectRef, TupleKeyRef};

/// Words of the language, so that random input gets past the first line.
const WORDS: [&str; 32] = [
    "model\n",
    "  schema 1.1\n",
    "  schema 1.2\n",
    "type ",
    "relations\n",
    "define ",
    ": ",
    "[",
    "]",
    "user",
    "group",
    "#member",
    ":*",
    " with ",
    " or ",
    " and ",
    " but not ",
    " from ",
    "(",
    ")",
    "condition ",
    "x: int",
    "x: list<string>",
    "{",
    "}",
    "x < 1",
    "\n",
    ", ",
    "# note\n",
    "module m\n",
    "extend type ",
    "é",
];

fn words(input: &[u8]) -> String {
    let mut text = String::from("model\n  schema 1.1\n");
    for byte in input {
        text.push_str(WORDS[usize::from(*byte) % WORDS.len()]);
    }
    text
}

fn round_trip(text: &str) {
    if let Ok(model) = Model::parse_dsl(text) {
        let _ = model.validate();
        let json = model.to_json();
        assert_eq!(Model::from_json(&json).expect("our own JSON").to_json(), json);
        if model.validate().is_ok() {
            let printed = model.to_dsl();
            let again = Model::parse_dsl(&printed).unwrap_or_else(|e| panic!("{e:?}\n{printed}"));
            assert_eq!(again.to_dsl(), printed);
        }
    }
}

#[test]
fn model_text() {
    bolero::check!().for_each(|input: &[u8]| {
        round_trip(&String::from_utf8_lossy(input));
        round_trip(&words(input));
    });
}

/// Any text is a file of modules or none, and those of one are a model or say where they are not.
#[test]
fn module_files() {
    const WORDS: [&str; 16] = [
        "schema: '1.2'\n", "contents:\n", "  - core.fga\n", "  - a/b.fga\n", "  - ../x.fga\n", "schema: 1.1\n", "- ", "[", "]", ": ", "'", "&a ", "*a", "\n",
        "é", "  - core.fga\n  - core.fga\n",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let made: String = input.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        for text in [String::from_utf8_lossy(input).into_owned(), made] {
            match parse_module_file(&text, 0) {
                Ok(file) => {
                    assert_eq!(file.schema, "1.2");
                    for (path, place) in &file.contents {
                        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
                        assert!(place.start <= place.end && place.end <= text.len());
                    }
                }
                Err(faults) => assert!(!faults.is_empty()),
            }
        }
    });
}

#[test]
fn model_json() {
    bolero::check!().for_each(|input: &[u8]| {
        if let Ok(value) = serde_json::from_slice(input)
            && let Ok(model) = Model::from_json(&value)
        {
            let _ = model.validate();
            let _ = model.to_dsl();
        }
    });
}

#[test]
fn tuple_text() {
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        if let Ok(object) = ObjectRef::parse(&text) {
            assert_eq!(object.to_string(), text);
        }
        if let Ok(subject) = SubjectRef::parse(&text) {
            assert_eq!(subject.to_string(), text);
        }
        let _ = TupleKeyRef::parse(&text, &text, &text);
    });
}

#[test]
fn key_codec() {
    bolero::check!().with_type::<(u32, u64, u64)>().for_each(|&(store, a, b)| {
        let key = |n| Key::of(Table::Log).u32(store).u64(n);
        assert_eq!(key(a).bytes().cmp(key(b).bytes()), a.cmp(&b));
        assert!(key(a).end().as_slice() > key(a).bytes());
        let key = key(a);
        let mut fields = Fields(key.bytes().split_first().unwrap().1);
        assert_eq!((fields.u32(), fields.u64(), fields.u8()), (Some(store), Some(a), None));
    });
}

fn ring() -> &'static KeyRing {
    static RING: std::sync::OnceLock<KeyRing> = std::sync::OnceLock::new();
    RING.get_or_init(|| {
        let line = KeyRing::key_line("k1", 1, b"a key of exactly thirty-two byte").expect("a good name");
        KeyRing::parse(&(KeyRing::head() + &line), &[]).expect("a good ring")
    })
}

/// Nothing opens but what was sealed: neither bytes from nowhere, nor those behind a good head, nor damaged ones.
#[test]
fn seal_open() {
    bolero::check!().for_each(|input: &[u8]| {
        assert!(open(ring(), Hierarchy::System, b"place", input).is_err());
        let behind_a_head = [b"\x01\x02k1".as_slice(), input].concat();
        assert_eq!(open(ring(), Hierarchy::System, b"place", &behind_a_head), Err(OpenError::Damaged));
        let sealed = seal(ring(), Hierarchy::System, b"place", input, &[7; NONCE_BYTES]).expect("short enough");
        assert!(is_newest(ring(), &sealed));
        assert_eq!(&**open(ring(), Hierarchy::System, b"place", &sealed).expect("whole"), input);
        let mut damaged = sealed;
        let (at, flip) = (input.first().map_or(0, |b| usize::from(*b)) % damaged.len(), input.len() % 8);
        damaged[at] ^= 1 << flip;
        assert!(open(ring(), Hierarchy::System, b"place", &damaged).is_err());
    });
}

/// Any text is a ring or an error; a ring has keys, of which the newest is the last.
#[test]
fn key_ring_text() {
    const WORDS: [&str; 16] = [
        "key ",
        "passphrase ",
        "argon2id ",
        "m=19456 ",
        "t=1 p=1 ",
        "salt=",
        "check=",
        "AAAAAAAAAAAAAAAAAAAAAA== ",
        "a ",
        "b ",
        "1 ",
        "18446744073709551616 ",
        "YSBrZXkgb2YgZXhhY3RseSB0aGlydHktdHdvIGJ5dGU=",
        "YW4gb2xkIGtleSBvZiB0aGlydHktdHdvIGJ5dGVzLi4=",
        "\n",
        "#",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let words: String = input.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        for text in [String::from_utf8_lossy(input).into_owned(), KeyRing::head() + &words] {
            if let Ok(ring) = KeyRing::parse(&text, &[]) {
                let ids: Vec<_> = ring.ids().collect();
                assert!(ids.is_sorted_by_key(|(_, created)| *created));
                assert_eq!(ids.last().map(|(id, _)| *id), Some(ring.newest()));
            }
        }
    });
}

fn log() -> &'static SignerKey {
    static KEY: std::sync::OnceLock<SignerKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| SignerKey::from_seed("fuzz.example", KeyKind::Log, &[7; 32]).expect("a good name"))
}

/// Any text is a note, a checkpoint or a key in its one form, or an error; and nobody guesses a signature.
#[test]
fn note_text() {
    const WORDS: [&str; 16] = [
        "fuzz.example",
        "\n",
        "\n\n",
        "\u{2014} ",
        " ",
        "+",
        "12",
        "0",
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==",
        "PRIVATE+KEY+",
        "f80c4422",
        "AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtI=",
        "example.com/audit",
        "é",
    ];
    let known = std::slice::from_ref(log().key());
    bolero::check!().for_each(|input: &[u8]| {
        let words: String = input.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        for text in [String::from_utf8_lossy(input).into_owned(), words] {
            if let Ok(note) = Note::parse(&text) {
                assert_eq!(note.to_string(), text);
                assert!(note.verify(known).is_err());
            }
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                assert_eq!(checkpoint.to_string(), text);
            }
            if let Ok(key) = VerifierKey::parse(&text) {
                assert_eq!(key.to_string(), text.trim());
            }
            let _ = SignerKey::parse(&text);
        }
    });
}

/// A signed note of which any byte was changed is not taken for another's, nor for the same of another text.
#[test]
fn note_signature() {
    let known = std::slice::from_ref(log().key());
    let signed = Checkpoint { origin: "fuzz.example".into(), size: 12, root: [3; HASH_BYTES], extensions: Vec::new() };
    let signed = signed.sign(log()).expect("a checkpoint").to_string();
    bolero::check!().with_type::<(u16, u8)>().for_each(|&(at, flip)| {
        let mut bytes = signed.clone().into_bytes();
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= flip;
        let Ok(text) = String::from_utf8(bytes) else { return };
        assert_eq!(Checkpoint::open(&text, known, &[]).is_ok(), text == signed);
    });
}

/// Hashes from nowhere prove nothing, and whole subtrees of any range cover it.
#[test]
fn tree_proofs() {
    bolero::check!().with_type::<(u64, u64, Vec<[u8; HASH_BYTES]>)>().for_each(|(a, b, proof)| {
        let (leaf, root) = ([8; HASH_BYTES], [9; HASH_BYTES]);
        assert!(!includes(&leaf, *a, *b, &root, proof));
        assert!(!extends(*a, &leaf, *b, &root, proof));
        let (from, to) = (a.min(b), a.max(b));
        let end = whole_parts(*from, *to).fold(*from, |at, (height, index)| {
            assert_eq!(index << height, at);
            at + (1 << height)
        });
        assert_eq!(end, *to);
    });
}
/// Whatever comes, in whatever chunks: the same goes out, no secret with it, and little waits.
#[test]
fn redact() {
    const SECRETS: [&[u8]; 3] = [b"s3cr3t/with+es%63apes", b"plain-token-0123", b"two\r\nlines of it"];
    const WORDS: [&[u8]; 19] = [
        b"s3cr3t/with+es%63apes",
        b"plain-token-0123",
        b"two\\r\\nlines of it",
        b"plain-tok",
        b"cGxhaW4tdG9rZW4tMDEyMw",
        b"%70%6cain",
        b"\\u005c",
        b"\\",
        b"%25",
        b"&#x70;",
        b"\n",
        b"api_key=\"",
        b"q7Rt2LpX9vBn4KsW8mZc",
        b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        b"-----BEGIN PRIVATE KEY-----",
        b"https://bob:",
        OF_ANOTHER,
        b"9xK-other4Tok3nQ7",
        b"39784b2d6f74",
    ];
    const OF_ANOTHER: &[u8] = b"9xK-other4Tok3nQ7w8e9r0t1y";
    static FILTER: std::sync::OnceLock<Filter> = std::sync::OnceLock::new();
    let make = || {
        let holdings = Holdings::new(HOLDINGS_MAX);
        holdings.put("another", [OF_ANOTHER]).expect("there is room");
        Filter::new(SECRETS).expect("good secrets").with_holdings(holdings.into())
    };
    bolero::check!().for_each(|input: &[u8]| {
        let filter = FILTER.get_or_init(make);
        let words: Vec<u8> = input.iter().flat_map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).copied().collect();
        for text in [input, &words] {
            let (whole, report) = filter.redact(text);
            let (mut stream, mut out) = (filter.stream(), Vec::new());
            for chunk in text.chunks(1 + input.len() % 7) {
                stream.push(chunk, &mut out);
                assert!(stream.held() < 64 << 10);
            }
            assert_eq!((stream.finish(&mut out), out), (report, whole.clone()));
            assert!(SECRETS.iter().chain([&OF_ANOTHER]).all(|secret| !whole.windows(secret.len()).any(|window| window == *secret)));
        }
    });
}

/// A token of a key, and the set that has it. The seed tells keys apart.
fn signed(seed: u8, header: &str, claims: &[u8]) -> (String, serde_json::Value) {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes");
    let message = format!("{}.{}", encode(header.as_bytes()), encode(claims));
    let token = format!("{message}.{}", encode(pair.sign(message.as_bytes()).as_ref()));
    let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())});
    (token, key)
}

/// Assertions, ID tokens, request objects, logout tokens: no bytes verify but those that the key signed, and what is signed
/// is read as it is.
#[test]
fn tokens() {
    let (good, key) = signed(1, r#"{"alg":"Ed25519","typ":"JWT"}"#, br#"{"sub":"a","exp":1800000000}"#);
    let set = serde_json::json!({ "keys": [key] });
    assert!(verify_with(&good, &set).is_ok());
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let damaged = input.split_first_chunk::<3>().map(|([high, low, flip], _)| {
            let mut bytes = good.clone().into_bytes();
            let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
            bytes[at] ^= flip;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        for token in [text.as_ref(), damaged.as_deref().unwrap_or_default(), &format!("{text}.{text}.{text}")] {
            let _ = unverified_header(token);
            let _ = unverified_claim(token, "iss");
            // The last letter of a signature has two bits that say nothing; whoever changes those forges nothing.
            let same = token.rsplit_once('.').zip(good.rsplit_once('.')).is_some_and(|(a, b)| a.0 == b.0);
            assert!(verify_with(token, &set).is_err() || same, "{token}");
        }
        let (token, key) = signed(2, r#"{"alg":"EdDSA"}"#, input);
        match verify_with(&token, &serde_json::json!({ "keys": [key] })) {
            Ok(verified) => {
                assert!(serde_json::from_slice::<serde_json::Value>(input).is_ok_and(|value| value.is_object()));
                let _ = (verified.time("exp"), verified.audience(), check_times(&verified, 1_800_000_000, 3_600));
            }
            Err(refusal) => assert!(["token.form"].contains(&refusal.rule), "{refusal}"),
        }
        assert!(token.len() <= TOKEN_BYTES_MAX || verify_with(&token, &set).is_err());
    });
}

/// Key sets at a `jwks_uri`, and those that clients register: whatever they are, they verify nothing that their keys did not sign.
#[test]
fn key_sets() {
    const WORDS: [&str; 24] = [
        "{", "}", "[", "]", ",", ":", r#""keys""#, r#""kty""#, r#""OKP""#, r#""EC""#, r#""RSA""#, r#""crv""#, r#""Ed25519""#,
        r#""P-256""#, r#""x""#, r#""y""#, r#""n""#, r#""e""#, r#""AQAB""#, r#""alg""#, r#""EdDSA""#, r#""kid""#, "null", "1",
    ];
    let (token, _) = signed(3, r#"{"alg":"Ed25519"}"#, b"{}");
    bolero::check!().for_each(|input: &[u8]| {
        let words: String = input.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        let key = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}},{words}]}}"#, encode(input));
        for text in [String::from_utf8_lossy(input).as_ref(), &words, &key] {
            if let Ok(set) = serde_json::from_str::<serde_json::Value>(text) {
                let _ = usable_keys(&set);
                assert!(verify_with(&token, &set).is_err());
            }
        }
    });
}

/// Proofs of possession: none is good but of the key in it, for this request and now.
#[test]
fn proofs() {
    let of = Proved { method: "POST", url: "https://id.example/token", token: None };
    let (_, key) = signed(4, "{}", b"{}");
    let header = serde_json::json!({"alg": "EdDSA", "typ": "dpop+jwt", "jwk": key}).to_string();
    let claims = serde_json::json!({"htm": "POST", "htu": of.url, "iat": 1_800_000_000, "jti": "a"}).to_string();
    let (good, _) = signed(4, &header, claims.as_bytes());
    assert!(judge_proof(&good, &of, 1_800_000_000).is_ok());
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        assert!(judge_proof(&text, &of, 1_800_000_000).is_err());
        // A header of anything, and claims of anything, of a key that signed them.
        let (own_header, _) = signed(4, &text, claims.as_bytes());
        let (own_claims, _) = signed(4, &header, input);
        let (other, _) = signed(5, &header, claims.as_bytes());
        let _ = judge_proof(&own_header, &of, 1_800_000_000);
        if let Ok(proof) = judge_proof(&own_claims, &of, 1_800_000_000) {
            assert!(!proof.jti.is_empty() && proof.until > 1_800_000_000);
        }
        assert!(judge_proof(&other, &of, 1_800_000_000).is_err(), "another key signed it");
    });
}

/// A certificate of `O=Acme, Inc., CN=sales` with a name of each kind, as openssl writes it.
const CERTIFICATE: &str =
    "MIIB8jCCAZigAwIBAgIUd3xwedmiHsaFOv/Fy87CYiTIYAUwCgYIKoZIzj0EAwIwJTETMBEGA1UECgwKQWNtZSwgSW5jLjEOMAwG\
     A1UEAwwFc2FsZXMwIBcNMjYxMTI4MDIxNjExWhgPMjEyNjExMDQwMjE2MTFaMCUxEzARBgNVBAoMCkFjbWUsIEluYy4xDjAMBgNV\
     BAMMBXNhbGVzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE++itgz+keVqAK0U6pBjNHbq8LUOi5biQT/Y79Y0buV6ky9hRQXja\
     qUwDVf7DsquYsWHR5B0bZGJVHVFmnQ6b9aOBozCBoDAdBgNVHQ4EFgQUnxI9fWlpvEUPdMol0RnoPBTdHv8wHwYDVR0jBBgwFoAU\
     nxI9fWlpvEUPdMol0RnoPBTdHv8wDwYDVR0TAQH/BAUwAwEB/zBNBgNVHREERjBEgg1zYWxlcy5leGFtcGxlhhpzcGlmZmU6Ly9l\
     eGFtcGxlLm9yZy9zYWxlc4cEwAACB4ERc2FsZXNAZXhhbXBsZS5vcmcwCgYIKoZIzj0EAwIDSAAwRQIgcvUNRp1xhIpDGiAGTDtf\
     SEEHMP4MhGrXYdhK2txMLmECIQCJlHoq/vAhLoxom6KpO74mUbc6y+QJZ98peS0/r5+KFg==";

/// Certificates that clients show: what is read is the whole of the bytes, and is nobody else's; subjects are written as they
/// were read.
#[test]
fn certificates() {
    use base64::Engine as _;
    let good = base64::engine::general_purpose::STANDARD.decode(CERTIFICATE).unwrap();
    let subject: TlsSubject = "san-uri=spiffe://example.org/sales".parse().unwrap();
    let own = ClientCertificate::read(&good, true).unwrap();
    assert!(own.is_of(&subject) && own.is_of(&r"dn=CN=sales,O=Acme\, Inc.".parse().unwrap()));
    bolero::check!().for_each(|input: &[u8]| {
        let _ = ClientCertificate::read(input, true);
        if let Some(([high, low, flip], _)) = input.split_first_chunk::<3>() {
            let mut bytes = good.clone();
            let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
            bytes[at] ^= flip;
            if let Some(read) = ClientCertificate::read(&bytes, false) {
                assert!(!read.is_of(&subject), "nobody who is trusted has signed it");
                assert_eq!(read.thumbprint == own.thumbprint, *flip == 0);
            }
        }
        let text = String::from_utf8_lossy(input);
        for kind in ["dn", "san-dns", "san-uri", "san-email", ""] {
            let written = format!("{kind}={text}");
            if let Ok(subject) = written.parse::<TlsSubject>() {
                assert_eq!(subject.to_string(), written);
                let _ = own.is_of(&subject);
            }
        }
    });
}

/// Authorization requests and all other forms: a parameter is there once, and what is read is what was sent.
#[test]
fn forms() {
    const WORDS: [&str; 16] = [
        "a=", "&", "client_id=", "resource=", "audience=", "scope=", "authorization_details=", "%5B%7B%22type%22%3A%22t%22%7D%5D",
        "[{\"type\":1}]", "%", "+", "=", "%00", "é", "x", "\"",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let words: String = input.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        for text in [String::from_utf8_lossy(input).as_ref(), &words] {
            if let Ok(form) = Form::parse(text) {
                let _ = (form.resources(), form.details(), form.need("scope").is_ok());
                assert!(form.get("client_id").is_none_or(|id| !id.is_empty()));
                assert!(form.get("a").is_none_or(|_| form.all("a").count() == 1));
            }
            let _ = Form::from_json(text.as_bytes());
            assert!(decode(&encode(text.as_bytes())).is_some_and(|bytes| bytes == text.as_bytes()));
        }
    });
}
