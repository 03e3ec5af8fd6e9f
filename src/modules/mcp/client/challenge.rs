//! What a server says that it wants: `WWW-Authenticate` (RFC 9110 11.6.1), read in one way or not at all.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Most bytes of all challenges of an answer.
pub const CHALLENGE_BYTES_MAX: usize = 8 << 10;
/// Most challenges of an answer.
pub const CHALLENGES_MAX: usize = 8;
/// Most parameters of a challenge.
pub const PARAMETERS_MAX: usize = 16;

/// One way to show who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, in small letters.
    pub scheme: String,
    /// Its parameters: names in small letters, each once.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether a token is wanted.
    #[must_use]
    pub fn wants_token(&self) -> bool {
        matches!(self.scheme.as_str(), "bearer" | "dpop")
    }
}

/// The challenges of an answer, in order. `None` when they are malformed, too many or too long: then nothing of them is used.
#[must_use]
pub fn challenges(headers: &HeaderMap) -> Option<Vec<Challenge>> {
    let (mut all, mut bytes) = (Vec::new(), 0_usize);
    for value in headers.get_all(WWW_AUTHENTICATE) {
        bytes = bytes.saturating_add(value.len());
        if bytes > CHALLENGE_BYTES_MAX {
            return None;
        }
        all.extend(parse(value.to_str().ok()?)?);
    }
    (all.len() <= CHALLENGES_MAX).then_some(all)
}

/// The challenges of one header.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Challenge>> {
    let mut rest = Rest(text);
    let mut all: Vec<Challenge> = Vec::new();
    rest.commas();
    // Behind a scheme and a blank, without a comma, stands its first parameter.
    let mut follows = false;
    while !rest.0.is_empty() {
        let word = rest.token()?;
        let behind = rest.0;
        rest.blanks();
        if rest.take('=') {
            // A parameter of the challenge before.
            rest.blanks();
            let value = rest.value()?;
            let last = all.last_mut()?;
            let name = word.to_ascii_lowercase();
            if last.get(&name).is_some() || last.parameters.len() >= PARAMETERS_MAX {
                return None;
            }
            last.parameters.push((name, value));
            follows = false;
        } else {
            if follows || all.len() >= CHALLENGES_MAX {
                return None;
            }
            all.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
            rest.blanks();
            let ends = rest.0.is_empty() || rest.0.starts_with(',');
            if !ends && !behind.starts_with([' ', '\t']) {
                return None;
            }
            if !ends && !rest.token68() {
                follows = true;
                continue;
            }
        }
        rest.blanks();
        if !rest.0.is_empty() && !rest.commas() {
            return None;
        }
    }
    Some(all)
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, c: char) -> bool {
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Passes over commas and blanks; whether there was a comma.
    fn commas(&mut self) -> bool {
        let before = self.0;
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        before.len() > self.0.len() && before.strip_suffix(self.0).is_some_and(|passed| passed.contains(','))
    }

    fn run(&mut self, fine: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !fine(c)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at_checked(end).unwrap_or_default();
        self.0 = rest;
        run
    }

    fn token(&mut self) -> Option<&'a str> {
        let token = self.run(is_token);
        (!token.is_empty()).then_some(token)
    }

    /// Passes over credentials that stand alone; whether there were any.
    fn token68(&mut self) -> bool {
        let before = self.0;
        self.run(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        self.run(|c| c == '=');
        let behind = self.0.trim_start_matches([' ', '\t']);
        let whole = before.len() > self.0.len() && (behind.is_empty() || behind.starts_with(','));
        if !whole {
            self.0 = before;
        }
        whole
    }

    fn value(&mut self) -> Option<String> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut letters = self.0.chars();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => value.push(letters.next()?),
                c => value.push(c),
            }
        }
        self.0 = letters.as_str();
        Some(value)
    }
}

/// Whether a letter may stand in a token (RFC 9110 5.6.2).
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A challenge as it is written. What [`parse`] makes of it is the challenge again.
#[must_use]
pub fn written(challenge: &Challenge) -> String {
    let quoted =
        |(name, value): &(String, String)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let parameters: Vec<String> = challenge.parameters.iter().map(quoted).collect();
    format!("{} {}", challenge.scheme, parameters.join(", ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Challenge { scheme: scheme.into(), parameters }
    }

    #[test]
    fn challenges_are_read_as_they_are_written() {
        for (text, expected) in [
            ("", vec![]),
            (" , ", vec![]),
            ("Bearer", vec![challenge("bearer", &[])]),
            (
                r#"Bearer error="insufficient_scope", scope="a b",  Resource_Metadata = "https://x/y""#,
                vec![challenge(
                    "bearer",
                    &[("error", "insufficient_scope"), ("scope", "a b"), ("resource_metadata", "https://x/y")],
                )],
            ),
            (
                r#"Negotiate, Basic YWJj==, Bearer realm=x,, DPoP algs="ES256 \"x\"""#,
                vec![
                    challenge("negotiate", &[]),
                    challenge("basic", &[]),
                    challenge("bearer", &[("realm", "x")]),
                    challenge("dpop", &[("algs", "ES256 \"x\"")]),
                ],
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        for text in [
            r#"Bearer scope="a", Scope="b""#,
            "scope=a",
            r#"Bearer scope="a"#,
            r#"Bearer scope="a\"#,
            "Bearer scope=,x=\"",
            "Bearer scope=a b",
            "Bearer a b",
            "Bearer, =x",
            "Bearer \"x\"",
            "Bearer\"x\"",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let many = format!("Bearer {}", (0..=PARAMETERS_MAX).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join(","));
        assert_eq!(parse(&many), None);
        assert_eq!(parse(&["x"; CHALLENGES_MAX + 1].join(",")), None);
        let mut headers = HeaderMap::new();
        let long = format!("Bearer realm=\"{}\"", "x".repeat(CHALLENGE_BYTES_MAX / 2));
        headers.append(WWW_AUTHENTICATE, long.parse().unwrap());
        assert_eq!(challenges(&headers).unwrap().len(), 1);
        headers.append(WWW_AUTHENTICATE, long.parse().unwrap());
        assert_eq!(challenges(&headers), None, "all of them together are bounded");
    }

    proptest! {
        #[test]
        fn any_text_is_challenges_that_read_alike_again(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "Bearer", "bearer ", "DPoP ", "scope", "=", " = ", "\"", "\\", "a b", ",", ", ", " ", "\t", "x", "YQ==", "é", "error=\"e\"", "scope=\"a b\", ",
            ]), 0..12),
        ) {
            let text = pieces.concat();
            if let Some(read) = parse(&text) {
                prop_assert!(read.len() <= CHALLENGES_MAX);
                for one in &read {
                    prop_assert_eq!(parse(&written(one)), Some(vec![one.clone()]), "{}", text);
                }
            }
        }
    }
}
