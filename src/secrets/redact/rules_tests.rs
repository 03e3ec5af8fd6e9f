//! Every rule finds what it is for, behind every one of its anchors, and nothing in ordinary text.

use super::Filter;
use super::rules::RULES;

/// What a rule finds: its name, and what stands behind each of its anchors. The anchors themselves are added when the test
/// runs, so that nobody who scans this file takes it for a leak.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "private-key",
        "EC PRIVATE KEY-----\nMHcCAQEEIIGSq7Rt2LpX9vBn4KsW8mZcTz5Jd0Hf\nUq1Yw6Ea3Go7Ni\n-----END EC PRIVATE KEY-----",
    ),
    ("age-key", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE"),
    ("jwt", "hbGciOiJFUzI1NiJ9.q7Rt2LpX9vBn4KsW8mZcTz5J.d0HfUq1Yw6Ea3Go7NiMb8VxS"),
    ("aws-access-key", "Q7RT2LPXVBN4KSWZ"),
    ("github-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("github-token", "q7Rt2LpX9vBn4KsW8mZcTz_5Jd0HfUq1Yw6Ea3Go7Ni"),
    ("gitlab-token", "q7Rt2LpX9vBn4KsW8mZc"),
    ("slack-token", "b-170253918264-q7Rt2LpX9vBn4KsW"),
    ("slack-token", "1-A7RT2LPX9VB-170253918264-q7rt2lpx9vbn"),
    ("slack-webhook", "services/T7RT2LPX9/B4KSW8MZC/q7Rt2LpX9vBn4KsW8mZcTz5J"),
    ("google-api-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6E"),
    ("google-oauth", "a0q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6E"),
    ("google-oauth", "gq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6E"),
    ("google-oauth", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0Hf"),
    ("stripe-key", "q7Rt2LpX9vBn4KsW8mZcTz5J"),
    ("stripe-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y"),
    ("anthropic-key", "api03-q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("openai-key", "proj-q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("huggingface-token", "qRtLpXvBnKsWmZcTzJdHfUqYwEaGoNiMbV"),
    ("groq-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMb"),
    ("xai-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMbq7Rt2LpX9vBn4KsW8mZc"),
    ("perplexity-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMb"),
    ("replicate-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("npm-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("pypi-token", "cHlwaS5vcmcCq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("sendgrid-key", "q7Rt2LpX9vBn4KsW8mZcTz.5Jd0HfUq1Yw6Ea3Go7NiMbq7Rt2LpX9vBn4KsW8mZcT"),
    ("digitalocean-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4b1d860357f2a9c4e1b8d6053"),
    ("shopify-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035"),
    ("databricks-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035"),
    ("vault-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0Hf"),
    ("atlassian-token", "xFfGF0q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMbq7Rt2LpX9vBn4KsW8mZc=7F2A9C4E"),
    ("mailgun-key", "7f2a9c4e1b8d6053f7a2c9e4b1d86035"),
    ("twilio-key", "7f2a9c4e1b8d6053f7a2c9e4b1d86035"),
    ("grafana-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y_7f2a9c4e"),
    ("postman-key", "7f2a9c4e1b8d6053f7a2c9e4-7f2a9c4e1b8d6053f7a2c9e4b1d860357f"),
    ("linear-key", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMb"),
    ("notion-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiMb"),
    ("docker-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0H"),
    ("rubygems-key", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4b1d86035"),
    ("crates-io-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y"),
    ("square-token", "q7Rt2LpX9vBn4KsW8mZcTz"),
    ("terraform-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y"),
    ("pulumi-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4"),
    ("doppler-token", "pt.q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX"),
    ("airtable-token", "q7Rt2LpX9vBn4K.7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4b1d860357f2a9c4e1b8d6053"),
    ("figma-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX"),
    ("grafana-token", "eyJvIjoiNzMxOTQyIiwibiI6ImEiLCJrIjoicTdSdDJMcFg5dkJuNEtzVyJ9"),
    ("newrelic-key", "Q7RT2LPX9VBN4KSW8MZCTZ5JD0H"),
    ("sentry-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4b1d860357f2a9c4e1b8d6053"),
    ("planetscale-token", "tkn_q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX9vB"),
    ("supabase-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4"),
    ("netlify-token", "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea"),
    ("tailscale-key", "auth-kq7Rt2LpX9vCNTRL-q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y"),
    ("telegram-token", "Fq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y"),
    (
        "dropbox-token",
        "q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yq7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Y",
    ),
    ("buildkite-token", "7f2a9c4e1b8d6053f7a2c9e4b1d86035f7a2c9e4"),
    ("authorization", ": Bearer q7Rt2LpX9vBn4KsW8mZcTz5J"),
    ("url-password", "bob:hunter2x@db.internal:5432/app"),
    ("assigned-secret", " = \"q7Rt2LpX9vBn4KsW8mZc\""),
    ("assigned-secret", "_PROD='q7Rt2LpX9vBn4KsW8mZc'"),
];

/// What looks like a secret to who is hasty.
const CLEAN: &str = concat!(
    "commit 3ae56db0c1f2e4a7b9d8c6f5e4d3c2b1a0f9e8d7 in https://github.com/acme/app/tree/3ae56db?tab=readme#readme\n",
    "id 0196b1c2-7d3e-7a41-9c55-2f6e8b0d4a17, ulid 01KAVQ2M7Z3T9XJ4E6B8N0C5RD, etag W/\"5f-q7Rt2LpX9vBn4KsW8mZc\"\n",
    "http://127.0.0.1:8080/v1/contacts https://[::1]:8443/@user postgres://localhost:5432/app git@github.com:acme/app\n",
    "https://user:password@host.example https://user:<token>@host.example https://${USER}:${PASS}@host.example\n",
    "mailto:bob@example.com:8080 see ://a:b@c and time 12:30@noon; scp bob@host:/srv/x.tar\n",
    "password: changeme-changeme-1234567 api_key=YOUR_API_KEY_GOES_HERE_1234 secret = \"example-secret-0123456789\"\n",
    "the secret of good soup; token endpoint; passwords are hashed; max_tokens: 4096, next_page_token: \"CAUQAA\"\n",
    "page_token=q7Rt2LpX9vBn4KsW8mZc nextPageToken: 'q7Rt2LpX9vBn4KsW8mZc' SHA256:q7Rt2LpX9vBn4KsW8mZcTz5Jd0HfUq1Yw6Ea3Go7NiM\n",
    "password: see-Chapter-12-of-the-Handbook secret=Settings_Db2_Main_Reader path cioppino dp.height AAAAC3NzaC1lZDI1NTE5AAAAIq7Rt2LpX9vBn4 ssl.conf patience pul-ver\n",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 and sha512-q7Rt2LpX9vBn4KsW8mZcTz==\n",
    "Authorization: Bearer <token> authorization: basic, SKU 12, key-value, AKIA of old, sk-learn, hf_hub_download\n",
    "Authorization: Bearer YOUR_ACCESS_TOKEN_EXAMPLE_0123 -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "{\"model\":\"gpt-4o-2024-08-06\",\"id\":\"chatcmpl-q7Rt2LpX9vBn4KsW8mZc\",\"system_fingerprint\":\"fp_7f2a9c4e\"}\n",
);

#[test]
fn every_rule_finds_its_example_behind_each_anchor() {
    let filter = Filter::new([]).unwrap();
    let named: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(named, EXAMPLES.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "a rule needs its example");
    for (rule, (id, tail)) in RULES.iter().zip(EXAMPLES) {
        for anchor in rule.anchors {
            let text = format!("see {anchor}{tail} there\n");
            let (out, report) = filter.redact(text.as_bytes());
            let out = String::from_utf8(out).unwrap();
            assert_eq!(report.counts().collect::<Vec<_>>(), [(*id, 1)], "{text:?} gave {out:?}");
            assert!(out.contains(&format!("[removed:{id}]")) && out.ends_with(" there\n") || *id == "url-password");
            // Where the chunks end does not matter, nor that the text ends with it.
            let (mut redactor, mut bytewise) = (filter.stream(), Vec::new());
            for byte in text.bytes() {
                redactor.push(&[byte], &mut bytewise);
            }
            redactor.finish(&mut bytewise);
            assert_eq!(String::from_utf8(bytewise).unwrap(), out);
            let (_, report) = filter.redact(format!("{anchor}{tail}").as_bytes());
            assert_eq!(report.counts().collect::<Vec<_>>(), [(*id, 1)], "at the end: {text:?}");
        }
    }
}

#[test]
fn a_password_that_was_drawn_goes_though_no_part_of_it_is_long() {
    let filter = Filter::new([]).unwrap();
    let out = filter.redact(b"password = \"kQzXwTbNmP!sVdRfG4hY\"").0;
    assert_eq!(String::from_utf8(out).unwrap(), "password = \"[removed:assigned-secret]\"");
}

#[test]
fn the_password_of_a_url_goes_and_the_rest_stays() {
    let filter = Filter::new([]).unwrap();
    for (text, left) in [
        ("postgres://app:hunter2x@db:5432/x", "postgres://app:[removed:url-password]@db:5432/x"),
        ("redis://:s3cr3t!@cache", "redis://:[removed:url-password]@cache"),
        ("'https://bob:a%21b.c-d~e@host/'", "'https://bob:[removed:url-password]@host/'"),
        ("{\"u\":\"https:\\/\\/bob:hunter2x@host\"}", "{\"u\":\"https:\\/\\/bob:[removed:url-password]@host\"}"),
        ("amqp://a:hunter2x@", "amqp://a:[removed:url-password]@"),
    ] {
        assert_eq!(String::from_utf8(filter.redact(text.as_bytes()).0).unwrap(), left);
    }
    for clean in ["http://host:8080", "http://host:8080/", "http://host:8080/a@b", "http://a:hunter2x", "x://a:b c@d"] {
        assert_eq!(String::from_utf8(filter.redact(clean.as_bytes()).0).unwrap(), clean);
    }
}

#[test]
fn ordinary_text_has_no_secrets() {
    let filter = Filter::new([]).unwrap();
    let ours = [
        CLEAN,
        include_str!("../../../Cargo.lock"),
        include_str!("../../../README.md"),
        include_str!("../../../docs/ARCHITECTURE.md"),
        include_str!("../../../docs/config.md"),
        include_str!("../../../docs/storage.md"),
        include_str!("../../../docs/search.md"),
        include_str!("../../../docs/identity.md"),
        include_str!("../../../docs/oauth.md"),
    ];
    for text in ours {
        let (out, report) = filter.redact(text.as_bytes());
        let out = String::from_utf8_lossy(&out);
        let changed = text.lines().zip(out.lines()).find(|(before, after)| before != after);
        assert_eq!(report.counts().collect::<Vec<_>>(), [], "{changed:?}");
        assert_eq!(out, text);
    }
}
