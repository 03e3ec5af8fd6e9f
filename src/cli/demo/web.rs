//! HTTP as a client of the server speaks it: one connection, one request after the other.

use super::Failure;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest line of a head.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The largest body.
const BODY_BYTES_MAX: usize = 16 << 20;

/// A connection.
pub(super) struct Web {
    stream: BufReader<TcpStream>,
}

impl Web {
    pub(super) fn connect(address: SocketAddr) -> Result<Web, Failure> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(Web { stream: BufReader::new(stream) })
        };
        connect().map_err(|error: std::io::Error| Failure::Said(format!("cannot reach {address}: {error}")))
    }

    /// Posts JSON and returns the JSON of a good answer.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let (status, body) = self.exchange(path, &body.to_string()).map_err(|e| Failure::Said(format!("HTTP: {e}")))?;
        let value: Value = serde_json::from_slice(&body).map_err(|e| Failure::Said(format!("HTTP {status}: {e}")))?;
        if (200..300).contains(&status) { Ok(value) } else { Err(Failure::Said(format!("HTTP {status}: {value}"))) }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        Ok(line)
    }

    fn exchange(&mut self, path: &str, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let broken = || std::io::Error::other("the answer is no HTTP");
        let status = self.line()?.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let mut bytes = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(length) = line.strip_prefix("content-length:") {
                bytes = length.trim().parse().ok().filter(|n| *n <= BODY_BYTES_MAX).ok_or_else(broken)?;
            }
        }
        let mut answer = vec![0; bytes];
        self.stream.read_exact(&mut answer)?;
        Ok((status, answer))
    }
}
