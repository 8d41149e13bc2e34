//! One socket to a server.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response as HttpResponse, StatusCode, Uri, header};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::error::ClientError;
use super::received::Received;
use crate::access::Token;
use crate::wire::{ClientMessage, ErrorMessage, SUBPROTOCOL_JSON, ServerMessage, UnknownMessage, Welcome};

/// How long TCP, the upgrade and `welcome` may take together.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// How long a close frame is waited for.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Where the protocol is spoken, unless the URL says otherwise.
const PATH: &str = "/v1/ws";

/// An open socket that was welcomed. Dropping it drops TCP without a close frame.
#[derive(Debug)]
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    welcome: Box<Welcome>,
    /// The server pings; this long without a frame means that it is gone.
    silence: Duration,
    closed: Option<(u16, String)>,
}

impl Connection {
    /// Opens a socket to `ws://host:port` (`http://` is taken as well), showing a key if there is one, and awaits
    /// `welcome`.
    ///
    /// # Errors
    /// A URL that is none, nobody there, somebody who cannot answer now, wants another key or does not speak
    /// `livedraft.v1.json`.
    pub async fn open(url: &str, key: Option<&Token>) -> Result<Self, ClientError> {
        let uri = endpoint(url)?;
        let opened = timeout(OPEN_TIME, Self::open_at(url, &uri, key)).await;
        opened.unwrap_or_else(|_| Err(unready(url, format!("no answer in {} s", OPEN_TIME.as_secs()))))
    }

    async fn open_at(url: &str, uri: &Uri, key: Option<&Token>) -> Result<Self, ClientError> {
        let tcp = reach(url, uri).await?;
        let request = request(uri, key).map_err(|error| refused(url, error.to_string()))?;
        let upgraded = tokio_tungstenite::client_async(request, tcp).await;
        let (socket, response) = upgraded.map_err(|error| not_upgraded(url, error))?;
        // It would wait for an `auth` that we have nothing for.
        if response.headers().contains_key(header::WWW_AUTHENTICATE) {
            return Err(refused(url, "it asks for a key".to_owned()));
        }
        Self::welcomed(url, socket).await
    }

    async fn welcomed(url: &str, mut socket: WebSocketStream<TcpStream>) -> Result<Self, ClientError> {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) => {
                return Err(ClientError::Closed {
                    code: Some(frame.code.into()),
                    reason: frame.reason.to_string(),
                });
            }
            Some(Err(error)) => return Err(not_upgraded(url, error)),
            None => return Err(unready(url, "it closed before its `welcome`".to_owned())),
            Some(Ok(_)) => return Err(refused(url, "it did not say `welcome`".to_owned())),
        };
        match ServerMessage::decode(&text) {
            Ok(ServerMessage::Welcome(welcome)) => Ok(Self {
                socket,
                silence: Duration::from_millis(welcome.heartbeat_ms.saturating_mul(3).max(5_000)),
                welcome,
                closed: None,
            }),
            Ok(_) | Err(_) => Err(refused(url, "its first message is not `welcome`".to_owned())),
        }
    }

    /// What the server said at first.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The socket broke.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let text = message
            .encode()
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.socket
            .send(Message::text(text))
            .await
            .map_err(|error| lost(&error))
    }

    /// The next message; types that this version does not know are skipped. Cancel-safe.
    ///
    /// # Errors
    /// The socket was closed, broke or fell silent; or what came is no message.
    pub async fn next(&mut self) -> Result<Received, ClientError> {
        loop {
            let frame = timeout(self.silence, self.socket.next()).await;
            let frame = frame.map_err(|_| ClientError::Silent(self.silence))?;
            match frame {
                Some(Ok(Message::Text(text))) => match Received::read(text.as_str()) {
                    Ok(received) => return Ok(received),
                    Err(UnknownMessage::Type(_)) => {}
                    Err(UnknownMessage::Json(error)) => return Err(ClientError::Protocol(error.to_string())),
                },
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => {
                    return Err(ClientError::Protocol("a binary frame".to_owned()));
                }
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Err(self.closing());
                }
                Some(Err(error)) => return Err(lost(&error)),
            }
        }
    }

    /// Sends a message and awaits its answer: the first one that carries `reference`.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`ClientError::Answer`] where the server says `error`.
    pub async fn ask(&mut self, message: &ClientMessage, reference: &str) -> Result<Received, ClientError> {
        self.send(message).await?;
        loop {
            let received = self.next().await?;
            let told = match &received.message {
                ServerMessage::Accepted(body) => &body.reference,
                ServerMessage::Attached(body) => &body.reference,
                ServerMessage::Detached(body) => &body.reference,
                ServerMessage::Cancelling(body) => &body.reference,
                ServerMessage::Ruled(body) => &body.reference,
                ServerMessage::State(body) => &body.reference,
                ServerMessage::Error(body) if body.reference.as_deref() == Some(reference) => {
                    return Err(ClientError::Answer(body.clone()));
                }
                _ => &None,
            };
            if told.as_deref() == Some(reference) {
                return Ok(received);
            }
        }
    }

    /// Closes in order (1000) and waits shortly for the server's close frame.
    pub async fn close(mut self) {
        if self.socket.close(None).await.is_ok() {
            let answer = async {
                while let Some(Ok(frame)) = self.socket.next().await {
                    if frame.is_close() {
                        break;
                    }
                }
            };
            // A server that does not answer a close is left alone.
            let _ = timeout(CLOSE_TIME, answer).await;
        }
    }

    /// Drops TCP without a close frame, as a lost network does.
    pub fn cut(self) {
        drop(self.socket);
    }

    fn closing(&mut self) -> ClientError {
        let (code, reason) = self
            .closed
            .take()
            .map_or((None, String::new()), |(code, reason)| (Some(code), reason));
        ClientError::Closed { code, reason }
    }
}

/// A connection to whoever listens there.
pub(super) async fn reach(url: &str, uri: &Uri) -> Result<TcpStream, ClientError> {
    let address = format!(
        "{}:{}",
        uri.host().unwrap_or_default(),
        uri.port_u16().unwrap_or(80)
    );
    let unreachable = |source| unreachable(url, source);
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
}

pub(super) fn unreachable(url: &str, source: io::Error) -> ClientError {
    ClientError::Unreachable {
        url: url.to_owned(),
        source,
    }
}

pub(super) fn refused(url: &str, reason: String) -> ClientError {
    ClientError::Refused {
        url: url.to_owned(),
        reason,
    }
}

pub(super) fn unready(url: &str, reason: String) -> ClientError {
    ClientError::Unready {
        url: url.to_owned(),
        reason,
        retry_after: None,
    }
}

/// What came instead of an upgrade: another try may find a server that was going down, coming up, or full.
fn not_upgraded(url: &str, error: Error) -> ClientError {
    match error {
        Error::Http(response) => answered(url, &response),
        Error::Io(_) | Error::Protocol(ProtocolError::HandshakeIncomplete) => unready(url, error.to_string()),
        error => refused(url, error.to_string()),
    }
}

fn answered(url: &str, response: &HttpResponse<Option<Vec<u8>>>) -> ClientError {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let reason = match serde_json::from_slice::<ErrorMessage>(body) {
        Ok(error) => format!("{}: {}", error.code, error.message),
        Err(_) => format!("HTTP {status}"),
    };
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return refused(url, reason);
    }
    let seconds = response.headers().get(header::RETRY_AFTER);
    ClientError::Unready {
        url: url.to_owned(),
        reason,
        retry_after: seconds
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
            .map(Duration::from_secs),
    }
}

fn lost(error: &Error) -> ClientError {
    ClientError::Lost(error.to_string())
}

fn request(uri: &Uri, key: Option<&Token>) -> Result<Request, Error> {
    let mut request = uri.clone().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL_JSON),
    );
    if let Some(key) = key {
        let mut shown = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .map_err(|error| Error::HttpFormat(error.into()))?;
        shown.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, shown);
    }
    Ok(request)
}

/// `ws://host:port` with the protocol's path where none is given.
pub(super) fn endpoint(url: &str) -> Result<Uri, ClientError> {
    let wrong = |reason| ClientError::Url {
        url: url.to_owned(),
        reason,
    };
    let rest = match url.split_once("://") {
        Some(("ws" | "http", rest)) => rest,
        Some(("wss" | "https", _)) => {
            return Err(wrong("TLS is not spoken here: put it in front, and name ws://"));
        }
        Some(_) => return Err(wrong("it begins with ws://")),
        None => url,
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path = if path.trim_matches('/').is_empty() {
        PATH
    } else {
        path
    };
    let uri: Result<Uri, _> = format!("ws://{authority}{path}").parse();
    let uri = uri.map_err(|_| wrong("it looks like ws://host:port"))?;
    match uri.host() {
        Some(host) if !host.is_empty() => Ok(uri),
        _ => Err(wrong("it names no host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_no_path_and_no_scheme() {
        for url in [
            "ws://127.0.0.1:8080",
            "ws://127.0.0.1:8080/",
            "http://127.0.0.1:8080",
            "127.0.0.1:8080",
        ] {
            assert_eq!(endpoint(url).unwrap(), "ws://127.0.0.1:8080/v1/ws", "{url}");
        }
        assert_eq!(endpoint("ws://[::1]:1/other").unwrap(), "ws://[::1]:1/other");
    }

    #[test]
    fn a_url_that_is_none_is_told() {
        for url in ["wss://host", "ftp://host", "ws://", "ws://a b"] {
            let error = endpoint(url).unwrap_err();
            assert!(matches!(error, ClientError::Url { .. }), "{url}: {error}");
            assert!(!error.may_pass());
        }
    }
}
