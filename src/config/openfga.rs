//! OpenFGA's settings that mean nothing here, or that would be unsafe to pass over. Those that mean the same are ours
//! already, by the same name or by an alias.

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Say what to use instead, and go on.
    Warn,
    /// Do not start: to serve without it would be unsafe.
    Refuse,
}

/// A family of settings with one fate.
pub(super) struct Foreign {
    /// The flags, as OpenFGA names them.
    pub(super) flags: &'static [&'static str],
    pub(super) verdict: Verdict,
    /// Why, and what to use.
    pub(super) advice: &'static str,
}

/// Values that ask for nothing: what OpenFGA does with them, we do as well.
const HARMLESS: [&str; 4] = ["", "none", "false", "0"];

impl Foreign {
    /// Whether the value asks for nothing.
    pub(super) fn harmless(&self, value: &str) -> bool {
        if self.flags.contains(&"http-enabled") { value == "true" } else { HARMLESS.contains(&value) }
    }
}

const CACHES: &str = "answers come from memory and are never stale, so there is no such cache to set; leave it out";
const DATASTORE: &str =
    "tuples are kept in the directory that `data` names; bring them in with `bailiwick import`, and leave it out";
const THROTTLING: &str = "a question costs no datastore reads to be throttled; bound it with `resolve-node-limit`, `visits-max` and `request-timeout`";

/// All of them.
pub(super) const FOREIGN: &[Foreign] = &[
    Foreign {
        flags: &[
            "authn-oidc-audience",
            "authn-oidc-issuer",
            "authn-oidc-issuer-aliases",
            "authn-oidc-subjects",
            "authn-oidc-client-id-claims",
        ],
        verdict: Verdict::Refuse,
        advice: "tokens of another issuer are not taken, and serving without what you ask for would be unsafe; use `authn-method` \
                 preshared, or certificates by `tls-client-ca`",
    },
    Foreign {
        flags: &["access-control-enabled", "access-control-store-id", "access-control-model-id"],
        verdict: Verdict::Refuse,
        advice: "access control on the API is not there yet, and serving without it would be unsafe; leave it out and put a \
                 proxy in front",
    },
    Foreign {
        flags: &[
            "grpc-tls-enabled",
            "grpc-tls-cert",
            "grpc-tls-key",
            "http-tls-enabled",
            "http-tls-cert",
            "http-tls-key",
        ],
        verdict: Verdict::Refuse,
        advice: "all listeners speak TLS together; say `tls-cert` and `tls-key`",
    },
    Foreign {
        flags: &[
            "datastore-engine",
            "datastore-uri",
            "datastore-secondary-uri",
            "datastore-username",
            "datastore-password",
            "datastore-secondary-username",
            "datastore-secondary-password",
            "datastore-min-open-conns",
            "datastore-max-open-conns",
            "datastore-min-idle-conns",
            "datastore-max-idle-conns",
            "datastore-conn-max-idle-time",
            "datastore-conn-max-lifetime",
            "datastore-metrics-enabled",
            "datastore-grpc-addr",
            "datastore-grpc-tls-cert",
            "datastore-grpc-tls-key",
            "datastore-grpc-keepalive-time",
            "datastore-grpc-keepalive-timeout",
            "datastore-grpc-keepalive-permit-without-stream",
            "context-propagation-to-datastore",
        ],
        verdict: Verdict::Warn,
        advice: DATASTORE,
    },
    Foreign {
        flags: &["datastore-max-cache-size", "datastore-max-typesystem-cache-size"],
        verdict: Verdict::Warn,
        advice: "use `plans-max`, the number of compiled models that are kept",
    },
    Foreign {
        flags: &[
            "check-cache-limit",
            "check-query-cache-enabled",
            "check-query-cache-limit",
            "check-query-cache-ttl",
            "check-iterator-cache-enabled",
            "check-iterator-cache-max-results",
            "check-iterator-cache-ttl",
            "list-objects-iterator-cache-enabled",
            "list-objects-iterator-cache-max-results",
            "list-objects-iterator-cache-ttl",
            "cache-controller-enabled",
            "cache-controller-ttl",
            "cache-ttl-jitter-percentage",
            "shared-iterator-enabled",
            "shared-iterator-limit",
            "shared-iterator-ttl",
        ],
        verdict: Verdict::Warn,
        advice: CACHES,
    },
    Foreign {
        flags: &[
            "max-concurrent-reads-for-check",
            "max-concurrent-reads-for-list-objects",
            "max-concurrent-reads-for-list-users",
            "max-concurrent-checks-per-batch-check",
            "resolve-node-breadth-limit",
            "check-dispatch-throttling-enabled",
            "check-dispatch-throttling-frequency",
            "check-dispatch-throttling-threshold",
            "check-dispatch-throttling-max-threshold",
            "listObjects-dispatch-throttling-enabled",
            "listObjects-dispatch-throttling-frequency",
            "listObjects-dispatch-throttling-threshold",
            "listObjects-dispatch-throttling-max-threshold",
            "listUsers-dispatch-throttling-enabled",
            "listUsers-dispatch-throttling-frequency",
            "listUsers-dispatch-throttling-threshold",
            "listUsers-dispatch-throttling-max-threshold",
            "check-datastore-throttle-threshold",
            "check-datastore-throttle-duration",
            "listObjects-datastore-throttle-threshold",
            "listObjects-datastore-throttle-duration",
            "listUsers-datastore-throttle-threshold",
            "listUsers-datastore-throttle-duration",
            "planner-eviction-threshold",
            "planner-cleanup-interval",
        ],
        verdict: Verdict::Warn,
        advice: THROTTLING,
    },
    Foreign {
        flags: &["http-enabled"],
        verdict: Verdict::Warn,
        advice: "HTTP is always served; `http-addr` says where",
    },
    Foreign {
        flags: &["http-upstream-timeout"],
        verdict: Verdict::Warn,
        advice: "HTTP is served without a second hop; use `request-timeout`",
    },
    Foreign {
        flags: &["playground-enabled", "playground-port"],
        verdict: Verdict::Warn,
        advice: "there is no playground; `bailiwick demo` shows a small world",
    },
    Foreign {
        flags: &["profiler-enabled", "profiler-addr"],
        verdict: Verdict::Warn,
        advice: "there is no profiler to serve; run the binary under `perf record -g`",
    },
    Foreign {
        flags: &[
            "metrics-enabled",
            "metrics-addr",
            "metrics-enable-rpc-histograms",
            "request-duration-datastore-query-count-buckets",
            "request-duration-dispatch-count-buckets",
        ],
        verdict: Verdict::Warn,
        advice: "there are no Prometheus metrics yet; `bailiwick stats` prints what the database holds",
    },
    Foreign {
        flags: &[
            "trace-enabled",
            "trace-otlp-endpoint",
            "trace-otlp-tls-enabled",
            "trace-sample-ratio",
            "trace-service-name",
        ],
        verdict: Verdict::Warn,
        advice: "there is no tracing yet; the log has each request's id and time",
    },
    Foreign {
        flags: &["log-timestamp-format"],
        verdict: Verdict::Warn,
        advice: "log lines carry the time as RFC 3339 has it; leave it out",
    },
    Foreign {
        flags: &["experimentals"],
        verdict: Verdict::Warn,
        advice: "there are no experiments to turn on; leave it out",
    },
];
