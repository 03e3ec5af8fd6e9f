//! The client against servers on loopback, and against resolvers that lie.

use super::*;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers from a table, and counts.
#[derive(Clone, Default)]
struct Table {
    names: Arc<HashMap<&'static str, Vec<&'static str>>>,
    asked: Arc<AtomicUsize>,
}

impl Table {
    fn new<const N: usize>(names: [(&'static str, &[&'static str]); N]) -> Table {
        let names = names.into_iter().map(|(name, addresses)| (name, addresses.to_vec())).collect();
        Table { names: Arc::new(names), asked: Arc::default() }
    }
}

impl Resolver for Table {
    fn addresses(&self, host: &str) -> Resolution {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let found = self.names.get(host).map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
        Box::pin(async { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

fn client(table: &Table, loopback: bool, allow: &[&str]) -> Outgoing {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    // Special addresses that are let are not reached here: the attempt ends soon.
    let connect_timeout = Duration::from_millis(200);
    let settings = OutgoingSettings { loopback, allow, connect_timeout, ..OutgoingSettings::default() };
    Outgoing::new(settings, table.clone()).unwrap()
}

/// A server that answers with `answer`; its port, and how many requests it got.
async fn server<F>(answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>)
where
    F: Future<Output = Response> + Send + 'static,
{
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let handler = move |request: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        answer(request)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().fallback(any(handler));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (port, got)
}

fn get(url: &str) -> OutgoingRequest {
    OutgoingRequest::new(Method::GET, url.parse().unwrap())
}

async fn refusal(client: &Outgoing, url: &str) -> OutgoingError {
    client.fetch(get(url)).await.unwrap_err()
}

#[tokio::test]
async fn a_name_is_resolved_once_and_its_address_is_connected_to() {
    let (port, got) =
        server(
            |request: Request| async move { request.headers()["host"].to_str().unwrap().to_owned().into_response() },
        )
        .await;
    // The name exists in the table alone; the address that is not let comes first.
    let table = Table::new([("api.example", &["10.0.0.1", "127.0.0.1"])]);
    let client = client(&table, true, &[]);
    let url = format!("http://api.example:{port}/");
    let answer = client.fetch(get(&url)).await.unwrap();
    assert_eq!((answer.status, answer.body), (StatusCode::OK, format!("api.example:{port}").into_bytes()));
    client.fetch(get(&url)).await.unwrap();
    let counts = (table.asked.load(Ordering::Relaxed), got.load(Ordering::Relaxed));
    assert_eq!(counts, (1, 2), "the second request goes over the connection whose address was judged");
}

#[tokio::test]
async fn addresses_that_are_special_are_refused_before_anybody_connects() {
    let (port, got) = server(|_| async { "secret".into_response() }).await;
    let table = Table::new([
        ("loop.example", &["127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("metadata.example", &["169.254.169.254"]),
        ("private.example", &["10.0.0.1", "192.168.0.1"]),
        ("none.example", &[]),
    ]);
    let outside = client(&table, false, &[]);
    let names = ["loop.example", "mapped.example", "metadata.example", "private.example"];
    for (name, range) in names.into_iter().zip([Range::Loopback, Range::Loopback, Range::Metadata, Range::Private]) {
        let error = refusal(&outside, &format!("https://{name}:{port}/")).await;
        assert_eq!(error, OutgoingError::Address { host: name.to_owned(), range });
        assert!(error.to_string().contains(&format!("its address is {range}")), "{error}");
    }
    for name in ["none.example", "unknown.example"] {
        let error = refusal(&outside, &format!("https://{name}/")).await;
        assert_eq!(error, OutgoingError::Unresolved { host: name.to_owned() });
    }
    // However an address is spelled.
    for literal in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let error = refusal(&outside, &format!("https://{literal}:{port}/")).await;
        assert!(matches!(error, OutgoingError::Address { range: Range::Loopback, .. }), "{literal}: {error}");
    }
    // Even where loopback is let, nothing else is, and http goes nowhere else.
    let inside = client(&table, true, &["private.example"]);
    let error = refusal(&inside, &format!("https://metadata.example:{port}/")).await;
    assert!(matches!(error, OutgoingError::Address { range: Range::Metadata, .. }));
    for url in ["http://private.example/", "http://8.8.8.8/", "http://metadata.example/"] {
        assert!(matches!(refusal(&inside, url).await, OutgoingError::Plain { .. }), "{url}");
    }
    let error = refusal(&inside, "https://private.example:1/").await;
    assert!(matches!(error, OutgoingError::Unreachable { .. } | OutgoingError::TimedOut { .. }), "{error}");
    assert_eq!(got.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn urls_that_are_none_are_refused() {
    let client = client(&Table::default(), false, &[]);
    let long = format!("https://x.example/{}", "a".repeat(URL_BYTES_MAX));
    for url in [
        "http://x.example/",
        "ftp://x.example/",
        "file:///etc/passwd",
        "https://u:p@x.example/",
        "https://u@x.example/",
        &long,
    ] {
        let error = refusal(&client, url).await;
        assert!(matches!(error, OutgoingError::Url(_)), "{url}: {error}");
        assert_eq!(client.permits(&url.parse().unwrap()), Err(error));
    }
    assert!(client.permits(&"https://x.example/".parse().unwrap()).is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, got) = server(|_| async { "".into_response() }).await;
    let location = format!("http://127.0.0.1:{elsewhere}/");
    let (port, _) = server(move |_| {
        let location = location.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response() }
    })
    .await;
    let client = client(&Table::default(), true, &[]);
    let url = format!("http://127.0.0.1:{port}/");
    assert!(matches!(refusal(&client, &url).await, OutgoingError::Redirect { status: 307, .. }));
    let answer = client.fetch(OutgoingRequest { redirects: Redirects::Pass, ..get(&url) }).await.unwrap();
    assert!(answer.status == 307 && answer.headers.contains_key("location"));
    assert_eq!(got.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn answers_are_bounded() {
    let (port, _) = server(|request: Request| async move {
        let endless = || futures_of(std::iter::repeat_n(Bytes::from_static(&[b'x'; 1_000]), 50));
        match request.uri().path() {
            "/declared" => vec![b'x'; 50_000].into_response(),
            "/chunked" => endless().into_response(),
            "/header" => [("x-large", "y".repeat(ANSWER_HEADER_BYTES_MAX))].into_response(),
            "/silent" => std::future::pending().await,
            "/stalls" => Body::new(Stalls(false)).into_response(),
            path => path.to_owned().into_response(),
        }
    })
    .await;
    let client = client(&Table::default(), true, &[]);
    let ask = |path: &str| OutgoingRequest {
        answer_bytes_max: 10_000,
        timeout: Duration::from_millis(300),
        ..get(&format!("http://127.0.0.1:{port}{path}"))
    };
    for path in ["/declared", "/chunked"] {
        let error = client.fetch(ask(path)).await.unwrap_err();
        assert!(matches!(error, OutgoingError::Large { bytes_max: 10_000, .. }), "{path}: {error}");
    }
    assert_eq!(
        client.fetch(OutgoingRequest { answer_bytes_max: 50_000, ..ask("/chunked") }).await.unwrap().body.len(),
        50_000
    );
    assert!(matches!(client.fetch(ask("/header")).await.unwrap_err(), OutgoingError::Headers { .. }));
    for path in ["/silent", "/stalls"] {
        let error = client.fetch(ask(path)).await.unwrap_err();
        assert!(matches!(error, OutgoingError::TimedOut { .. }), "{path}: {error}");
    }
    assert_eq!(client.fetch(ask("/good")).await.unwrap().body, b"/good");
}

/// A body of these chunks, of a length that nobody knows.
fn futures_of(chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(tokio_stream::iter(chunks.map(Ok::<_, io::Error>)))
}

/// A body that begins and never ends.
struct Stalls(bool);

impl HttpBody for Stalls {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        match std::mem::replace(&mut self.0, true) {
            false => Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"begins"))))),
            true => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn what_is_sent_is_streamed_and_bounded() {
    let (port, _) = server(|request: Request| async move {
        let chunked = request.headers().contains_key("transfer-encoding");
        match axum::body::to_bytes(request.into_body(), 1 << 20).await {
            Ok(body) => format!("{chunked} {}", body.len()).into_response(),
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        }
    })
    .await;
    let client = client(&Table::default(), true, &[]);
    let url = format!("http://127.0.0.1:{port}/");
    let ask = |body: Body| OutgoingRequest { method: Method::POST, body, body_bytes_max: 10_000, ..get(&url) };
    let chunks = |count| futures_of(std::iter::repeat_n(Bytes::from_static(&[b'x'; 1_000]), count));
    assert_eq!(client.fetch(ask(chunks(10))).await.unwrap().body, b"true 10000");
    assert_eq!(client.fetch(ask(Body::from("12345"))).await.unwrap().body, b"false 5");
    assert_eq!(client.fetch(ask(Body::empty())).await.unwrap().body, b"false 0");
    assert!(matches!(client.fetch(ask(chunks(11))).await.unwrap_err(), OutgoingError::Sent { .. }));
}

#[tokio::test]
async fn nobody_there_is_told_without_the_url() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = client(&Table::default(), true, &[]);
    let error = refusal(&client, &format!("http://{free}/secret-path?key=secret")).await;
    assert_eq!(error, OutgoingError::Unreachable { host: "127.0.0.1".to_owned() });
    for pem in ["-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "", "no certificate"] {
        let bad = OutgoingSettings { authorities: Some(pem.into()), ..OutgoingSettings::default() };
        assert!(matches!(Outgoing::new(bad, SystemResolver).unwrap_err(), OutgoingStartError::Authorities), "{pem}");
    }
}

#[tokio::test]
async fn this_machine_is_asked_where_the_allow_list_names_it() {
    let (port, got) = server(|_| async { "here".into_response() }).await;
    let table = Table::new([("localhost", &["127.0.0.1"]), ("private.example", &["10.0.0.1"])]);
    for (entry, url) in
        [("127.0.0.1", "http://127.0.0.1"), ("localhost", "http://localhost"), ("127.0.0.0/8", "http://localhost")]
    {
        let client = client(&table, false, &[entry]);
        assert_eq!(client.fetch(get(&format!("{url}:{port}/"))).await.unwrap().body, b"here", "{entry}");
        // And nothing else is let, nor is http elsewhere.
        let error = refusal(&client, "https://private.example/").await;
        assert!(matches!(error, OutgoingError::Address { range: Range::Private, .. }), "{entry}: {error}");
        assert!(matches!(refusal(&client, "http://private.example/").await, OutgoingError::Plain { .. }), "{entry}");
    }
    let other = client(&table, false, &["10.0.0.0/8"]);
    assert!(matches!(refusal(&other, &format!("http://127.0.0.1:{port}/")).await, OutgoingError::Url(_)));
    assert_eq!(got.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn where_the_engine_itself_listens_is_never_asked() {
    let (own, got) = server(|_| async { "engine".into_response() }).await;
    let (other, _) = server(|_| async { "other".into_response() }).await;
    let table = Table::new([
        ("localhost", &["127.0.0.1"]),
        ("loop.example", &["127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("zero.example", &["0.0.0.0"]),
        ("both.example", &["::1", "127.0.0.1"]),
        ("elsewhere.example", &["10.0.0.1"]),
    ]);
    let allow: Vec<Allowed> =
        ["localhost", "127.0.0.0/8", "::1", "0.0.0.0/0", "::/0"].iter().map(|entry| entry.parse().unwrap()).collect();
    let settings =
        OutgoingSettings { allow, connect_timeout: Duration::from_millis(200), ..OutgoingSettings::default() };
    let listeners = [SocketAddr::from(([127, 0, 0, 1], own)), SocketAddr::from(([127, 0, 0, 1], 1))];
    let client = Outgoing::apart_from(&listeners, settings.clone(), table.clone()).unwrap();
    for port in [own, 1] {
        for host in ["127.0.0.1", "127.1", "localhost", "loop.example", "mapped.example", "both.example", "[::1]"] {
            for scheme in ["http", "https"] {
                let error = refusal(&client, &format!("{scheme}://{host}:{port}/stores")).await;
                assert_eq!(error, OutgoingError::Url(OWN), "{scheme}://{host}:{port}");
            }
        }
        for host in ["0.0.0.0", "zero.example", "[::ffff:7f00:1]"] {
            let error = refusal(&client, &format!("https://{host}:{port}/stores")).await;
            assert_eq!(error, OutgoingError::Url(OWN), "{host}");
        }
        // The port alone is no reason.
        let error = refusal(&client, &format!("https://elsewhere.example:{port}/")).await;
        assert!(matches!(error, OutgoingError::Unreachable { .. } | OutgoingError::TimedOut { .. }), "{error}");
    }
    assert!(client.permits(&format!("http://127.0.0.1:{own}/").parse().unwrap()).is_err());
    assert_eq!(got.load(Ordering::Relaxed), 0, "nobody connected");
    // Other servers of this machine are asked, and without the list of our own so is this one.
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(client.fetch(get(&format!("http://{host}:{other}/"))).await.unwrap().body, b"other", "{host}");
    }
    let without = Outgoing::new(settings, table).unwrap();
    assert_eq!(without.fetch(get(&format!("http://loop.example:{own}/"))).await.unwrap().body, b"engine");
}

#[test]
fn a_listener_is_found_at_every_address_that_is_its_own() {
    let guard = |own: &str| Guard {
        resolver: Arc::new(Table::default()),
        allow: Arc::default(),
        loopback: true,
        plain: false,
        own: Arc::new([own.parse().unwrap()]),
    };
    let is_own = |own: &str, address: &str| guard(own).is_own(address.parse().unwrap());
    assert!(is_own("10.0.0.5:8080", "10.0.0.5") && is_own("10.0.0.5:8080", "::ffff:10.0.0.5"));
    assert!(is_own("10.0.0.5:8080", "127.0.0.1") && !is_own("10.0.0.5:8080", "10.0.0.6"));
    assert!(is_own("0.0.0.0:8080", "127.0.0.1") && is_own("[::]:8080", "::1"));
    assert!(!is_own("0.0.0.0:8080", "192.0.2.1") && !is_own("[::]:8080", "192.0.2.1"));
    // The address with which this machine goes elsewhere, where it has one.
    let way = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:1").and(socket.local_addr()));
    if let Ok(address) = way.map(|way| way.ip().to_string()) {
        assert!(is_own("0.0.0.0:8080", &address) && is_own("[::]:8080", &address), "{address}");
    }
}

#[tokio::test]
async fn what_an_administrator_may_reach_no_stranger_does() {
    let (port, got) = server(|_| async { "within".into_response() }).await;
    let table = Table::new([("crm.corp.example", &["127.0.0.1"])]);
    let url = format!("http://crm.corp.example:{port}/");
    let with = |allow: &str, allow_strangers: &[&str]| {
        let allow_strangers = allow_strangers.iter().map(|entry| entry.parse().unwrap()).collect();
        let settings =
            OutgoingSettings { allow: vec![allow.parse().unwrap()], allow_strangers, ..OutgoingSettings::default() };
        Outgoing::new(settings, table.clone()).unwrap()
    };
    let client = with("localhost", &[]);
    assert_eq!(client.fetch(get(&url)).await.unwrap().body, b"within");
    for client in [client.for_strangers(), client.for_strangers().for_strangers()] {
        assert_eq!(refusal(&client, &url).await, OutgoingError::Url("it is no https URL"));
        let error = refusal(&client, &format!("https://crm.corp.example:{port}/")).await;
        assert!(matches!(error, OutgoingError::Address { range: Range::Loopback, .. }), "{error}");
    }
    assert_eq!(got.load(Ordering::Relaxed), 1);
    let client = with("10.1.2.3", &["localhost"]);
    assert_eq!(client.for_strangers().fetch(get(&url)).await.unwrap().body, b"within");
    assert_eq!(refusal(&client, &url).await, OutgoingError::Url("it is no https URL"));
}
