//! What can go wrong between a client and its server.

use std::io;
use std::time::Duration;

use super::follower::FollowError;
use crate::wire::ErrorMessage;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be one of a server.
    #[error("{url:?} is no server's URL: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody listens there.
    #[error("cannot connect to {url}: {source}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody listens who cannot answer now: the upgrade was put off (HTTP 429 or 5xx), cut off, or not answered in
    /// time.
    #[error("{url} cannot answer now: {reason}")]
    Unready {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// Somebody listens who does not speak the protocol.
    #[error("{url} does not answer as a livedraft server: {reason}")]
    Refused {
        /// Where.
        url: String,
        /// What came instead.
        reason: String,
    },
    /// The server closed the socket.
    #[error("the server closed the connection{}", shown(*code, reason))]
    Closed {
        /// Its close code (RFC 6455 §7.4); `None` where it sent none.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The socket broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Nothing came, not even a ping.
    #[error("the connection fell silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// What came is no message of the protocol.
    #[error("the server sent what is no message: {0}")]
    Protocol(String),
    /// The server answered a request with `error`.
    #[error("{}: {}{}", .0.code, .0.message, placed(.0.path.as_deref()))]
    Answer(Box<ErrorMessage>),
    /// What was folded is not what the server has.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// As often as patience allows, it was tried to come back.
    #[error("gave up after {tries} tries: {last}")]
    GaveUp {
        /// How often.
        tries: u32,
        /// What the last try said.
        last: Box<Self>,
    },
}

fn shown(code: Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => String::new(),
        (Some(code), "") => format!(" ({code})"),
        (Some(code), reason) => format!(" ({code}: {reason})"),
    }
}

fn placed(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| format!(" (at {path})"))
}

impl ClientError {
    /// Whether coming back may help: a lost, silent or restarting server, and the close codes that say so
    /// (PROTOCOL.md, "Closing").
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unready { .. } | Self::Lost(_) | Self::Silent(_) => true,
            Self::Closed { code, .. } => code.is_none_or(says_reconnect),
            Self::Answer(error) => {
                crate::wire::Code::named(&error.code).is_some_and(crate::wire::Code::again)
            }
            Self::Url { .. }
            | Self::Refused { .. }
            | Self::Protocol(_)
            | Self::Follow(_)
            | Self::GaveUp { .. } => false,
        }
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(error) => error.retry_after_ms.map(Duration::from_millis),
            Self::Unready { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// 1005 stands for a close without a code.
fn says_reconnect(code: u16) -> bool {
    code == 1005 || crate::wire::Close::invites_back(code)
}
