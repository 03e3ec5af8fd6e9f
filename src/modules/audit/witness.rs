//! Witnesses: others who sign that they saw a checkpoint, and that it continues the one they saw before (C2SP
//! tlog-witness, tlog-cosignature). Without one, who holds the log's key can show two histories to two people.
//!
//! This file makes what is sent to a witness and takes what it answers. Who sends it is for the server.

use super::grow::TRIES_MAX;
use super::note::{Checkpoint, KeyKind, Note, NoteError, VerifierKey, hash_text};
use super::records::Signed;
use super::tree::consistency;
use super::{AuditError, Log};
use std::fmt::Write as _;

/// What a witness is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessRequest {
    /// The size of the checkpoint that it is about.
    pub size: u64,
    /// The body of a `POST <prefix>/add-checkpoint`.
    pub body: String,
}

impl Log {
    /// What a witness is to be sent so that it signs the newest checkpoint: with the proof from the newest one that it has
    /// signed, as far as we know, or from `old`, which a witness names when it knows better (its answer 409).
    /// `None` when it has signed the newest.
    ///
    /// # Errors
    /// There is no checkpoint, or `old` is larger than it.
    pub fn witness_request(
        &self,
        witness: &VerifierKey,
        old: Option<u64>,
    ) -> Result<Option<WitnessRequest>, AuditError> {
        let signed = self.checkpoint()?.ok_or(AuditError::NoCheckpoint)?;
        let known = self.records.witness(&id_of(witness)?)?.0;
        let old = old.unwrap_or(known);
        if old > signed.size {
            let what = format!("the witness has seen {old} events, and the newest checkpoint has {}", signed.size);
            return Err(AuditError::Refused(format!("{what}; was the database set back to a backup?")));
        }
        if known == signed.size && known > 0 {
            return Ok(None);
        }
        let mut body = format!("old {old}\n");
        for hash in consistency(&self.records, old, signed.size)? {
            let _ = writeln!(body, "{}", hash_text(&hash)); // a String takes all
        }
        body.push('\n');
        body.push_str(&signed.note);
        Ok(Some(WitnessRequest { size: signed.size, body }))
    }

    /// Adds the signature lines that witnesses gave for the checkpoint of a size. Lines of unknown keys are left out.
    ///
    /// # Errors
    /// There is no such checkpoint, no line is of a known witness, one of theirs is wrong, or a witness has signed a larger
    /// checkpoint before: what it says now would set the log back.
    pub fn add_cosignatures(&self, size: u64, lines: &str, witnesses: &[VerifierKey]) -> Result<Signed, AuditError> {
        for _ in 0..TRIES_MAX {
            let before = self.records.checkpoint(size)?.filter(|signed| signed.size == size);
            let before = before.ok_or(AuditError::NoCheckpoint)?;
            let note = Note::parse(&before.note)?;
            // A note with these lines alone: so it is seen whose they are, and that each is right.
            let alone = Note::parse(&format!("{}\n{lines}", note.text()))?;
            alone.verify(witnesses)?;
            let (mut expected, mut changes) = (Vec::new(), Vec::new());
            for key in witnesses {
                if matches!(alone.verify(std::slice::from_ref(key)), Err(NoteError::Unknown { .. })) {
                    continue;
                }
                let id = id_of(key)?;
                let (seen, unchanged) = self.records.witness(&id)?;
                if seen > size {
                    let what = format!("the witness `{}` has signed a checkpoint of {seen} events", key.name());
                    return Err(AuditError::Refused(format!("{what}; one of {size} would go back")));
                }
                expected.push(unchanged);
                changes.push(self.records.put_witness(&id, size));
            }
            let note = note.with_cosignatures(lines, witnesses)?.to_string();
            let after = Signed { note, ..before.clone() };
            expected.push(self.records.expect_checkpoint(size, Some(&before)));
            changes.push(self.records.put_checkpoint(&after));
            if self.records.write_if(expected, changes)? {
                return Ok(after);
            }
        }
        Err(AuditError::Contended)
    }

    /// Takes a checkpoint that a witness signed, as a whole note: its text must be that of a checkpoint of this log.
    ///
    /// # Errors
    /// It is of another log or another tree, or as [`Log::add_cosignatures`].
    pub fn add_cosigned(&self, text: &str, witnesses: &[VerifierKey]) -> Result<Signed, AuditError> {
        let note = Note::parse(text)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let ours = self.records.checkpoint(checkpoint.size)?.filter(|signed| signed.size == checkpoint.size);
        let ours = ours.ok_or(AuditError::NoCheckpoint)?;
        if Note::parse(&ours.note)?.text() != note.text() {
            let what = format!("the checkpoint of {} events is not the one that this log signed", checkpoint.size);
            return Err(AuditError::Refused(format!("{what}; keep both, they prove that there are two histories")));
        }
        let (_, lines) = text.rsplit_once("\n\n").unwrap_or_default(); // a note that was read has it
        self.add_cosignatures(checkpoint.size, lines, witnesses)
    }
}

/// `NAME+ID` of a witness's key.
fn id_of(key: &VerifierKey) -> Result<String, AuditError> {
    if key.kind() != KeyKind::Witness {
        return Err(AuditError::Refused(format!("the key `{}` is a log's, and no witness's", key.name())));
    }
    Ok(format!("{}+{:08x}", key.name(), key.id()))
}
