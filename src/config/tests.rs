//! Precedence, names, and what is refused.

use super::*;

fn said(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&Path>) -> Said {
    let own = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Said { flags: own(flags), variables: own(variables), file: file.map(Path::to_owned) }
}

fn read(flags: &[(&str, &str)], variables: &[(&str, &str)], text: &str) -> Result<Settings, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.yaml");
    std::fs::write(&file, text).unwrap();
    Settings::read(&said(flags, variables, Some(&file)))
}

fn value(settings: &Settings, name: &str) -> (String, String) {
    let at = SETTINGS.iter().position(|s| s.name == name).unwrap();
    let source = settings.sources[at].to_string();
    let source = source.rsplit('/').next().unwrap().to_owned();
    ((SETTINGS[at].show)(&settings.config), source)
}

#[test]
fn defaults_can_be_read_and_are_within_their_bounds() {
    let settings = read(&[], &[], "").unwrap();
    for (setting, source) in SETTINGS.iter().zip(&settings.sources) {
        assert_eq!((setting.show)(&settings.config), setting.default, "{}", setting.name);
        assert_eq!(*source, Source::Default);
    }
    assert!(SETTINGS.len() <= 64, "a setting nobody needs costs everybody");
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = "resolve-node-limit: 5\nplans-max: 7\nmax-tuples-per-write: 9\n";
    let environment = [
        ("BAILIWICK_PLANS_MAX", "70"),
        ("BAILIWICK_MAX_TUPLES_PER_WRITE", "90"),
        ("OPENFGA_MAX_TUPLES_PER_WRITE", "91"),
    ];
    let settings = read(&[("max-tuples-per-write", "900")], &environment, file).unwrap();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(value(&settings, "resolve-node-limit"), pair("5", "settings.yaml:1"));
    assert_eq!(value(&settings, "plans-max"), pair("70", "BAILIWICK_PLANS_MAX"));
    assert_eq!(value(&settings, "max-tuples-per-write"), pair("900", "--max-tuples-per-write"));
    assert_eq!(value(&settings, "sync"), pair("true", "default"));
    let settings = read(&[], &environment, file).unwrap();
    assert_eq!(value(&settings, "max-tuples-per-write"), pair("90", "BAILIWICK_MAX_TUPLES_PER_WRITE"));
}

#[test]
fn openfga_names_mean_the_same() {
    let file =
        "http:\n  addr: 127.0.0.1:1\n  corsAllowedOrigins: [a, b]\nlistObjectsDeadline: 2s\nlog: {format: json}\n";
    let environment = [("OPENFGA_LISTUSERSDEADLINE", "4s"), ("OPENFGA_LOG_LEVEL", "none")];
    let settings = read(&[("listObjects-max-results", "5")], &environment, file).unwrap();
    let shown = |name| value(&settings, name).0;
    assert_eq!(shown("http-addr"), "127.0.0.1:1");
    assert_eq!(shown("http-cors-allowed-origins"), "a,b");
    assert_eq!(shown("list-objects-deadline"), "2s");
    assert_eq!(shown("list-users-deadline"), "4s");
    assert_eq!(shown("list-objects-max-results"), "5");
    assert_eq!(shown("log-format"), "json");
    assert_eq!(shown("log-level"), "off");
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn what_means_nothing_here_is_said() {
    let environment =
        [("OPENFGA_DATASTORE_URI", "postgres://u:secret@h/d"), ("OPENFGA_CHECK_QUERY_CACHE_ENABLED", "true")];
    let settings = read(&[("playground-enabled", "true")], &environment, "profiler: {enabled: true}\n").unwrap();
    assert_eq!(settings.warnings.len(), 4, "{:?}", settings.warnings);
    for (warning, word) in settings.warnings.iter().zip(["perf", "import", "never stale", "demo"]) {
        assert!(warning.contains(word), "{warning}");
        assert!(!warning.contains("secret"), "{warning}");
    }
    let quiet =
        [("OPENFGA_PLAYGROUND_ENABLED", "false"), ("OPENFGA_AUTHN_METHOD", "none"), ("OPENFGA_HTTP_ENABLED", "true")];
    assert_eq!(read(&[], &quiet, "").unwrap().warnings, Vec::<String>::new());
    let unknown =
        [("BAILIWICK_PLAN_MAX", "1"), ("BAILIWICK_PORT", "tcp://10.0.0.1:80"), ("BAILIWICK_SERVICE_HOST", "x")];
    let settings = read(&[], &unknown, "").unwrap();
    assert_eq!(settings.warnings, ["BAILIWICK_PLAN_MAX is not known and has no effect; did you mean `plans-max`?"]);
}

#[test]
fn what_would_be_unsafe_is_refused() {
    for (name, given, says) in [
        ("OPENFGA_AUTHN_METHOD", "oidc", "(`oidc`) are not taken"),
        ("OPENFGA_AUTHN_OIDC_ISSUER", "https://id.example", "unsafe"),
        ("OPENFGA_HTTP_TLS_ENABLED", "true", "say `tls-cert` and `tls-key`"),
        ("OPENFGA_ACCESS_CONTROL_ENABLED", "true", "unsafe"),
    ] {
        let error = read(&[], &[(name, given)], "").err().unwrap().to_string();
        assert!(error.contains(says) && error.starts_with(name), "{error}");
    }
}

#[test]
fn preshared_keys_are_read_as_openfga_has_them_and_never_shown() {
    let file = "authn:\n  method: preshared\n  preshared:\n    keys: [key-one, key-two]\n";
    let variables = [("OPENFGA_AUTHN_METHOD", "preshared"), ("OPENFGA_AUTHN_PRESHARED_KEYS", "key-one, key-two")];
    for settings in [read(&[], &variables, "").unwrap(), read(&[], &[], file).unwrap()] {
        assert_eq!(settings.config.authn_preshared_keys.0, ["key-one", "key-two"]);
        assert_eq!(value(&settings, "authn-method").0, "preshared");
        assert_eq!(value(&settings, "authn-preshared-keys").0, "(2 hidden)");
    }
}

#[test]
fn a_faulty_file_is_pointed_at() {
    for (text, expect) in [
        (
            "sync: true\nresolve-node-limits: 3\n",
            ":2: there is no setting `resolve-node-limits`; did you mean `resolve-node-limit`?",
        ),
        ("colour: blue\n", ":1: there is no setting `colour`; `bailiwick config` prints all there are"),
        ("sync: maybe\n", ":1: `maybe` does not do for `sync`; write `true` or `false`"),
        ("a\n---\nb\n", ":1: write settings as `name: value`"),
        ("sync: true\nsync: false\n", "duplicated key"),
        ("sync: [\n", "this is no YAML"),
        ("http: {addr: {a: {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}}}\n", "nested deeper"),
        ("request-timeout: 3\n", "write a time with its unit"),
        ("max-tuples-per-write: 0\n", "1 to 10000"),
    ] {
        let error = read(&[], &[], text).err().unwrap_or_else(|| panic!("{text:?} was taken")).to_string();
        assert!(error.contains(expect), "{text:?} gives {error}");
    }
    let missing = Settings::read(&said(&[], &[], Some(Path::new("/nowhere/x.yaml")))).err().unwrap().to_string();
    assert!(missing.contains("/nowhere/x.yaml"), "{missing}");
}

#[test]
fn the_embedding_endpoint_is_set_without_showing_a_secret() {
    let file = "embedding:\n  url: https://x.example/v1/embeddings\n  model: m\n  keyFile: /run/key\n  timeout: 2s\n";
    let settings = read(&[], &[(KEY_VARIABLE, "sk-secret")], file).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
    for (name, expected) in [
        ("embedding-url", "https://x.example/v1/embeddings"),
        ("embedding-model", "m"),
        ("embedding-key-file", "/run/key"),
        ("embedding-timeout", "2s"),
    ] {
        assert_eq!(value(&settings, name).0, expected);
    }
    assert!(SETTINGS.iter().all(|s| !(s.show)(&settings.config).contains("secret")));
    for faulty in ["embedding-key: sk-secret\n", "embedding-url: https://user:sk-secret@x/\n"] {
        let error = read(&[], &[], faulty).err().unwrap().to_string();
        assert!(error.contains("embedding-") && !error.contains("secret"), "{error}");
    }
}
