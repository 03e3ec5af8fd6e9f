//! Pages of a search (AuthZEN 1.0, section 8). A page goes on behind the last name of the one before, by the order of names, so
//! that nothing comes twice and what stays is not passed over, whatever is written between two pages.

use crate::identity::hash_of;
use crate::tuple::Context;
use crate::wire::{Code, Problem, decode_page, encode_page};
use serde::{Deserialize, Serialize};

/// Letters of the digest that ties a token to its question.
const DIGEST_LETTERS: usize = 22;

/// What a request says about its page.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wish {
    token: Option<String>,
    limit: Option<u64>,
    properties: Option<Context>,
    /// What drafts of the standard had instead of `token`.
    next_token: Option<String>,
}

/// A page that is to be made.
pub(super) struct Page {
    /// Which question it is a page of.
    digest: String,
    /// Only names behind this one.
    after: Option<String>,
    /// Most names on it.
    size: usize,
}

/// What an answer says about its page.
#[derive(Serialize)]
pub(super) struct Told {
    next_token: String,
    count: usize,
    total: usize,
}

fn refused(text: &str) -> Problem {
    Problem::new(Code::Validation, text)
}

impl Page {
    /// The page that is wished for, of the answer to `question`. `size_max` is the most that an answer may have; 0 is no bound.
    pub(super) fn of(wish: Option<&Wish>, question: &str, size_max: usize) -> Result<Page, Problem> {
        let digest: String = hash_of(question).chars().take(DIGEST_LETTERS).collect();
        let max = if size_max == 0 { usize::MAX } else { size_max };
        let Some(wish) = wish else { return Ok(Page { digest, after: None, size: max }) };
        if wish.next_token.is_some() {
            return Err(refused("`page.next_token` is of an answer; send its value as `page.token`"));
        }
        if wish.properties.as_ref().is_some_and(|properties| !properties.is_empty()) {
            return Err(refused("`page.properties` is not supported; results come in the order of their names"));
        }
        let size = match wish.limit {
            None => max,
            Some(0) => return Err(refused("`page.limit` is 1 or more, or left out")),
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).min(max),
        };
        let after = match wish.token.as_deref() {
            None | Some("") => None,
            Some(token) => {
                let none = || refused("`page.token` is none of ours; send `page.next_token` of an answer as it came");
                let text = decode_page(token).ok_or_else(none)?;
                let (of, after) = text.split_once('.').ok_or_else(none)?;
                if of != digest {
                    let text =
                        "`page.token` belongs to another question; ask the same one again, or leave the token out";
                    return Err(refused(text));
                }
                Some(after.to_owned())
            }
        };
        Ok(Page { digest, after, size })
    }

    /// The names that are on the page. All of them are counted.
    pub(super) fn cut<'a>(&self, names: impl Iterator<Item = &'a str>) -> (Vec<&'a str>, Told) {
        let mut total = 0;
        let mut kept = Vec::new();
        for name in names {
            total += 1;
            if self.after.as_deref().is_none_or(|after| name > after) {
                kept.push(name);
            }
        }
        let more = kept.len() > self.size;
        if more {
            kept.select_nth_unstable(self.size);
            kept.truncate(self.size);
        }
        kept.sort_unstable();
        let next_token = match kept.last() {
            Some(last) if more => encode_page(&[self.digest.as_str(), ".", last].concat()),
            _ => String::new(),
        };
        let told = Told { next_token, count: kept.len(), total };
        (kept, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn pages_together_are_the_whole_in_order() {
        let names: Vec<String> = (0..100).map(|n| format!("{:02}", n * 37 % 100)).collect();
        for limit in [1, 7, 99, 100, 101] {
            let mut token = String::new();
            let mut met: Vec<String> = Vec::new();
            for turn in 0.. {
                let page =
                    Page::of(Some(&wish(&format!(r#"{{"limit": {limit}, "token": "{token}"}}"#))), "q", 0).unwrap();
                let (cut, told) = page.cut(names.iter().map(String::as_str));
                assert!(told.total == 100 && told.count == cut.len() && cut.len() <= limit, "{limit}");
                met.extend(cut.iter().map(|name| (*name).to_owned()));
                token = told.next_token;
                if token.is_empty() {
                    assert_eq!(turn, (100 - 1) / limit, "{limit}");
                    break;
                }
            }
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(met, sorted, "{limit}");
        }
    }

    #[test]
    fn what_is_written_between_pages_repeats_and_skips_nothing() {
        let cut = |names: &[&'static str], token: &str| {
            let page = Page::of(Some(&wish(&format!(r#"{{"limit": 2, "token": "{token}"}}"#))), "q", 0).unwrap();
            let (cut, told) = page.cut(names.iter().copied());
            (cut, told.next_token)
        };
        let (first, token) = cut(&["a", "c", "e", "g"], "");
        assert_eq!(first, ["a", "c"]);
        // `a` and `c` are gone, `b` and `f` have come.
        assert_eq!(cut(&["b", "e", "f", "g"], &token).0, ["e", "f"]);
    }

    #[test]
    fn a_bound_of_the_server_is_the_size_of_a_page() {
        for (limit, size_max, size) in [(None, 0, usize::MAX), (None, 5, 5), (Some(9), 5, 5), (Some(3), 5, 3)] {
            let text = limit.map_or("{}".to_owned(), |limit| format!(r#"{{"limit": {limit}}}"#));
            assert_eq!(Page::of(Some(&wish(&text)), "q", size_max).unwrap().size, size, "{text} {size_max}");
        }
        assert_eq!(Page::of(None, "q", 5).unwrap().size, 5);
    }

    #[test]
    fn wishes_that_cannot_be_met_are_refused() {
        let token = encode_page("of another question.x");
        for (text, why) in [
            (r#"{"limit": 0}"#.to_owned(), "1 or more"),
            (r#"{"next_token": "x"}"#.to_owned(), "as `page.token`"),
            (r#"{"properties": {"sort": "id"}}"#.to_owned(), "not supported"),
            (r#"{"token": "!"}"#.to_owned(), "none of ours"),
            (format!(r#"{{"token": "{}"}}"#, encode_page("no dot")), "none of ours"),
            (format!(r#"{{"token": "{token}"}}"#), "another question"),
        ] {
            let problem = Page::of(Some(&wish(&text)), "q", 0).err().unwrap();
            assert!(problem.status() == 400 && problem.message.contains(why), "{text}: {}", problem.message);
        }
    }
}
