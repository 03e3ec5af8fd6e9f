//! The shapes of secrets that are removed whoever holds them.
//!
//! A shape is written so that ordinary text does not have it: it begins with letters that its issuer gives to secrets alone,
//! or stands behind a name that announces a secret and looks random. Identifiers, hashes and signed links stay.

/// Whether bytes are a secret, given the byte behind them.
type Judge = fn(&[u8], Option<u8>) -> bool;

/// A shape.
pub(super) struct Rule {
    /// How reports and marks name it. Stable.
    pub(super) id: &'static str,
    /// What it begins with, in any case of letters. One of them stands at its start.
    pub(super) anchors: &'static [&'static str],
    /// What announces the secret and stays, from the anchor on; empty when the anchor is a part of the secret.
    pub(super) name: &'static str,
    /// The secret.
    pub(super) secret: &'static str,
    /// Which bytes of this shape are a secret. Without it all are.
    pub(super) judge: Option<Judge>,
}

/// A token of an issuer, known by its first letters.
const fn token(id: &'static str, anchors: &'static [&'static str], secret: &'static str) -> Rule {
    Rule { id, anchors, name: "", secret, judge: None }
}

/// What stands between the lines of a key in a program's text.
const PRIVATE_KEY: &str = concat!(
    r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----",
    // Lines such as `Proc-Type: 4,ENCRYPTED`.
    r#"(?:[\s"',>#\\]{0,24}(?:Proc-Type|DEK-Info|Version|Comment): [ -~]{0,80}[\r\n])*"#,
    r#"(?:[\s"',>#\\]{0,24}[A-Za-z0-9+/]{16,}={0,2})*"#,
    r#"(?:[\s"',>#\\]{0,24}[A-Za-z0-9+/]{0,15}={0,2}(?:[\s"',>#\\]{0,24}=[A-Za-z0-9+/]{4})?"#,
    r#"[\s"',>#\\]{0,24}-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)?"#,
);

/// All rules. Of two that begin at the same byte, the first names what is removed.
pub(super) static RULES: &[Rule] = &[
    token("private-key", &["-----BEGIN "], PRIVATE_KEY),
    token("age-key", &["AGE-SECRET-KEY-1"], r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}"),
    // RFC 7515 and 7516 in their compact forms; the second part of one that is encrypted may be empty.
    token("jwt", &["eyJ"], r"\beyJ[\w-]{12,1024}\.\.?[\w-]{16,}(?:\.[\w-]+)*"),
    token("aws-access-key", &["AKIA", "ASIA", "ABIA", "ACCA"], r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    token("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\bgh[pousr]_[A-Za-z0-9_]{36,}"),
    token("github-token", &["github_pat_"], r"\bgithub_pat_[A-Za-z0-9_]{22,}"),
    token(
        "gitlab-token",
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glimt-", "glft-"],
        r"\bgl(?:pat|dt|rt|ptt|cbt|soat|imt|ft)-[\w-]{20,}(?:\.[\w-]+)*",
    ),
    token("slack-token", &["xox"], r"\bxox[abeoprs]-[A-Za-z0-9-]{16,}"),
    token("slack-token", &["xapp-"], r"\bxapp-\d-[A-Za-z0-9-]{20,}"),
    token(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}",
    ),
    token("google-api-key", &["AIza"], r"\bAIza[\w-]{35,}"),
    token("google-oauth", &["ya29."], r"\bya29\.[\w-]{20,}"),
    token("google-oauth", &["1//0"], r"\b1//0[\w-]{30,}"),
    token("google-oauth", &["GOCSPX-"], r"\bGOCSPX-[\w-]{20,}"),
    token("stripe-key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_"], r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    token("stripe-key", &["whsec_"], r"\bwhsec_[A-Za-z0-9+/]{24,}={0,2}"),
    Rule {
        id: "anthropic-key",
        anchors: &["sk-ant-"],
        name: "",
        secret: r"\bsk-ant-[\w-]{20,256}",
        judge: Some(is_random),
    },
    Rule {
        id: "openai-key",
        anchors: &["sk-"],
        name: "",
        secret: r"\bsk-(?:(?:proj|svcacct|admin|or|lf)-[\w-]{20,256}|[A-Za-z0-9]{32,256})",
        judge: Some(is_random),
    },
    token("huggingface-token", &["hf_"], r"\bhf_[A-Za-z0-9]{30,}"),
    token("groq-key", &["gsk_"], r"\bgsk_[A-Za-z0-9]{40,}"),
    token("xai-key", &["xai-"], r"\bxai-[A-Za-z0-9]{60,}"),
    token("perplexity-key", &["pplx-"], r"\bpplx-[A-Za-z0-9]{40,}"),
    token("replicate-token", &["r8_"], r"\br8_[A-Za-z0-9]{36,}"),
    token("npm-token", &["npm_"], r"\bnpm_[A-Za-z0-9]{36,}"),
    token("pypi-token", &["pypi-AgEI"], r"\bpypi-AgEI[\w-]{40,}"),
    token("sendgrid-key", &["SG."], r"\bSG\.[\w-]{16,32}\.[\w-]{30,}"),
    token("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], r"\bdo[por]_v1_[a-f0-9]{64}"),
    token("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_"], r"\bshp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}"),
    token("databricks-token", &["dapi"], r"\bdapi[a-f0-9]{32}\b"),
    token("vault-token", &["hvs.", "hvb.", "hvr."], r"\bhv[sbr]\.[\w-]{24,}"),
    token("atlassian-token", &["ATATT3"], r"\bATATT3[\w=-]{60,}"),
    token("mailgun-key", &["key-"], r"\bkey-[a-f0-9]{32}\b"),
    token("twilio-key", &["SK"], r"\bSK[a-f0-9]{32}\b"),
    token("grafana-token", &["glsa_"], r"\bglsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    token("postman-key", &["PMAK-"], r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    token("linear-key", &["lin_api_"], r"\blin_api_[A-Za-z0-9]{40,}"),
    token("notion-token", &["ntn_"], r"\bntn_[A-Za-z0-9]{40,}"),
    token("docker-token", &["dckr_pat_"], r"\bdckr_pat_[\w-]{24,}"),
    token("rubygems-key", &["rubygems_"], r"\brubygems_[a-f0-9]{48}\b"),
    Rule {
        id: "crates-io-token",
        anchors: &["cio"],
        name: "",
        secret: r"\bcio[A-Za-z0-9]{32}\b",
        judge: Some(is_random),
    },
    token("square-token", &["sq0atp-", "sq0csp-"], r"\bsq0(?:atp|csp)-[\w-]{22,}"),
    // What stands before it is the token's id.
    Rule { id: "terraform-token", anchors: &["atlasv1."], name: r"\batlasv1\.", secret: r"[\w-]{60,}", judge: None },
    token("pulumi-token", &["pul-"], r"\bpul-[a-f0-9]{40}\b"),
    token("doppler-token", &["dp."], r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}"),
    token("airtable-token", &["pat"], r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b"),
    token("figma-token", &["figd_"], r"\bfigd_[\w-]{38,}"),
    token("grafana-token", &["glc_"], r"\bglc_eyJ[A-Za-z0-9+/]{40,}={0,2}"),
    token("newrelic-key", &["NRAK-"], r"\bNRAK-[A-Z0-9]{27}\b"),
    token("sentry-token", &["sntrys_", "sntryu_"], r"\bsntry[su]_[A-Za-z0-9_=+/-]{60,}"),
    token("planetscale-token", &["pscale_"], r"\bpscale_(?:tkn|pw|oauth)_[\w.-]{32,}"),
    token("supabase-token", &["sbp_"], r"\bsbp_[a-f0-9]{40}\b"),
    token("netlify-token", &["nfp_"], r"\bnfp_[A-Za-z0-9]{36,}"),
    token(
        "tailscale-key",
        &["tskey-"],
        r"\btskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{10,}(?:-[A-Za-z0-9]{20,})?",
    ),
    // What stands before it is the number of the bot. Public keys of SSH begin with `AAAA`.
    Rule {
        id: "telegram-token",
        anchors: &["AA"],
        name: "",
        secret: r"\bAA[B-Za-z0-9_-][\w-]{31}(?:\w\b|-)",
        judge: Some(is_random),
    },
    token("dropbox-token", &["sl."], r"\bsl\.(?:u\.)?[\w-]{100,}"),
    token("buildkite-token", &["bkua_"], r"\bbkua_[a-f0-9]{40}\b"),
    // RFC 9110, 11.6.2: a header of a request that somebody shows.
    Rule {
        id: "authorization",
        anchors: &["authorization"],
        name: r#"(?i)authorization['"`\]]{0,3}\s{0,2}[:=,]\s{0,2}['"`\[]{0,3}(?:bearer|basic|token|dpop)\s{1,2}"#,
        secret: r"[A-Za-z0-9_~+/.-][A-Za-z0-9_~+/.=-]{15,511}",
        judge: Some(is_random),
    },
    // RFC 3986, 3.2.1: `scheme://user:password@host`.
    Rule {
        id: "url-password",
        anchors: &["://"],
        name: r#"://[^\s/:@?#"'`<>\[\]()]{0,64}:"#,
        secret: r#"[^\s/:@?#"'`<>()$\{\}*]{3,128}"#,
        judge: Some(is_url_password),
    },
    Rule {
        id: "assigned-secret",
        anchors: &[
            "api_key",
            "api-key",
            "apikey",
            "secret",
            "password",
            "passwd",
            "access_token",
            "access-token",
            "accesstoken",
            "refresh_token",
            "refresh-token",
            "refreshtoken",
            "auth_token",
            "auth-token",
            "authtoken",
            "api_token",
            "api-token",
            "apitoken",
            "bot_token",
            "bot-token",
            "bottoken",
            "session_token",
            "session-token",
            "sessiontoken",
            "access_key",
            "access-key",
            "accesskey",
            "account_key",
            "account-key",
            "accountkey",
            "private_key",
            "private-key",
            "privatekey",
        ],
        name: concat!(
            r"(?i)(?:api[_-]?key|secret|passw(?:or)?d|(?:access|refresh|auth|api|bot|session)[_-]?token|(?:access|account|private)[_-]?key)",
            r"(?:[_.-]?(?:access|key|value|token|string|secret|production|prod|live|test|dev|staging|main|primary|\d{1,2})){0,3}",
            r#"['"`\]]{0,3}\s{0,4}(?::=|=>|[:=>])\s{0,4}['"`\[]{0,3}"#,
        ),
        secret: ASSIGNED,
        judge: Some(is_random),
    },
    // Variables of an environment. In small letters such names are those of cursors too (`page_token`).
    Rule {
        id: "assigned-secret",
        anchors: &["_TOKEN"],
        name: r#"_TOKEN(?:_(?:PRODUCTION|PROD|LIVE|TEST|DEV|STAGING|\d{1,2}))?['"`\]]{0,3}\s{0,4}(?::=|=>|[:=])\s{0,4}['"`\[]{0,3}"#,
        secret: ASSIGNED,
        judge: Some(is_random),
    },
];

/// What may be a secret behind a name.
const ASSIGNED: &str = r"[A-Za-z0-9_~+/.!@%^*-][A-Za-z0-9_~+/.!@%^*=-]{15,255}";

/// Parts of what stands in place of a secret in documentation.
const PLACEHOLDERS: [&str; 15] = [
    "example",
    "your",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "xxxx",
    "****",
    "redacted",
    "removed",
    "dummy",
    "sample",
    "insert",
    "abcdefgh",
    "12345678",
];
/// The least length of a part without punctuation that makes a text look random.
const RANDOM_RUN_MIN: usize = 12;
/// What stands in passwords and in no name, path or number.
const SPECIAL: &[u8] = b"!@%^*~";
/// The least Shannon entropy of what looks random, in bits of a byte.
const ENTROPY_MIN: f64 = 3.1;

/// Whether it looks drawn, and not chosen to be read: a long part that mixes letters and digits, or letters of all kinds as
/// generators of passwords mix them and no name does; few repetitions; and no word of those that stand in examples.
fn is_random(text: &[u8], _next: Option<u8>) -> bool {
    looks_drawn(text) && !is_placeholder(text)
}

/// The same, but that it may be an example.
pub(super) fn looks_drawn(text: &[u8]) -> bool {
    let mixed = |part: &[u8]| {
        part.len() >= RANDOM_RUN_MIN && part.iter().any(u8::is_ascii_digit) && part.iter().any(u8::is_ascii_alphabetic)
    };
    let has = |kind: fn(&u8) -> bool| text.iter().any(kind);
    let of_all_kinds = has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && text.iter().any(|byte| SPECIAL.contains(byte));
    let drawn = of_all_kinds || text.split(|byte| !byte.is_ascii_alphanumeric()).any(mixed);
    drawn && entropy(text) >= ENTROPY_MIN
}

fn is_url_password(text: &[u8], next: Option<u8>) -> bool {
    const NAMES: [&str; 5] = ["pass", "pw", "secret", "token", "user"];
    let lower = text.to_ascii_lowercase();
    next == Some(b'@') && !NAMES.iter().any(|name| lower.starts_with(name.as_bytes())) && !is_placeholder(text)
}

fn is_placeholder(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|part| lower.windows(part.len()).any(|window| window == part.as_bytes()))
}

/// Shannon's, over bytes.
#[expect(clippy::cast_precision_loss, reason = "a text of a few hundred bytes")]
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    let parts = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length);
    parts.map(|part| -part * part.log2()).sum()
}
