//! Where a key ring comes from: a file that its owner alone may read, or a command that prints it.

use super::Failure;
use crate::config::{PASSPHRASE_VARIABLE, variable};
use bailiwick::secrets::{KEY_RING_BYTES_MAX, KeyRing};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a command may take to print a key ring.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// The key ring that the settings name, if they do.
pub(super) fn ring(file: Option<&Path>, command: &str) -> Result<Option<KeyRing>, Failure> {
    match (file, command) {
        (None, "") => Ok(None),
        (Some(file), "") => of_file(file).map(Some),
        (None, command) => of_command(command, COMMAND_TIMEOUT).map(Some),
        (Some(_), _) => Err(Failure::Said(
            "`identity-key-ring` and `identity-key-ring-command` are both set; set one of them".into(),
        )),
    }
}

/// The key ring in a file, which only its owner may read.
pub(super) fn of_file(path: &Path) -> Result<KeyRing, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let unreadable = |reason: std::io::Error| {
        if reason.kind() != std::io::ErrorKind::NotFound {
            return Failure::File { path: path.to_owned(), reason };
        }
        Failure::Said(format!(
            "there is no key ring at `{}`; say where it is (--identity-key-ring FILE, or `identity-key-ring` of the settings): \
             without the one that sealed them, secrets are lost. `bailiwick init` makes the first",
            path.display()
        ))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::Said(format!("others can read the key ring `{path}`; run `chmod 600 {path}`")));
    }
    parse(&text(file).map_err(unreadable)?, &path.display().to_string())
}

/// What is printed, but for what is more than any key ring has.
fn text(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    let most = u64::try_from(KEY_RING_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str, from: &str) -> Result<KeyRing, Failure> {
    let phrase = variable(PASSPHRASE_VARIABLE);
    let phrases: Vec<&[u8]> = phrase.iter().map(String::as_bytes).collect();
    KeyRing::parse(text, &phrases).map_err(|error| Failure::Said(format!("{from}: {error}")))
}

/// The key ring that a command prints, as a manager of secrets does. Its errors go where ours do.
fn of_command(command: &str, timeout: Duration) -> Result<KeyRing, Failure> {
    const WHAT: &str = "`identity-key-ring-command`";
    let failed = |why: String| Failure::Said(format!("{WHAT} gave no key ring: {why}"));
    let mut process = Command::new("sh");
    let process = process.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = process.spawn().map_err(|error| failed(error.to_string()))?;
    let printed = child.stdout.take().ok_or_else(|| failed("it prints nothing".to_owned()))?;
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || sender.send(text(printed)));
    let Ok(read) = read.recv_timeout(timeout) else {
        end(&mut child);
        return Err(failed(format!("it took more than {} s", timeout.as_secs_f64())));
    };
    let text = read.map_err(|error| failed(error.to_string()))?;
    if text.len() > KEY_RING_BYTES_MAX {
        end(&mut child); // it may go on printing
        return parse(&text, WHAT);
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    parse(&text, WHAT)
}

fn end(child: &mut Child) {
    drop(child.kill()); // it may have ended by itself
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_prints_the_ring_or_says_why_not() {
        let line = KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let ring = KeyRing::head() + &line;
        let run = |command: &str, timeout| of_command(command, timeout).map(drop).map_err(|error| error.to_string());
        let minute = Duration::from_secs(60);
        run(&format!("cat <<'E'\n{ring}\nE"), minute).unwrap();
        for (command, timeout, says) in [
            ("exit 3", minute, "exit status: 3"),
            ("echo nothing", minute, "identity-key-ring-command"),
            ("true", minute, "identity-key-ring-command"),
            ("yes", minute, "longer than"),
            ("sleep 60", Duration::from_millis(10), "it took more than"),
            ("no-such-program-anywhere 2>/dev/null", minute, "exit status: 127"),
        ] {
            let error = run(command, timeout).unwrap_err();
            assert!(error.contains(says), "{command}: {error}");
        }
        let both = ring_of_both().unwrap_err().to_string();
        assert!(both.contains("set one of them"), "{both}");
    }

    fn ring_of_both() -> Result<Option<KeyRing>, Failure> {
        ring(Some(Path::new("keys")), "true")
    }
}
