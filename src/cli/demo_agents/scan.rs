//! A plain search for secrets: each as it is, in hexadecimal and in base64, wherever in a word it begins. It knows nothing of how
//! the server keeps or removes them, which is its use.

use crate::cli::Failure;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use std::collections::HashMap;
use std::path::Path;

/// The largest file that is searched: a larger one is a failure, not one that is passed over.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// The shortest form that is looked for; shorter ones are found by chance.
const FORM_BYTES_MIN: usize = 10;

/// A secret that somebody used, and who may have seen it on the way: nobody else, and no disk, and no log.
#[derive(Clone)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) seen_by: &'static [&'static str],
}

/// What is looked for: forms of secrets, by their first two bytes.
pub(super) struct Scanner {
    forms: Vec<(usize, Vec<u8>)>,
    by_start: HashMap<[u8; 2], Vec<usize>>,
    starts: Vec<bool>,
}

fn start(bytes: &[u8]) -> Option<[u8; 2]> {
    bytes.first_chunk().copied()
}

fn place(start: [u8; 2]) -> usize {
    usize::from(u16::from_be_bytes(start))
}

/// The forms of a secret.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for alphabet in [&STANDARD, &URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        // Within a longer text a secret begins at any of three bytes of a group; the letters at its edges depend on others.
        for before in 0..3_usize {
            let text = engine.encode([&vec![0; before], secret].concat()).into_bytes();
            let first = (before * 8).div_ceil(6);
            let last = (before + secret.len()) * 8 / 6;
            forms.extend(text.get(first..last).map(<[u8]>::to_vec));
        }
    }
    forms.retain(|form| form.len() >= FORM_BYTES_MIN);
    forms.sort_unstable();
    forms.dedup();
    forms
}

impl Scanner {
    pub(super) fn new(secrets: &[Secret]) -> Scanner {
        let all = secrets
            .iter()
            .enumerate()
            .flat_map(|(at, secret)| forms(&secret.bytes).into_iter().map(move |form| (at, form)));
        let forms: Vec<(usize, Vec<u8>)> = all.collect();
        let mut scanner = Scanner { by_start: HashMap::new(), starts: vec![false; 1 << 16], forms };
        for (at, (_, form)) in scanner.forms.iter().enumerate() {
            let Some(start) = start(form) else { continue };
            scanner.by_start.entry(start).or_default().push(at);
            if let Some(there) = scanner.starts.get_mut(place(start)) {
                *there = true;
            }
        }
        scanner
    }

    /// Which secrets stand in these bytes, each once.
    pub(super) fn found(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for at in 0..bytes.len() {
            let Some(rest) = bytes.get(at..) else { break };
            let Some(start) = start(rest).filter(|start| self.starts.get(place(*start)) == Some(&true)) else {
                continue;
            };
            for form in self.by_start.get(&start).into_iter().flatten() {
                found.extend(
                    self.forms.get(*form).filter(|(_, form)| rest.starts_with(form)).map(|(secret, _)| *secret),
                );
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// All files below a directory, with their names.
pub(super) fn files(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let failed = |path: &Path, reason| Failure::File { path: path.to_owned(), reason };
    let mut found = Vec::new();
    let mut next = vec![directory.to_owned()];
    while let Some(at) = next.pop() {
        for entry in std::fs::read_dir(&at).map_err(|reason| failed(&at, reason))? {
            let path = entry.map_err(|reason| failed(&at, reason))?.path();
            if path.is_dir() {
                next.push(path);
                continue;
            }
            let size = std::fs::metadata(&path).map_err(|reason| failed(&path, reason))?.len();
            if size > FILE_BYTES_MAX {
                return Err(Failure::Said(format!("{} is too large to be searched", path.display())));
            }
            let bytes = std::fs::read(&path).map_err(|reason| failed(&path, reason))?;
            found.push((path.display().to_string(), bytes));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_all_its_forms() {
        let secret = Secret { name: "s".into(), bytes: b"hunter2 hunter2".to_vec(), seen_by: &[] };
        let scanner = Scanner::new(&[secret]);
        let standard = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        for text in [
            "so hunter2 hunter2.".to_owned(),
            "68756e746572322068756e74657232".to_owned(),
            "68756E746572322068756E74657232".to_owned(),
            standard("hunter2 hunter2"),
            standard("a:hunter2 hunter2:b"),
            standard("ab:hunter2 hunter2:"),
            standard("abc:hunter2 hunter2 and more"),
        ] {
            assert_eq!(scanner.found(text.as_bytes()), [0], "{text}");
        }
        assert!(scanner.found(b"hunter2 hunter3").is_empty());
    }
}
