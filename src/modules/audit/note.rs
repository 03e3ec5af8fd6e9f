//! Signed notes (C2SP signed-note), checkpoints (tlog-checkpoint) and cosignatures of witnesses (tlog-cosignature), all
//! with Ed25519 (RFC 8032).
//!
//! A note is text that somebody brings: it is read within bounds, and nothing of it is believed before a known key's
//! signature was verified.

use super::tree::{HASH_BYTES, Hash};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Longest note that is read.
pub const NOTE_BYTES_MAX: usize = 1 << 17;
/// Most signatures of a note.
pub const SIGNATURES_MAX: usize = 32;
/// Longest name of a key, and so of a log.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// Longest line of a note's text.
const LINE_BYTES_MAX: usize = 1 << 10;
/// Most lines of a checkpoint: three, and what a log adds to them.
const CHECKPOINT_LINES_MAX: usize = 16;
const PUBLIC_KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// What signature lines begin with: an em dash and a space.
const DASH: &str = "\u{2014} ";
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a note, a key or a checkpoint is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long, too many lines or too many signatures.
    #[error("the note is over a bound: {what} may be {max} at most")]
    Large {
        /// What is too large.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// Not of the form.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// A checkpoint whose text is not of the form.
    #[error("this is no checkpoint: {0}")]
    Checkpoint(&'static str),
    /// A key whose text is not of the form.
    #[error("this is no key: {0}; it reads `NAME+ID+KEY`")]
    Key(&'static str),
    /// No signature is of a key that is known.
    #[error("no signature is of the key `{wanted}`; it is signed by {by}")]
    Unknown {
        /// The keys that were asked for.
        wanted: String,
        /// Who signed.
        by: String,
    },
    /// A signature names a known key, but is not its.
    #[error("the signature of `{name}` does not fit the text: it was changed, or signed with another key")]
    Signature {
        /// The key's name.
        name: String,
    },
}

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A log's: the text of the note.
    Log,
    /// A witness's: the text, and when it was seen.
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::Log => 1,
            KeyKind::Witness => 4,
        }
    }

    fn of(byte: u8) -> Option<KeyKind> {
        match byte {
            1 => Some(KeyKind::Log),
            4 => Some(KeyKind::Witness),
            _ => None,
        }
    }
}

/// The public half of a key, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl VerifierKey {
    /// A key.
    ///
    /// # Errors
    /// The name has a space or a plus, or no bytes, or too many.
    pub fn new(name: &str, kind: KeyKind, public: [u8; PUBLIC_KEY_BYTES]) -> Result<VerifierKey, NoteError> {
        if !good_name(name) {
            return Err(NoteError::Key("a name has 1 to 255 bytes, and no space, plus or control character"));
        }
        Ok(VerifierKey { name: name.to_owned(), kind, public })
    }

    /// Reads `NAME+ID+KEY`, as Go's note package and others print it.
    ///
    /// # Errors
    /// Another form, another algorithm, or an id that is not the key's.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        let mut parts = text.trim().splitn(3, '+'); // base64 may have a plus of its own
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has not three parts"));
        };
        let (kind, public) = key_bytes(key)?;
        let key = VerifierKey::new(name, kind, public)?;
        if id != format!("{:08x}", key.id()) {
            return Err(NoteError::Key("its id does not fit its name and its bytes"));
        }
        Ok(key)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The id that stands in signatures; short, and no proof of anything.
    #[must_use]
    pub fn id(&self) -> u32 {
        let bytes = [self.name.as_bytes(), b"\n", &[self.kind.byte()], &self.public].concat();
        digest(&SHA256, &bytes).as_ref().first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
    }

    /// Verifies a signature over the text of a note; answers when a witness saw it, in seconds since 1970.
    fn verify(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        let public = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.kind {
            KeyKind::Log => public.verify(text.as_bytes(), signature).ok().map(|()| None),
            KeyKind::Witness => {
                let (time, signature) = signature.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                public.verify(witnessed(time, text).as_bytes(), signature).ok().map(|()| Some(time))
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()][..], &self.public].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(bytes))
    }
}

/// What signs notes: a key of this process, or one that lies elsewhere.
pub trait Signer {
    /// The public half.
    fn key(&self) -> &VerifierKey;

    /// Signs a message; `None` when the key cannot be reached now.
    fn sign(&self, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]>;
}

/// A key of this process.
pub struct SignerKey {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey").field("key", &self.key).finish_non_exhaustive()
    }
}

impl SignerKey {
    /// The key of a seed: 32 bytes of good randomness.
    ///
    /// # Errors
    /// The name is not one of a key.
    pub fn from_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<SignerKey, NoteError> {
        let wrong = |_| NoteError::Key("its seed gives no key");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(wrong)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key("its seed gives no key"))?;
        Ok(SignerKey { key: VerifierKey::new(name, kind, public)?, pair })
    }

    /// Reads `PRIVATE+KEY+NAME+ID+SEED`, as Go's note package and others print it.
    ///
    /// # Errors
    /// Another form, another algorithm, or an id that is not the key's.
    pub fn parse(text: &str) -> Result<SignerKey, NoteError> {
        let rest = text.trim().strip_prefix(PRIVATE).ok_or(NoteError::Key("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(seed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has not five parts"));
        };
        let (kind, seed) = key_bytes(seed)?;
        let key = SignerKey::from_seed(name, kind, &seed)?;
        if id != format!("{:08x}", key.key.id()) {
            return Err(NoteError::Key("its id does not fit its name and its bytes"));
        }
        Ok(key)
    }
}

impl Signer for SignerKey {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        self.pair.sign(message).as_ref().try_into().ok()
    }
}

fn key_bytes(text: &str) -> Result<(KeyKind, [u8; PUBLIC_KEY_BYTES]), NoteError> {
    let bytes = STANDARD.decode(text).map_err(|_| NoteError::Key("its last part is not base64"))?;
    let (kind, key) = bytes.split_first().ok_or(NoteError::Key("its last part is empty"))?;
    let kind = KeyKind::of(*kind).ok_or(NoteError::Key("its algorithm is none of Ed25519 (1) and cosignatures (4)"))?;
    Ok((kind, key.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?))
}

/// Whether keys and logs may be named so.
fn good_name(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= KEY_NAME_BYTES_MAX && !name.contains(bad)
}

/// The message of a cosignature.
fn witnessed(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A signature of a note, verified or not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// A text with signatures. What is in it is not to be believed before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub name: String,
    /// What the key is for.
    pub kind: KeyKind,
    /// When a witness saw the note, in seconds since 1970.
    pub time: Option<u64>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// Another form, or over a bound.
    pub fn parse(text: &str) -> Result<Note, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Large { what: "its bytes", max: NOTE_BYTES_MAX });
        }
        if text.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Form("it has a control character"));
        }
        let (text, lines) =
            text.rsplit_once("\n\n").ok_or(NoteError::Form("no empty line is before its signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("its last line does not end"))?;
        let signatures = read_signatures(lines)?;
        Ok(Note { text: format!("{text}\n"), signatures })
    }

    /// A note of a text, signed once.
    ///
    /// # Errors
    /// The key cannot be reached, or the text is not one of a note.
    pub fn sign(text: &str, signer: &dyn Signer) -> Result<Note, NoteError> {
        let key = signer.key();
        let bytes = signer.sign(text.as_bytes()).ok_or(NoteError::Form("the key cannot be reached"))?;
        let signature = Signature { name: key.name.clone(), id: key.id(), bytes: bytes.to_vec() };
        let note = Note { text: text.to_owned(), signatures: vec![signature] };
        // What is signed reads as itself, and what was signed verifies: asserted before it leaves.
        let again = Note::parse(&note.to_string())?;
        again.verify(std::slice::from_ref(key))?;
        if again == note { Ok(note) } else { Err(NoteError::Form("its text does not end with a line")) }
    }

    /// The line that a witness gives for a note it saw at a time in seconds since 1970.
    ///
    /// # Errors
    /// The key is not a witness's, or cannot be reached.
    pub fn cosign(&self, signer: &dyn Signer, time: u64) -> Result<String, NoteError> {
        let key = signer.key();
        if key.kind != KeyKind::Witness {
            return Err(NoteError::Key("it is no witness's"));
        }
        let message = witnessed(time, &self.text);
        let made = signer.sign(message.as_bytes()).ok_or(NoteError::Form("the key cannot be reached"))?;
        let bytes = [&time.to_be_bytes()[..], &made].concat();
        Ok(line(&Signature { name: key.name.clone(), id: key.id(), bytes }))
    }

    /// The same note with the signature lines of witnesses that are known and right; those of unknown keys are left out, as
    /// are those that it has.
    ///
    /// # Errors
    /// The lines are none, or one of a known key is wrong.
    pub fn with_cosignatures(&self, lines: &str, witnesses: &[VerifierKey]) -> Result<Note, NoteError> {
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("its last line does not end"))?;
        let mut note = self.clone();
        for signature in read_signatures(lines)? {
            let Some(key) = witnesses.iter().find(|key| key.signed(&signature)) else { continue };
            let wrong = || NoteError::Signature { name: key.name.clone() };
            key.verify(&self.text, &signature.bytes).ok_or_else(wrong)?;
            if !note.signatures.contains(&signature) {
                note.signatures.retain(|s| !key.signed(s)); // the newest of a witness is enough
                note.signatures.push(signature);
            }
        }
        if note.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Large { what: "its signatures", max: SIGNATURES_MAX });
        }
        Ok(note)
    }

    /// The text, with the newline at its end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures of known keys. Those of others are passed over.
    ///
    /// # Errors
    /// There is none of a known key, or one of them is wrong.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<Verified>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.signed(signature)) else { continue };
            let wrong = || NoteError::Signature { name: key.name.clone() };
            let time = key.verify(&self.text, &signature.bytes).ok_or_else(wrong)?;
            let one = Verified { name: key.name.clone(), kind: key.kind, time };
            if !verified.contains(&one) {
                verified.push(one);
            }
        }
        if verified.is_empty() {
            let wanted: Vec<String> = keys.iter().map(|k| format!("{}+{:08x}", k.name, k.id())).collect();
            let by: Vec<String> = self.signatures.iter().map(|s| format!("`{}+{:08x}`", s.name, s.id)).collect();
            return Err(NoteError::Unknown { wanted: wanted.join(", "), by: by.join(", ") });
        }
        Ok(verified)
    }
}

impl VerifierKey {
    /// Whether a signature says that it is this key's.
    fn signed(&self, signature: &Signature) -> bool {
        self.name == signature.name && self.id() == signature.id
    }
}

fn read_signatures(lines: &str) -> Result<Vec<Signature>, NoteError> {
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == SIGNATURES_MAX {
            return Err(NoteError::Large { what: "its signatures", max: SIGNATURES_MAX });
        }
        let rest = line.strip_prefix(DASH).ok_or(NoteError::Form("a signature does not begin with a dash"))?;
        let (name, bytes) = rest.split_once(' ').ok_or(NoteError::Form("a signature has no name"))?;
        if !good_name(name) {
            return Err(NoteError::Form("a signature's name is none of a key"));
        }
        let bytes = STANDARD.decode(bytes).map_err(|_| NoteError::Form("a signature is not base64"))?;
        let Some((id, bytes)) = bytes.split_first_chunk() else {
            return Err(NoteError::Form("a signature is too short"));
        };
        if bytes.is_empty() {
            return Err(NoteError::Form("a signature is too short"));
        }
        signatures.push(Signature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() });
    }
    Ok(signatures)
}

fn line(signature: &Signature) -> String {
    let bytes = [&signature.id.to_be_bytes()[..], &signature.bytes].concat();
    format!("{DASH}{} {}\n", signature.name, STANDARD.encode(bytes))
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.text, self.signatures.iter().map(line).collect::<String>())
    }
}

/// What a log says of itself: how many leaves it has, and their root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Lines that the log adds. We add none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// Another form, or over a bound.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Checkpoint("its last line does not end"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Checkpoint("it has not three lines"));
        };
        let extensions: Vec<String> = lines.take(CHECKPOINT_LINES_MAX).map(str::to_owned).collect();
        if extensions.len() > CHECKPOINT_LINES_MAX - 3 {
            return Err(NoteError::Large { what: "its lines", max: CHECKPOINT_LINES_MAX });
        }
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(NoteError::Checkpoint("it has an empty line"));
        }
        if origin.len() > KEY_NAME_BYTES_MAX || extensions.iter().any(|line| line.len() > LINE_BYTES_MAX) {
            return Err(NoteError::Large { what: "the bytes of a line", max: LINE_BYTES_MAX });
        }
        let size = number(size).ok_or(NoteError::Checkpoint("its second line is not a size"))?;
        let root = hash(root).ok_or(NoteError::Checkpoint("its third line is not a root"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions })
    }

    /// Reads a signed checkpoint and verifies it: one of the log's own keys (there are several when one was rotated) must
    /// have signed it, under the log's name. Answers the witnesses that did too.
    ///
    /// # Errors
    /// Another form, another key, another name, or a wrong signature of a known key.
    pub fn open(
        note: &str,
        logs: &[VerifierKey],
        witnesses: &[VerifierKey],
    ) -> Result<(Checkpoint, Vec<Verified>), NoteError> {
        let note = Note::parse(note)?;
        let signed = note.verify(logs)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if !signed.iter().any(|s| s.kind == KeyKind::Log && s.name == checkpoint.origin) {
            return Err(NoteError::Checkpoint("its origin is not the name of the key that signed it"));
        }
        let seen = if witnesses.is_empty() { Vec::new() } else { note.verify(witnesses).or_else(none)? };
        Ok((checkpoint, seen.into_iter().filter(|s| s.kind == KeyKind::Witness).collect()))
    }

    /// Signs it.
    ///
    /// # Errors
    /// The key's name is not the origin, or the key cannot be reached.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Note, NoteError> {
        if signer.key().name != self.origin {
            return Err(NoteError::Checkpoint("its origin is not the name of the key that is to sign it"));
        }
        let text = self.to_string();
        if Checkpoint::parse(&text).as_ref() != Ok(self) {
            return Err(NoteError::Checkpoint("a line of it is not one"));
        }
        Note::sign(&text, signer)
    }
}

/// No witness signed: that is for the caller to judge.
fn none(error: NoteError) -> Result<Vec<Verified>, NoteError> {
    if matches!(error, NoteError::Unknown { .. }) { Ok(Vec::new()) } else { Err(error) }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, hash_text(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A decimal number without leading zeroes.
pub(super) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A hash in base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    let mut bytes = [0; HASH_BYTES];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    (length == HASH_BYTES && text.len() == 44).then_some(bytes)
}

/// A hash as base64.
pub(super) fn hash_text(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
