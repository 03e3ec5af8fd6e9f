//! Notes against Go's `sumdb/note` and the examples of the specifications; keys, bounds, and what is not taken.

use super::*;

fn signer(name: &str, kind: KeyKind, seed: u8) -> SignerKey {
    SignerKey::from_seed(name, kind, &[seed; 32]).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: "example.com/audit".into(), size, root: [3; 32], extensions: Vec::new() }
}

#[test]
fn goes_note_is_the_same() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../../tests/data/audit/go.json")).unwrap();
    let text = |name: &str| vectors[name].as_str().unwrap();
    let ours = signer("example.com/audit", KeyKind::Log, 7);
    assert_eq!(ours.key().to_string(), text("Vkey"));
    assert_eq!(&VerifierKey::parse(text("Vkey")).unwrap(), ours.key());
    let (checkpoint, seen) = Checkpoint::open(text("Note"), std::slice::from_ref(ours.key()), &[]).unwrap();
    assert_eq!((checkpoint.size, seen.len()), (70_000, 0));
    // Ed25519 is deterministic: what Go signed is what we sign, byte for byte.
    assert_eq!(checkpoint.sign(&ours).unwrap().to_string(), text("Note"));
}

#[test]
fn a_private_key_is_read_and_never_shown() {
    let seed = STANDARD.encode([&[1_u8][..], &[7; 32]].concat());
    let text = format!("PRIVATE+KEY+example.com/audit+f80c4422+{seed}");
    let key = SignerKey::parse(&text).unwrap();
    assert_eq!(key.key(), signer("example.com/audit", KeyKind::Log, 7).key());
    assert!(!format!("{key:?}").contains(&seed) && !format!("{key:?}").contains("7, 7, 7"));
    assert!(SignerKey::parse(&text.replace("f80c4422", "f80c4423")).is_err());
    assert!(SignerKey::parse(&text.replace("PRIVATE+", "")).is_err());
}

#[test]
fn the_specifications_example_of_a_cosignature_is_read() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(text).unwrap();
    assert_eq!(note.to_string(), text);
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size, 20_852_163);
    let witness = &note.signatures[1];
    assert_eq!((witness.id, witness.bytes.len()), (0x8d66_cf3f, 72));
    assert_eq!(u64::from_be_bytes(*witness.bytes.first_chunk().unwrap()), 1_679_315_147);
    assert_eq!(witnessed(1_679_315_147, "x\n"), "cosignature/v1\ntime 1679315147\nx\n");
}

#[test]
fn witnesses_are_added_and_verified() {
    let (log, one) = (signer("example.com/audit", KeyKind::Log, 1), signer("w.example/1", KeyKind::Witness, 2));
    let (two, stranger) = (signer("w.example/2", KeyKind::Witness, 3), signer("w.example/3", KeyKind::Witness, 4));
    let known = [one.key().clone(), two.key().clone()];
    let note = checkpoint(5).sign(&log).unwrap();
    let lines = [note.cosign(&one, 10).unwrap(), note.cosign(&stranger, 11).unwrap()].concat();
    let note = note.with_cosignatures(&lines, &known).unwrap();
    let (_, seen) = Checkpoint::open(&note.to_string(), std::slice::from_ref(log.key()), &known).unwrap();
    assert_eq!(seen, [Verified { name: "w.example/1".into(), kind: KeyKind::Witness, time: Some(10) }]);
    assert!(!note.to_string().contains("w.example/3"), "an unknown witness is left out");
    // A newer line of the same witness takes the place of the old one; a second witness stands beside it.
    let lines = [note.cosign(&one, 20).unwrap(), note.cosign(&two, 21).unwrap()].concat();
    let note = note.with_cosignatures(&lines, &known).unwrap();
    let (_, seen) = Checkpoint::open(&note.to_string(), std::slice::from_ref(log.key()), &known).unwrap();
    assert_eq!(seen.iter().map(|s| s.time).collect::<Vec<_>>(), [Some(20), Some(21)]);
    // A line of another checkpoint is a wrong signature of a known key.
    let other = checkpoint(6).sign(&log).unwrap().cosign(&one, 10).unwrap();
    let wrong = NoteError::Signature { name: "w.example/1".into() };
    assert_eq!(note.with_cosignatures(&other, &known).unwrap_err(), wrong);
    // The time is part of what is signed.
    let text = note.to_string().replace(&note.cosign(&one, 20).unwrap(), "");
    let mut forged = note.signatures.iter().find(|s| s.name == "w.example/1").unwrap().clone();
    forged.bytes[7] ^= 1;
    assert_eq!(
        Checkpoint::open(&format!("{text}{}", line(&forged)), std::slice::from_ref(log.key()), &known).unwrap_err(),
        wrong
    );
    assert!(note.cosign(&log, 1).is_err(), "a log's key is no witness's");
}

#[test]
fn what_was_changed_or_is_another_keys_is_refused() {
    let log = signer("example.com/audit", KeyKind::Log, 1);
    let text = checkpoint(5).sign(&log).unwrap().to_string();
    let open = |text: &str, key: &VerifierKey| Checkpoint::open(text, std::slice::from_ref(key), &[]);
    assert_eq!(open(&text, log.key()).unwrap().0, checkpoint(5));
    let changed = open(&text.replacen("\n5\n", "\n6\n", 1), log.key()).unwrap_err();
    assert_eq!(changed, NoteError::Signature { name: "example.com/audit".into() });
    let other = signer("example.com/audit", KeyKind::Log, 9);
    let unknown = open(&text, other.key()).unwrap_err().to_string();
    assert!(unknown.contains(&format!("{:08x}", other.key().id())), "{unknown}");
    assert!(unknown.contains(&format!("{:08x}", log.key().id())), "{unknown}");
    let named = signer("example.com/other", KeyKind::Log, 1);
    assert!(checkpoint(5).sign(&named).is_err(), "the origin is the key's name");
    let foreign = Note::sign(&checkpoint(5).to_string(), &named).unwrap().to_string();
    assert!(open(&foreign, named.key()).unwrap_err().to_string().contains("origin"));
}

#[test]
fn other_forms_are_refused() {
    let log = signer("example.com/audit", KeyKind::Log, 1);
    let text = checkpoint(5).sign(&log).unwrap().to_string();
    let wrong = [
        String::new(),
        "\n\n".into(),
        text.trim_end().into(),
        text.replace("\n\n", "\n"),
        text.replace('\u{2014}', "-"),
        text.replace("example.com/audit ", "example.com/audit  "),
        text.replace('=', ""),
        text.replace("\n5\n", "\n5\t\n"),
        text.replace("\n\u{2014}", "\n\n\u{2014} x "),
        format!("{text}\n"),
        format!("{text}{}", "\u{2014} w AAAAAAE=\n".repeat(SIGNATURES_MAX)),
        format!("{}{text}", "x\n".repeat(NOTE_BYTES_MAX)),
    ];
    for text in wrong {
        assert!(Note::parse(&text).is_err(), "{}", text.chars().take(200).collect::<String>());
    }
    let root = hash_text(&[3; 32]);
    for text in [
        "",
        "a\n1\n",
        &format!("a\n01\n{root}\n"),
        &format!("a\n+1\n{root}\n"),
        &format!("\n1\n{root}\n"),
        &format!("a\n1\n{root}\n\nx\n"),
        &format!("a\n1\n{root}=\n"),
        "a\n1\nAAAA\n",
        &format!("a\n1\n{root}"),
        &format!("a\n1\n{root}\n{}", "x\n".repeat(20)),
    ] {
        assert!(Checkpoint::parse(text).is_err(), "{text}");
    }
    for key in [
        "",
        "a",
        "a+b",
        "a+b+c",
        "a b+00000000+AQ==",
        "example.com/audit+f80c4422+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtI=",
    ] {
        assert!(VerifierKey::parse(key).is_err(), "{key}");
    }
}
