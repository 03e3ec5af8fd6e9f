//! A person's browser: they open a URL, and it comes back to a port of this machine (RFC 8252 7.3). Or nobody's: redirects
//! are followed.

use super::super::Failure;
use super::Tells;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use bailiwick::identity::is_loopback;
use bailiwick::modules::mcp::client::{ClientError, Teller as _, Visited, Visitor, http};
use bailiwick::wire::Outgoing;
use std::net::TcpListener;
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use url::Url;

/// What the browser shows then.
const DONE: &str = "You can close this page, and go back to the terminal.";

/// See the file's head.
pub(super) struct Browser<'a> {
    redirect: Url,
    listener: TcpListener,
    follow: Option<&'a Outgoing>,
    teller: &'a Tells,
    wait: Duration,
}

impl<'a> Browser<'a> {
    /// Takes a port.
    pub(super) fn new(
        redirect: &Url,
        follow: Option<&'a Outgoing>,
        teller: &'a Tells,
        wait: Duration,
    ) -> Result<Browser<'a>, Failure> {
        let mut redirect = redirect.clone();
        let fine = redirect.scheme() == "http" && is_loopback(&redirect) && redirect.query().is_none();
        if !fine || redirect.fragment().is_some() {
            let text = "--redirect-uri is an http URL of this machine without a query, as http://127.0.0.1/callback: there a browser \
                        comes back to";
            return Err(Failure::Said(text.into()));
        }
        let taken =
            |error| Failure::Said(format!("{redirect} cannot be listened at: {error}; say another --redirect-uri"));
        let addresses = redirect.socket_addrs(|| Some(0)).map_err(taken)?;
        let address = match redirect.port() {
            Some(_) => addresses,
            None => addresses.into_iter().map(|address| (address.ip(), 0).into()).collect(),
        };
        let listener = TcpListener::bind(address.as_slice()).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let port = listener.local_addr().map_err(taken)?.port();
        let _ = redirect.set_port(Some(port)); // an http URL has one
        Ok(Browser { redirect, listener, follow, teller, wait })
    }

    async fn open(&self, url: &Url) -> Result<Url, ClientError> {
        let failed =
            |error: std::io::Error| ClientError::Wrong(format!("{} cannot be listened at: {error}", self.redirect));
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std).map_err(failed)?;
        self.teller.says("open this in a browser:");
        self.teller.line(url.as_str());
        // The first that comes is the answer; `state` says whether it is one to this request.
        let (tell, mut told) = channel(1);
        let routes = Router::new().route(self.redirect.path(), get(came)).with_state(tell);
        let serving = tokio::spawn(async move { serve(listener, routes).await });
        let came = tokio::time::timeout(self.wait, told.recv()).await;
        // The page is on its way for as long.
        tokio::time::sleep(Duration::from_millis(100)).await;
        serving.abort();
        let query = came.ok().flatten().ok_or(ClientError::NoAnswer { seconds: self.wait.as_secs() })?;
        let mut answer = self.redirect.clone();
        answer.set_query(Some(&query));
        Ok(answer)
    }
}

async fn came(State(tell): State<Sender<String>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let _ = tell.try_send(query.unwrap_or_default()); // what comes later is no answer
    let plain = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (plain, DONE)
}

impl Visitor for Browser<'_> {
    fn redirect_uri(&self) -> &Url {
        &self.redirect
    }

    fn visit<'a>(&'a self, url: &'a Url) -> Visited<'a> {
        Box::pin(async move {
            match self.follow {
                Some(outgoing) => http::follow(outgoing, url, &self.redirect).await,
                None => self.open(url).await,
            }
        })
    }
}
