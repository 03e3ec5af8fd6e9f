//! The forms in which a secret may stand in a text: as it is, in base64, in hexadecimal.
//!
//! Escapes are no forms: there are too many ways to write them. They are undone in the stream instead.

use super::literal::{Form, LineBreak};
use super::unescape::{begins, unescape};
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
            let mut breaks = LineBreak::No;
            let form = Zeroizing::new(form.iter().filter_map(|byte| breaks.step(*byte)).collect::<Vec<_>>());
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
    fn forms_are_long_enough() {
        for form in forms(b"8 bytes!") {
            assert!(form.len() >= 8, "{:?}", String::from_utf8_lossy(&form));
        }
    }

    #[test]
    fn a_secret_with_escapes_in_it_has_them_undone_too() {
        let all = bare(&[Zeroizing::new(b"a%2541b\nc".to_vec())]);
        let all: Vec<_> = all.iter().map(|form| String::from_utf8_lossy(form)).collect();
        assert_eq!(all, ["a%2541bc", "a%41bc", "aAbc"]);
        assert_eq!(bare(&[Zeroizing::new(b"plain".to_vec())]).len(), 1);
        let blank = bare(&[Zeroizing::new(b"\na\r\n\nb\n\n\nc".to_vec())]);
        assert_eq!(blank.iter().map(|form| form.as_slice()).collect::<Vec<_>>(), [b"a\nb\n\nc"]);
    }

    #[test]
    fn repetition_is_counted() {
        for (text, count) in [("", 0), ("a", 1), ("abcd", 1), ("abab", 2), ("ababa", 3), ("aaaaaaaa", 8), ("abcabx", 1)]
        {
            assert_eq!(repeats(text.as_bytes()), count, "{text}");
        }
    }
}
