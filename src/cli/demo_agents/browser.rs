//! A person's browser: it keeps cookies, reads pages, sends their forms and follows where it is sent. It knows no more of a
//! server than a browser does.

use super::web::{Ask, Heard, Tape, Web};
use crate::cli::Failure;
use std::collections::BTreeMap;
use url::Url;

/// Redirects of one step.
const REDIRECTS_MAX: usize = 20;

/// A form as a page shows it.
#[derive(Clone, Debug)]
pub(super) struct Form {
    action: Url,
    /// Names and values, in order: boxes that are ticked are there several times.
    pub(super) fields: Vec<(String, String)>,
}

impl Form {
    /// The same with a field filled in, or a button pressed.
    pub(super) fn with(mut self, name: &str, value: &str) -> Form {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, before)) => value.clone_into(before),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// The same with a box unticked.
    pub(super) fn without(mut self, name: &str, value: &str) -> Form {
        self.fields.retain(|field| (field.0.as_str(), field.1.as_str()) != (name, value));
        self
    }
}

/// What is shown.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) url: Url,
    body: String,
}

impl Page {
    fn broken(&self, what: &str) -> Failure {
        Failure::Said(format!("{what} on {} ({}):\n{}", self.url.path(), self.status, self.text()))
    }

    /// The forms that are sent to a path that ends so.
    pub(super) fn forms(&self, path: &str) -> Vec<Form> {
        let parts = self.body.split("<form").skip(1).filter_map(|part| part.split("</form>").next());
        let form = |part: &str| {
            let inputs = part.split("<input").skip(1).filter_map(|input| input.split('>').next());
            let sent = |tag: &str| !tag.contains("type=\"checkbox\"") || tag.contains(" checked");
            let fields = inputs
                .filter(|tag| sent(tag))
                .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())));
            let action = attribute(part, "action").unwrap_or_default();
            Some(Form { action: self.url.join(&action).ok()?, fields: fields.collect() })
        };
        parts.filter_map(form).filter(|form| form.action.path().ends_with(path)).collect()
    }

    /// The first form that is sent there.
    pub(super) fn form(&self, path: &str) -> Result<Form, Failure> {
        self.forms(path).into_iter().next().ok_or_else(|| self.broken(&format!("there is no form to `{path}`")))
    }

    /// What a person reads, on one line.
    pub(super) fn text(&self) -> String {
        let body = self.body.split("</style>").nth(1).unwrap_or(&self.body);
        let body = body.split("<script>").next().unwrap_or_default();
        let text: Vec<&str> = body.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
        unescaped(&text.join(" ")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What stands in the elements of these names, in the order of the page.
    pub(super) fn elements(&self, names: &[&str]) -> Vec<(String, String)> {
        let body = self.body.split("</style>").nth(1).unwrap_or(&self.body);
        let parts = body.split('<').skip(1).filter_map(|part| part.split_once('>'));
        let named = parts.filter_map(|(tag, text)| {
            let name = tag.split(' ').next().unwrap_or_default();
            names.contains(&name).then(|| (name.to_owned(), unescaped(text).trim().to_owned()))
        });
        named.collect()
    }

    /// Where the link with this text leads.
    pub(super) fn link(&self, text: &str) -> Option<String> {
        let mut links = self.body.split("<a ");
        let link = links.find(|part| part.split_once('>').is_some_and(|(_, rest)| rest.starts_with(text)))?;
        let to = attribute(&format!(" {link}"), "href")?;
        self.url.join(&to).ok().map(String::from)
    }

    /// Insists that the page says something.
    pub(super) fn says(&self, words: &str) -> Result<&Page, Failure> {
        if self.text().contains(words) { Ok(self) } else { Err(self.broken(&format!("`{words}` does not stand"))) }
    }

    /// The text of the first element of a class.
    pub(super) fn element(&self, class: &str) -> Result<String, Failure> {
        let marked = self.body.split(&format!("class=\"{class}\"")).nth(1);
        let text = marked.and_then(|rest| rest.split_once('>')).and_then(|(_, rest)| rest.split('<').next());
        text.map(unescaped).ok_or_else(|| self.broken(&format!("there is nothing of the class `{class}`")))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(unescaped)
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, c) in [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")] {
        text = text.replace(code, c);
    }
    text
}

/// See the file's head. Each origin has cookies of its own.
pub(super) struct Browser {
    web: Web,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub(super) fn new(who: &'static str, tape: &Tape) -> Browser {
        Browser { web: Web::new(who, tape), cookies: BTreeMap::new() }
    }

    /// Opens a page, and goes where it leads.
    pub(super) fn open(&mut self, url: &str) -> Result<Page, Failure> {
        let heard = self.ask(Ask::get(url))?;
        self.follow(url, heard)
    }

    /// Sends a form, and goes where it leads.
    pub(super) fn send(&mut self, form: &Form) -> Result<Page, Failure> {
        let heard = self.post(form)?;
        self.follow(form.action.as_str(), heard)
    }

    /// Sends a form, goes where it leads, and stops before a place: its URL.
    pub(super) fn send_until(&mut self, form: &Form, place: &str) -> Result<String, Failure> {
        let mut heard = self.post(form)?;
        let mut at = form.action.to_string();
        for _ in 0..REDIRECTS_MAX {
            at = next(&at, &heard).ok_or_else(|| Failure::Said(format!("{at} leads nowhere: {}", heard.status)))?;
            if at.starts_with(place) {
                return Ok(at);
            }
            heard = self.ask(Ask::get(&at))?;
        }
        Err(Failure::Said(format!("{} leads on and on", form.action)))
    }

    fn post(&mut self, form: &Form) -> Result<Heard, Failure> {
        let origin = form.action.origin().ascii_serialization();
        let pairs = form.fields.iter().map(|(name, value)| (name, value));
        self.ask(Ask::form(form.action.as_str(), pairs).with("origin", origin).with("sec-fetch-site", "same-origin"))
    }

    fn ask(&mut self, ask: Ask) -> Result<Heard, Failure> {
        let origin = Url::parse(ask.url()).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let own = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let ask = ask.with("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");
        let ask = if cookies.is_empty() { ask } else { ask.with("cookie", cookies.join("; ")) };
        let heard = self.web.send(&ask)?;
        for set in heard.headers("set-cookie") {
            let Some((name, value)) = set.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            let key = (origin.clone(), name.to_owned());
            if set.ends_with("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        Ok(heard)
    }

    fn follow(&mut self, url: &str, mut heard: Heard) -> Result<Page, Failure> {
        let mut at = url.to_owned();
        for _ in 0..REDIRECTS_MAX {
            let Some(to) = next(&at, &heard) else {
                let url = Url::parse(&at).map_err(|error| Failure::Said(format!("{at}: {error}")))?;
                return Ok(Page { status: heard.status, url, body: heard.text() });
            };
            at = to;
            heard = self.ask(Ask::get(&at))?;
        }
        Err(Failure::Said(format!("{url} leads on and on")))
    }
}

/// Where an answer sends the browser.
fn next(at: &str, heard: &Heard) -> Option<String> {
    let to = heard.header("location").filter(|_| (300..400).contains(&heard.status))?;
    Url::parse(at).and_then(|base| base.join(&to)).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_sent_as_it_stands_with_what_is_ticked() {
        let body = "<style>x</style><p class=\"mono\">A &#38; B</p><form method=\"post\" action=\"/go\">\
                    <input type=\"hidden\" name=\"token\" value=\"t&#34;\"><input type=\"checkbox\" name=\"scope\" \
                    value=\"a\" checked><input type=\"checkbox\" name=\"scope\" value=\"b\"></form>";
        let page = Page { status: 200, url: Url::parse("http://127.0.0.1:1/x").unwrap(), body: body.into() };
        let form = page.form("/go").unwrap().with("decision", "approve");
        let fields = [("token", "t\""), ("scope", "a"), ("decision", "approve")];
        assert_eq!(form.fields, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(form.without("scope", "a").fields.len(), 2);
        assert_eq!(page.element("mono").unwrap(), "A & B");
        let body = "<a href=\"/a\">One</a><a class=\"button\" href=\"b?c=1&#38;d=2\">Two</a>".to_owned();
        let links = Page { body, ..page.clone() };
        assert_eq!(links.link("Two").as_deref(), Some("http://127.0.0.1:1/b?c=1&d=2"));
        assert!(links.link("Three").is_none());
        assert!(page.form("/elsewhere").is_err() && page.says("A & B").is_ok() && page.says("C").is_err());
    }
}
