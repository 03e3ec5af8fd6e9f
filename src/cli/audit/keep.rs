//! `bailiwick audit checkpoint`, `settings`, `hold`, `release`, `drop` and `key`: what changes the log or says what it is.

use super::super::Failure;
use super::super::ring::ring;
use super::super::show::{Look, count, note, rows, say};
use super::super::store::sure;
use super::check::read_keys;
use super::{Asks, Of, Which, moment};
use crate::config;
use bailiwick::modules::audit::care::{Care, Witness};
use bailiwick::modules::audit::keys::Fresh;
use bailiwick::modules::audit::note::KeyKind;
use bailiwick::modules::audit::retention::{Dropped, Hold as Held};
use bailiwick::modules::audit::{Log, Signed, time_text};
use bailiwick::secrets::{KEY_RING_BYTES_MAX, KeyRing, NONCE_BYTES};
use bailiwick::tuple::Timestamp;
use bailiwick::wire::{now, random};
use clap::Args;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const DAY_SECONDS: u64 = 86_400;

/// Where the keys that seal are.
#[derive(Args, Clone)]
struct Ring {
    /// The key ring's file; only its owner may read it [env: BAILIWICK_KEY_RING]
    #[arg(long, value_name = "FILE")]
    key_ring: Option<PathBuf>,
    /// A file with the passphrase of the ring, if one of its keys has one
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
pub(in super::super) struct Checkpoint {
    /// Sign the log as it is
    #[arg(long)]
    sign: bool,
    /// Take the cosignatures of a checkpoint, as a file, that witnesses signed
    #[arg(long, value_name = "FILE", requires = "witnesses")]
    cosigned: Option<PathBuf>,
    /// A public key of a witness, or a file of them; others' signatures are left out
    #[arg(long = "witness", value_name = "KEY|FILE")]
    witnesses: Vec<String>,
    #[command(flatten)]
    ring: Ring,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(in super::super) struct Hold {
    /// A name of your own for the hold; without one the holds are listed
    id: Option<String>,
    /// Why, as a reference to a case
    #[arg(long, requires = "id")]
    reason: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(in super::super) struct Release {
    /// The hold's name
    id: String,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(in super::super) struct Drop {
    /// Drop what happened before this moment: RFC 3339, or a day
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Timestamp,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(in super::super) struct Settings {
    /// How long events are kept: so many days, as in 400d, or `always`
    #[arg(long, value_name = "TIME", value_parser = kept)]
    keep: Option<Kept>,
    /// A public key of a witness, or a file of them, which is asked at --at from now on
    #[arg(long, value_name = "KEY|FILE", requires = "at")]
    add_witness: Option<String>,
    /// Where that witness is asked: its submission prefix, as in https://witness.example/w
    #[arg(long = "at", value_name = "URL", requires = "add_witness")]
    at: Option<String>,
    /// The name of a witness that is not asked any more
    #[arg(long, value_name = "NAME")]
    remove_witness: Option<String>,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

/// How long events are kept, in seconds; always without.
#[derive(Clone, Copy)]
struct Kept(Option<u64>);

fn kept(text: &str) -> Result<Kept, String> {
    if text == "always" {
        return Ok(Kept(None));
    }
    let days: Option<u64> = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let seconds = days.and_then(|days| days.checked_mul(DAY_SECONDS));
    seconds.map(|seconds| Kept(Some(seconds))).ok_or_else(|| "write it as 400d, or `always`".into())
}

#[derive(Args)]
pub(in super::super) struct Key {
    /// Make the log's first key, under the log's name: a URL without its scheme, as in audit.example.com
    #[arg(long, value_name = "NAME", conflicts_with = "rotate")]
    create: Option<String>,
    /// Make a new key that signs from now on; the old ones still verify
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    ring: Ring,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

/// A file that holds a secret: nobody but its owner may read it.
fn secret(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |reason| Failure::File { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            return Err(Failure::Said(format!("{path}: others may read or write it; say `chmod 600 {path}`")));
        }
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl Ring {
    fn open(&self) -> Result<KeyRing, Failure> {
        let wanted = || Failure::Said("say where the key ring is with --key-ring FILE".to_owned());
        let mut named = self.key_ring.clone().or_else(|| config::variable("BAILIWICK_KEY_RING").map(PathBuf::from));
        if named.is_none() {
            let config = config::of_file()?;
            if self.passphrase_file.is_none() {
                let file = config.identity_key_ring.0.as_deref();
                return ring(file, &config.identity_key_ring_command.0)?.ok_or_else(wanted);
            }
            named = config.identity_key_ring.0;
        }
        let path = named.ok_or_else(wanted)?;
        let text = String::from_utf8(secret(&path, KEY_RING_BYTES_MAX)?);
        let text = text.map_err(|_| Failure::Said(format!("{}: this is no text", path.display())))?;
        let passphrase = self.passphrase_file.as_deref().map(|path| secret(path, 1 << 10)).transpose()?;
        let passphrases: Vec<&[u8]> = passphrase.iter().map(|bytes| bytes.trim_ascii_end()).collect();
        KeyRing::parse(&text, &passphrases).map_err(|error| Failure::Said(format!("{}: {error}", path.display())))
    }
}

impl Checkpoint {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let signed = if let Some(path) = &self.cosigned {
            let reason = |reason| Failure::File { path: path.clone(), reason };
            let note = std::fs::read_to_string(path).map_err(reason)?;
            log.add_cosigned(&note, &read_keys(&self.witnesses, KeyKind::Witness)?)?
        } else if self.sign {
            log.sign(&log.signer(&self.ring.open()?)?, now())?
        } else {
            log.checkpoint()?.ok_or(bailiwick::modules::audit::AuditError::NoCheckpoint)?
        };
        let Signed { size, at, note } = signed;
        if self.look.json {
            say(json!({"size": size, "signed_at": time_text(at), "checkpoint": note}));
        } else {
            say(note.trim_end_matches('\n'));
        }
        Ok(())
    }
}

fn hold_json(hold: &Held) -> Value {
    json!({
        "id": hold.id, "reason": hold.reason, "since": time_text(Timestamp(hold.since)), "by": hold.by,
        "filter": hold.filter,
    })
}

impl Hold {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let Some(id) = &self.id else { return self.list(&log) };
        let wanted = || Failure::Said("a hold has a reason: say --reason 'case 7'".to_owned());
        let reason = self.reason.as_deref().ok_or_else(wanted)?;
        let hold = log.hold(id, reason, self.which.filter(), &self.asks.by(), now())?;
        if self.look.json {
            say(hold_json(&hold));
        } else if hold.filter.is_all() {
            say(format!("held {id}: all events of the log"));
        } else {
            say(format!("held {id}"));
        }
        Ok(())
    }

    fn list(&self, log: &Log) -> Result<(), Failure> {
        let holds = log.holds()?;
        if self.look.json {
            say(json!({"holds": holds.iter().map(hold_json).collect::<Vec<_>>()}));
            return Ok(());
        }
        let line = |hold: &Held| {
            let filter = serde_json::to_string(&hold.filter).unwrap_or_default();
            let by = hold.by.clone().unwrap_or_default();
            vec![hold.id.clone(), time_text(Timestamp(hold.since)), by, hold.reason.clone(), filter]
        };
        rows(&["hold", "since", "by", "reason", "events"], &holds.iter().map(line).collect::<Vec<_>>());
        Ok(())
    }
}

impl Release {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let hold = self.of.log()?.release(&self.id, &self.asks.by(), now())?;
        if self.look.json {
            say(json!({"released": hold.id}));
        } else {
            say(format!("released {}", hold.id));
        }
        Ok(())
    }
}

impl Drop {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let log = self.of.log()?;
        let what = format!("the events of tenant {} before {}", log.tenant(), time_text(self.before));
        if !self.yes && !sure(&what, "")? {
            return Ok(ExitCode::from(1));
        }
        let by = self.asks.by();
        let mut done = log.drop_before(self.before, &by, now())?;
        while done.more {
            done = log.drop_before(self.before, &by, now())?;
        }
        let Dropped { dropped, held, .. } = done;
        while log.grow()?.more {}
        if self.look.json {
            say(json!({"dropped": dropped, "held": held}));
        } else {
            say(format!("dropped {}; {} under hold stay", count(dropped, "event"), count(held, "event")));
        }
        note("sign a checkpoint now, so that an export can show what was dropped: `bailiwick audit checkpoint --sign`");
        Ok(ExitCode::SUCCESS)
    }
}

impl Settings {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let mut added = Vec::new();
        if let (Some(key), Some(url)) = (&self.add_witness, &self.at) {
            let keys = read_keys(std::slice::from_ref(key), KeyKind::Witness)?;
            added.extend(keys.iter().map(|key| Witness { url: url.clone(), key: key.to_string() }));
        }
        let named = |witness: &Witness, name: &str| witness.verifier().is_ok_and(|key| key.name() == name);
        if let Some(name) = &self.remove_witness
            && !log.care()?.witnesses.iter().any(|witness| named(witness, name))
        {
            return Err(Failure::Said(format!("there is no witness `{name}`; `bailiwick audit settings` lists them")));
        }
        let change = |care: &mut Care| {
            if let Some(Kept(seconds)) = self.keep {
                care.kept_seconds = seconds;
            }
            if let Some(name) = &self.remove_witness {
                care.witnesses.retain(|witness| !named(witness, name));
            }
            care.witnesses.extend(added.iter().cloned());
        };
        let care = log.set_care(change, &self.asks.by(), now())?;
        if self.look.json {
            say(json!(care));
            return Ok(());
        }
        say(match care.kept_seconds {
            None => "events are kept always".to_owned(),
            Some(seconds) => format!("events are kept for {}", count(seconds / DAY_SECONDS, "day")),
        });
        let line = |witness: &Witness| vec![witness.url.clone(), witness.key.clone()];
        if !care.witnesses.is_empty() {
            rows(&["witness", "key"], &care.witnesses.iter().map(line).collect::<Vec<_>>());
        }
        Ok(())
    }
}

impl Key {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        if self.create.is_some() || self.rotate {
            if self.create.is_some() && !log.keys()?.is_empty() {
                return Err(Failure::Said("the log has a key; --rotate makes the next one".to_owned()));
            }
            let ring = self.ring.open()?;
            let (mut seed, mut nonce) = ([0; 32], [0; NONCE_BYTES]);
            random(&mut seed);
            random(&mut nonce);
            let fresh = Fresh { seed: &seed, nonce: &nonce };
            log.make_key(self.create.as_deref(), &ring, fresh, &self.asks.by(), now())?;
        }
        let keys: Vec<String> = log.keys()?.iter().map(ToString::to_string).collect();
        if self.look.json {
            say(json!({"keys": keys}));
        } else if keys.is_empty() {
            return Err(bailiwick::modules::audit::AuditError::NoKey.into());
        } else {
            keys.iter().for_each(say);
        }
        Ok(())
    }
}
