//! The forms in which a secret may stand in a text: as it is, in base64, in hexadecimal.
//!
//! Escapes are no forms: there are too many ways to write them. They are undone in the stream instead.

use super::literal::{Form, Lines};
use super::unescape::{Unit, begins, unescape};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// All forms of a secret, as they stand in a stream whose escapes are not undone.
pub(super) fn forms(secret: &[u8]) -> Vec<Form> {
    let mut forms = vec![Zeroizing::new(secret.to_vec())];
    if secret.contains(&b' ') {
        // How a form of HTML is sent.
        forms.push(secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect::<Vec<_>>().into());
    }
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        let digit = |four: u8| digits.get(usize::from(four)).copied().unwrap_or_default();
        forms.push(secret.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<Vec<_>>().into());
    }
    // In base64 the letters that hold nothing but bits of the secret: those before share bits with what stands before it,
    // and the last one, unless it is full, with what stands behind it.
    for (before, skip) in [(&b""[..], 0), (b"-", 2), (b"--", 3)] {
        let padded = Zeroizing::new([before, secret].concat());
        let full = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&*padded), URL_SAFE_NO_PAD.encode(&*padded)] {
            let encoded = Zeroizing::new(encoded.into_bytes());
            forms.push(Zeroizing::new(encoded.get(skip..full).unwrap_or_default().to_vec()));
        }
    }
    forms
}

/// The kinds of forms, of which one letter at a time can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Raw,
    /// In hexadecimal, in small digits.
    Hex,
    /// The same in large ones.
    HexLarge,
    /// In base64, behind so many bytes of three.
    Base64(usize),
}

/// All of them, the text as it is first.
pub(super) const KINDS: &[Kind] =
    &[Kind::Raw, Kind::Hex, Kind::HexLarge, Kind::Base64(0), Kind::Base64(1), Kind::Base64(2)];

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Letters of base64 that share bits with what stands before the text.
fn skipped(phase: usize) -> usize {
    if phase == 0 { 0 } else { phase + 1 }
}

/// How long a form is.
pub(super) fn length(text: &[u8], kind: Kind) -> usize {
    match kind {
        Kind::Raw => text.len(),
        Kind::Hex | Kind::HexLarge => text.len() * 2,
        Kind::Base64(phase) => ((phase + text.len()) * 8 / 6).saturating_sub(skipped(phase)),
    }
}

/// A letter of a form; zero behind its end.
pub(super) fn letter(text: &[u8], kind: Kind, at: usize) -> u8 {
    let byte = |at: usize| text.get(at).copied().unwrap_or_default();
    let digit = || {
        let both = byte(at / 2);
        DIGITS.get(usize::from(if at.is_multiple_of(2) { both >> 4 } else { both & 15 })).copied().unwrap_or_default()
    };
    match kind {
        Kind::Raw => byte(at),
        Kind::Hex => digit(),
        Kind::HexLarge => digit().to_ascii_uppercase(),
        Kind::Base64(phase) => {
            // Six bits, of two bytes; what stands before the text has none in the letters that are looked at.
            let bit = (at + skipped(phase)) * 6;
            let padded = |at: usize| u16::from(at.checked_sub(phase).map_or(0, byte));
            let two = padded(bit / 8) << 8 | padded(bit / 8 + 1);
            let six = two >> (10 - bit % 8) & 63;
            LETTERS.get(usize::from(six)).copied().unwrap_or_default()
        }
    }
}

/// A letter as it is in URLs: base64 has two alphabets.
pub(super) fn in_urls(kind: Kind, letter: u8) -> u8 {
    match (kind, letter) {
        (Kind::Base64(_), b'+') => b'-',
        (Kind::Base64(_), b'/') => b'_',
        _ => letter,
    }
}

/// The forms of a secret as they stand in a stream of which two layers of escapes and single line breaks are taken
/// away.
///
/// A secret may itself have what looks like an escape, of which none, one or both layers were undone, as the text around it
/// was written in two layers of escapes, one, or none.
pub(super) fn bare(forms: &[Form]) -> Vec<Form> {
    let mut bare = Vec::new();
    for form in forms {
        let mut layers = vec![form.clone()];
        if form.iter().any(|byte| begins(*byte)) {
            let once = Zeroizing::new(unescape(form));
            layers.push(Zeroizing::new(unescape(&once)));
            layers.insert(1, once);
        }
        for form in layers {
            let mut lines = Lines::default();
            let units = form.iter().zip(0..).map(|(byte, at)| Unit { byte: *byte, start: at, end: at + 1 });
            let form = Zeroizing::new(units.filter_map(|unit| lines.step(unit)).collect::<Vec<_>>());
            if !bare.contains(&form) {
                bare.push(form);
            }
        }
    }
    bare
}

/// How often a text repeats itself: its length by the shortest part that it consists of, rounded up.
pub(super) fn repeats(text: &[u8]) -> usize {
    // The failure function of Knuth, Morris and Pratt: for each start of the text, its longest part that is both its start
    // and its end.
    let mut longest: Vec<usize> = vec![0];
    for (at, byte) in text.iter().enumerate().skip(1) {
        let mut part = longest.get(at - 1).copied().unwrap_or(0);
        while part > 0 && text.get(part) != Some(byte) {
            part = longest.get(part - 1).copied().unwrap_or(0);
        }
        longest.push(if text.get(part) == Some(byte) { part + 1 } else { 0 });
    }
    let period = text.len() - longest.last().copied().unwrap_or(0).min(text.len());
    text.len().div_ceil(period.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    /// Whatever stands around a secret, its base64 has one of the forms.
    #[test]
    fn base64_has_a_form_in_each_phase() {
        for secret in [&b"s3cr3t-T0ken"[..], b"\xff\xfe\xfdbinary?>\xfb\xff", b"12345678", b"123456789", b"1234567890"]
        {
            let forms = forms(secret);
            for before in 0..7 {
                for after in 0..7 {
                    let text = [&vec![b'<'; before][..], secret, &vec![b'~'; after]].concat();
                    for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                        let has = |form: &Form| {
                            form.len() > secret.len() && encoded.as_bytes().windows(form.len()).any(|w| *w == **form)
                        };
                        assert!(forms.iter().any(has), "{before} {after} {encoded}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_form_can_be_made_letter_by_letter() {
        for secret in [&b"s3cr3t-T0ken"[..], b"\xff\xfe\xfdbinary?>\xfb\xff", b"12345678", b"123456789", b"1234567890"]
        {
            let all = forms(secret);
            let made = |kind, in_url: bool| {
                let letters = (0..length(secret, kind)).map(|at| letter(secret, kind, at));
                letters.map(|letter| if in_url { in_urls(kind, letter) } else { letter }).collect::<Vec<u8>>()
            };
            for form in &all {
                assert!(
                    KINDS.iter().any(|kind| made(*kind, false) == **form || made(*kind, true) == **form),
                    "{}",
                    String::from_utf8_lossy(form)
                );
            }
            for kind in KINDS {
                assert!(all.iter().any(|form| **form == made(*kind, false)), "{kind:?}");
            }
        }
    }

    #[test]
    fn forms_are_long_enough() {
        for form in forms(b"8 bytes!") {
            assert!(form.len() >= 8, "{:?}", String::from_utf8_lossy(&form));
        }
    }

    #[test]
    fn a_secret_with_escapes_in_it_has_them_undone_too() {
        let all = bare(&[Zeroizing::new(b"a%2541b\nc".to_vec())]);
        let all: Vec<_> = all.iter().map(|form| String::from_utf8_lossy(form)).collect();
        assert_eq!(all, ["a%2541b\nc", "a%41b\nc", "aAb\nc"]);
        assert_eq!(bare(&[Zeroizing::new(b"plain".to_vec())]).len(), 1);
        let lines = b"\na\r\n\nb\n\n\nabcdefghijkl\r\nmnop\nabcdefghijkl\n\nq";
        let bare = bare(&[Zeroizing::new(lines.to_vec())]);
        let bare: Vec<_> = bare.iter().map(|form| String::from_utf8_lossy(form)).collect();
        assert_eq!(bare, ["\na\n\nb\n\n\nabcdefghijklmnop\nabcdefghijkl\nq"], "long lines go on, short ones end");
    }

    #[test]
    fn repetition_is_counted() {
        for (text, count) in [("", 0), ("a", 1), ("abcd", 1), ("abab", 2), ("ababa", 3), ("aaaaaaaa", 8), ("abcabx", 1)]
        {
            assert_eq!(repeats(text.as_bytes()), count, "{text}");
        }
    }
}
