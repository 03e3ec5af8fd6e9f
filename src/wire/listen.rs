//! Listeners of ours: connections in the clear, or with TLS that ends here, and what bounds them.
//!
//! Whoever connects is work before it is known who they are. So a listener has at most [`CONNECTIONS_MAX`] connections, those
//! in a handshake included; what is beyond waits in the system's queue, where it costs nothing. A handshake, the head of a
//! request and a write that gets nowhere each have their time. A connection is handed on when its handshake is done, so that a
//! slow one holds up no other.

use super::blocking;
use crate::identity::ClientCertificate;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Most connections of one listener at a time.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request over HTTP/1.1 may take to come, from when the connection is ready for it. It is also how long
/// a connection may rest between two requests: longer than the pools of common clients keep theirs, so that these end first.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long nothing of an answer may be taken before the connection is given up.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a peer over HTTP/2 is asked whether it is still there, and how long it may take to say so.
pub const ALIVE_EVERY: Duration = Duration::from_secs(60);
/// See [`ALIVE_EVERY`].
pub const ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a listener waits that cannot accept, because the system has no more files for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their address.
    pub address: IpAddr,
    /// The certificate that they have shown, and whose key they hold.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// How a listener speaks TLS.
pub trait Secure: Send + Sync {
    /// The configuration that is in force for the next handshake.
    fn config(&self) -> Arc<ServerConfig>;

    /// Whether an authority that is trusted for clients has signed the first of a chain, and it is good now.
    fn trusts(&self, chain: &[CertificateDer<'static>]) -> bool;
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// A connection. What writes to it fails with `TimedOut` when the other side has taken nothing for [`WRITE_TIMEOUT`].
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Runs while the other side takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    _place: OwnedSemaphorePermit,
}

macro_rules! stream {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.stream {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Secure(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl Connection {
    /// What a write has come to, unless it waits for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, done: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the other side takes nothing")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        stream!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let done = stream!(self, stream => stream.poll_write(cx, bytes));
        self.in_time(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let done = stream!(self, stream => stream.poll_write_vectored(cx, parts));
        self.in_time(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Stream::Secure(stream) = &mut self.stream else {
            return Poll::Ready(Ok(())); // a socket keeps nothing back, and this tells nothing of the other side
        };
        let done = Pin::new(&mut **stream).poll_flush(cx);
        self.in_time(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let done = stream!(self, stream => stream.poll_shutdown(cx));
        self.in_time(cx, done)
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

/// A listener whose connections are ready to be served. It stops listening when it is dropped.
pub struct Listener {
    ready: mpsc::Receiver<(Connection, Peer)>,
    accepting: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener {
    /// Listens, with TLS when it is said how.
    #[must_use]
    pub fn new(socket: TcpListener, secure: Option<Arc<dyn Secure>>) -> Listener {
        Listener::bounded(socket, secure, (CONNECTIONS_MAX, WRITE_TIMEOUT))
    }

    fn bounded(socket: TcpListener, secure: Option<Arc<dyn Secure>>, bounds: (usize, Duration)) -> Listener {
        let (sender, ready) = mpsc::channel(1);
        Listener { ready, accepting: tokio::spawn(accept(socket, secure, sender, bounds)).abort_handle() }
    }
}

async fn accept(
    socket: TcpListener,
    secure: Option<Arc<dyn Secure>>,
    ready: mpsc::Sender<(Connection, Peer)>,
    (connections_max, write_timeout): (usize, Duration),
) {
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, address) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if gone(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted; it is tried again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers must not wait for the acknowledgement of those before; one that cannot is served all the same.
        drop(stream.set_nodelay(true));
        let connection = move |stream| Connection { stream, stalled: None, write_timeout, _place: place };
        let Some(secure) = &secure else {
            let peer = Peer { address: address.ip(), certificate: None };
            if ready.send((connection(Stream::Plain(stream)), peer)).await.is_err() {
                return;
            }
            continue;
        };
        let (secure, ready) = (Arc::clone(secure), ready.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(stream, &secure, address.ip())).await;
            match shaken.unwrap_or_else(|_| Err("it took too long".to_owned())) {
                Ok((stream, peer)) => {
                    let _ = ready.send((connection(Stream::Secure(Box::new(stream))), peer)).await; // nobody serves any more
                }
                Err(reason) => tracing::debug!(address = %address.ip(), reason, "a TLS handshake failed"),
            }
        });
    }
}

async fn shake_hands(
    stream: TcpStream,
    secure: &Arc<dyn Secure>,
    address: IpAddr,
) -> Result<(TlsStream<TcpStream>, Peer), String> {
    let stream = TlsAcceptor::from(secure.config()).accept(stream).await.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    let Some(chain) = chain else { return Ok((stream, Peer { address, certificate: None })) };
    let secure = Arc::clone(secure);
    let judged = move || ClientCertificate::read(chain.first()?, secure.trusts(&chain));
    let certificate = blocking(judged).await.flatten().ok_or("the certificate of the client is malformed")?;
    Ok((stream, Peer { address, certificate: Some(Arc::new(certificate)) }))
}

/// Whether a connection went before it was accepted, which is nobody's fault here.
fn gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

/// For a gRPC server.
impl tokio_stream::Stream for Listener {
    type Item = std::io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.ready.poll_recv(cx)).map(|(connection, _)| Ok(connection)))
    }
}

/// Serves HTTP/1.1 and HTTP/2 until told to stop, then until all that is under way is answered. `facing` makes the service of a
/// connection, which is always ready: routes have no queue of their own.
pub async fn serve_http<S>(mut listener: Listener, facing: impl Fn(Peer) -> S, stop: impl Future<Output = ()>)
where
    S: tower::Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(ALIVE_EVERY).keep_alive_timeout(ALIVE_TIMEOUT);
    let (stopping, stopped) = watch::channel(());
    let (open, mut ended) = mpsc::channel::<Infallible>(1);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.ready.recv() => accepted,
            () = &mut stop => None,
        };
        let Some((connection, peer)) = accepted else { break };
        let service = facing(peer);
        let answer = service_fn(move |request: hyper::Request<Incoming>| service.clone().call(request.map(Body::new)));
        let (server, open, mut stopped) = (server.clone(), open.clone(), stopped.clone());
        tokio::spawn(async move {
            let _open = open;
            let mut served = pin!(server.serve_connection(TokioIo::new(connection), answer));
            let done = tokio::select! {
                done = served.as_mut() => done,
                _ = stopped.changed() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(error) = done {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    drop((listener, stopping, open));
    let _ = ended.recv().await; // nothing is ever sent: it returns when the last connection is gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::io::{Read as _, Write as _};
    use std::net::SocketAddr;

    /// Serves until what is answered is dropped.
    async fn served(routes: Router, bounds: (usize, Duration)) -> (SocketAddr, watch::Sender<()>) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, mut stopped) = watch::channel(());
        let stopped = async move { drop(stopped.changed().await) };
        tokio::spawn(serve_http(Listener::bounded(socket, None, bounds), move |_| routes.clone(), stopped));
        (address, stop)
    }

    fn asked(address: SocketAddr) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream
    }

    fn status(stream: &mut std::net::TcpStream) -> [u8; 12] {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        start
    }

    /// Tells when it is dropped.
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.take().map(|tell| tell.send(()));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_takes_nothing_of_an_answer_is_given_up() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let told_by = Arc::new(parking_lot::Mutex::new(Some(Told(Some(tell)))));
        let answer = move || {
            let held = told_by.lock().take();
            async move {
                // More than any socket buffers, and without an end.
                let endless = tokio_stream::iter(std::iter::repeat_with(move || {
                    let _held = &held;
                    Ok::<_, Infallible>(vec![0_u8; 1 << 16])
                }));
                Body::from_stream(endless)
            }
        };
        let bounds = (8, Duration::from_millis(50));
        let (address, _stop) = served(Router::new().route("/", get(answer)), bounds).await;
        let stream = tokio::task::spawn_blocking(move || asked(address)).await.unwrap();
        told.await.unwrap(); // the answer is gone although nobody hung up
        drop(stream);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_more_than_the_most_waits_until_another_is_gone() {
        let routes = Router::new().route("/", get(|| async { "" }));
        let (address, _stop) = served(routes, (1, WRITE_TIMEOUT)).await;
        let done = tokio::task::spawn_blocking(move || {
            let mut first = asked(address);
            assert_eq!(&status(&mut first), b"HTTP/1.1 200");
            let mut second = asked(address);
            second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(second.read(&mut [0; 1]).is_err(), "nobody serves it yet");
            second.set_read_timeout(None).unwrap();
            drop(first);
            assert_eq!(&status(&mut second), b"HTTP/1.1 200");
        });
        done.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_under_way_is_answered_before_it_ends() {
        let (go, gone) = watch::channel(false);
        let (came, mut coming) = mpsc::channel(1);
        let answer = move || {
            let (mut gone, came) = (gone.clone(), came.clone());
            async move {
                came.send(()).await.unwrap();
                gone.wait_for(|go| *go).await.unwrap();
                "the end"
            }
        };
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let routes = Router::new().route("/", get(answer));
        let serving = tokio::spawn(serve_http(Listener::new(socket, None), move |_| routes.clone(), async {
            drop(stopped.await)
        }));
        let asking = tokio::task::spawn_blocking(move || {
            let mut answer = String::new();
            asked(address).read_to_string(&mut answer).unwrap();
            answer
        });
        coming.recv().await.unwrap();
        drop(stop);
        // Whoever comes now is not let in, and who is here is not sent away.
        go.send(true).unwrap();
        assert!(asking.await.unwrap().ends_with("the end"));
        serving.await.unwrap();
    }
}
