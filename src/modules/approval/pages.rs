//! The pages on which people decide: plain forms without a script, compiled and escaped by askama.
//!
//! They have the look of the login pages, and none of their code: a module does not know the other. What a request says was
//! put into words when it was asked for (`detail.rs`); here it is only laid out.

use super::detail::{Line, RenderedDetail};
use askama::Template;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text of every page's `<style>`.
pub(super) const STYLE: &str = r#"
:root { color-scheme: light dark; --ink: #1c1f23; --quiet: #5b6470; --line: #d5dae0; --card: #fff; --back: #f3f5f7;
  --go: #1f5fbf; --go-ink: #fff; --bad: #a8201a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --quiet: #a3acb8; --line: #3a414a; --card: #1d2126;
  --back: #131619; --go: #7fb0ff; --go-ink: #0b1a30; --bad: #ff9d95; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
.issuer { color: var(--quiet); margin: 0 0 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem; margin: 0 0 1rem; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
p { margin: 0 0 .75rem; }
.quiet { color: var(--quiet); }
.message { border-left: .25rem solid var(--go); padding: .25rem .75rem; font-weight: 600; overflow-wrap: anywhere; }
.bad { border-left: .25rem solid var(--bad); padding: .25rem .75rem; }
dl { margin: 0; } dt { color: var(--quiet); } dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
label.part { display: flex; gap: .6rem; align-items: flex-start; padding: .35rem 0; }
label.part input { width: 1.25rem; height: 1.25rem; margin: .15rem 0 0; flex: none; }
.pair { display: flex; gap: .75rem; margin-top: 1rem; }
button, a.button { flex: 1; min-height: 3rem; border-radius: .5rem; border: 1px solid var(--go); font: inherit;
  font-weight: 600; background: var(--go); color: var(--go-ink); cursor: pointer; text-align: center;
  text-decoration: none; display: inline-flex; align-items: center; justify-content: center; padding: 0 1rem; }
button.second { background: transparent; color: var(--bad); border-color: var(--bad); }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px; }
ul.rows { list-style: none; margin: 0; padding: 0; }
ul.rows li { border-top: 1px solid var(--line); } ul.rows li:first-child { border-top: 0; }
ul.rows a { display: block; padding: .75rem 0; color: inherit; text-decoration: none; }
"#;

/// What is around every page.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ title }} · {{ issuer }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<p class="issuer">{{ issuer }} · {{ account }}</p>
{{ body|safe }}
</main>
</body>
</html>
"#
)]
struct Around<'a> {
    title: &'a str,
    issuer: &'a str,
    account: &'a str,
    style: &'static str,
    body: &'a str,
}

/// A request in a list.
pub(super) struct Row {
    /// Its page.
    pub(super) href: String,
    /// What is asked.
    pub(super) title: String,
    /// Who asks, and for whom.
    pub(super) about: String,
    /// Until when.
    pub(super) left: String,
}

/// All that waits for a person.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<section class="card">
<h1>Waiting for you</h1>
{% if rows.is_empty() %}<p class="quiet">Nothing waits for your decision.</p>
{% else %}<ul class="rows">
{% for row in rows %}<li><a href="{{ row.href }}"><strong>{{ row.title }}</strong><br>
<span class="quiet">{{ row.about }} · {{ row.left }}</span></a></li>
{% endfor %}</ul>
{% if more > 0 %}<p class="quiet">And {{ more }} more, behind these.</p>
{% endif %}{% endif %}</section>"#
)]
pub(super) struct ListPage {
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
}

/// One request.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<form class="card" method="post" action="{{ action }}">
<input type="hidden" name="token" value="{{ token }}">
<input type="hidden" name="shown" value="{{ shown }}">
<h1>{% if agent %}The agent {% endif %}{{ client }} asks for your approval</h1>
<p class="quiet">For {{ user }} · {{ left }}</p>
{% if let Some(message) = binding_message %}<p class="message">{{ message }}</p>
<p class="quiet">Where it was asked, the same text is shown. If it is not, deny.</p>
{% endif %}{% if let Some(error) = error %}<p class="bad" role="alert">{{ error }}</p>
{% endif %}{% for detail in details %}<fieldset class="card">
<label class="part"><input type="checkbox" name="detail" value="{{ loop.index0 }}" checked{% if confirm.is_some() %} disabled{% endif %}>
<span><strong>{{ detail.title }}</strong></span></label>
<dl>{% for line in detail.lines %}<dt>{{ line.label }}</dt><dd>{{ line.value }}</dd>
{% endfor %}</dl>
</fieldset>
{% endfor %}{% if !scopes.is_empty() %}<fieldset class="card">
<h2>It could then</h2>
{% for scope in scopes %}<label class="part"><input type="checkbox" name="scope" value="{{ scope.label }}" checked{% if confirm.is_some() %} disabled{% endif %}>
<span>{{ scope.value }}{% if scope.value != scope.label %} <span class="quiet">{{ scope.label }}</span>{% endif %}</span></label>
{% endfor %}</fieldset>
{% endif %}{% if let Some(confirm) = confirm %}<p>To decide, show once more who you are.</p>
<div class="pair"><a class="button" href="{{ confirm }}">Confirm who I am</a></div>
{% else %}<p class="quiet">What you approve is good for this once. Untick what you do not want.</p>
<div class="pair">
<button class="second" name="decision" value="deny">Deny</button>
<button name="decision" value="approve">Approve</button>
</div>
{% endif %}</form>
<p><a href="{{ list }}">All that waits for you</a></p>"#
)]
pub(super) struct RequestPage<'a> {
    pub(super) action: &'a str,
    pub(super) token: &'a str,
    pub(super) shown: &'a str,
    pub(super) agent: bool,
    pub(super) client: &'a str,
    pub(super) user: &'a str,
    pub(super) left: &'a str,
    pub(super) binding_message: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) details: &'a [RenderedDetail],
    pub(super) scopes: &'a [Line],
    /// Where the person shows once more who they are, when they have to.
    pub(super) confirm: Option<&'a str>,
    pub(super) list: &'a str,
}

/// Says something.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<section class="card">
<h1>{{ heading }}</h1>
<p>{{ text }}</p>
<p><a href="{{ list }}">All that waits for you</a></p>
</section>"#
)]
pub(super) struct MessagePage<'a> {
    pub(super) heading: &'a str,
    pub(super) text: &'a str,
    pub(super) list: &'a str,
}

/// A whole page.
pub(super) fn page(
    title: &str,
    (issuer, account): (&str, &str),
    inner: &impl Template,
) -> Result<String, askama::Error> {
    let body = inner.render()?;
    Around { title, issuer, account, style: STYLE, body: &body }.render()
}

/// The headers of every page: nothing runs, nothing is fetched, nobody frames it, and forms stay here.
pub(super) fn headers() -> [(&'static str, String); 6] {
    let style = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("content-security-policy", policy),
        ("x-frame-options", "DENY".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cache-control", "no-store".to_owned()),
    ]
}

/// How much time is left, as people say it.
pub(super) fn left(seconds: u64) -> String {
    let words = |n: u64, unit: &str| format!("{n} {unit}{} left", if n == 1 { "" } else { "s" });
    match seconds {
        0..60 => words(seconds, "second"),
        60..7_200 => words(seconds / 60, "minute"),
        7_200..172_800 => words(seconds / 3_600, "hour"),
        _ => words(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_nothing_runs() {
        let evil = "<script>alert(1)</script>\"'&";
        let line = Line { label: evil.to_owned(), value: evil.to_owned() };
        let detail = RenderedDetail { title: evil.to_owned(), lines: vec![line.clone()] };
        let inner = RequestPage {
            action: "/approvals/1",
            token: "t",
            shown: "s",
            agent: true,
            client: evil,
            user: evil,
            left: "5 minutes left",
            binding_message: Some(evil),
            error: Some(evil),
            details: &[detail],
            scopes: &[line],
            confirm: None,
            list: "/approvals",
        };
        let html = page(evil, (evil, evil), &inner).unwrap();
        assert!(!html.contains("<script") && !html.contains("alert(1)</"), "{html}");
        assert!(html.contains("&#60;script&#62;"), "{html}");
        assert!(headers()[1].1.contains("default-src 'none'; style-src 'sha256-"));
        assert!(!headers()[1].1.contains("script-src"));
    }

    #[test]
    fn time_is_said_as_people_say_it() {
        let said: Vec<String> = [1, 59, 60, 3_600, 7_200, 172_800].map(left).to_vec();
        let expected =
            ["1 second left", "59 seconds left", "1 minute left", "60 minutes left", "2 hours left", "2 days left"];
        assert_eq!(said, expected);
    }
}
