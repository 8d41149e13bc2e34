//! One request to the server's HTTP face, for what has no message on the socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;

use super::connection::{endpoint, reach, refused, unreachable, unready};
use super::error::ClientError;
use crate::access::Token;
use crate::wire::ErrorMessage;

/// How long a request may take.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const BYTES_MAX: u64 = 64 << 20;

/// The body of the answer to `method` on `path`.
///
/// # Errors
/// A URL that is none, nobody there, no answer in time, or one that refuses.
pub(super) async fn ask(
    url: &str,
    key: Option<&Token>,
    method: &str,
    path: &str,
) -> Result<String, ClientError> {
    let uri = endpoint(url)?;
    let asked = timeout(TIME, exchange(url, &uri, key, method, path)).await;
    let text = asked.unwrap_or_else(|_| Err(unready(url, format!("no answer in {} s", TIME.as_secs()))))?;
    answered(url, &text)
}

async fn exchange(
    url: &str,
    uri: &Uri,
    key: Option<&Token>,
    method: &str,
    path: &str,
) -> Result<String, ClientError> {
    let unreachable = |source| unreachable(url, source);
    let key = key.map_or_else(String::new, |key| {
        format!("authorization: Bearer {}\r\n", key.reveal())
    });
    let host = uri.authority().map_or("", |authority| authority.as_str());
    // HTTP/1.0: the answer comes whole, and ends with the connection.
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\n{key}content-length: 0\r\n\r\n");
    let mut socket = reach(url, uri).await?;
    socket.write_all(head.as_bytes()).await.map_err(unreachable)?;
    let mut answer = Vec::new();
    socket
        .take(BYTES_MAX)
        .read_to_end(&mut answer)
        .await
        .map_err(unreachable)?;
    String::from_utf8(answer).map_err(|_| refused(url, "its answer is not UTF-8".to_owned()))
}

fn answered(url: &str, text: &str) -> Result<String, ClientError> {
    let not_http = || refused(url, "it does not speak HTTP".to_owned());
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let status: u16 = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(not_http)?;
    if (200..300).contains(&status) {
        return Ok(body.to_owned());
    }
    match serde_json::from_str::<ErrorMessage>(body) {
        Ok(error) => Err(ClientError::Answer(Box::new(error))),
        Err(_) => Err(refused(url, format!("it answered with status {status}"))),
    }
}
