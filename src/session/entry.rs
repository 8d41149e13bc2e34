//! Who the client is: known from the upgrade, or told by its first message; and what it may ask.

use std::sync::Arc;

use crate::access::{Access, Identity, Scope, Unknown};
use crate::wire::{ClientMessage, Limits};

/// Bytes of a message of one who is not known yet: an `auth` and no more (`proto/PROTOCOL.md` §2).
pub const FIRST_MESSAGE_BYTES_MAX: u64 = 4_096;

/// How deep an `auth` nests.
const AUTH_DEPTH: u32 = 1;

/// The first message was something else.
pub(super) const NOT_AUTH: &str = "keys are asked for here: the first message is `auth` with one, or the upgrade \
                                   carries `Authorization: Bearer`";
/// The token opens nothing.
pub(super) const UNKNOWN: &str = "the key is not known here: is it whole, and is it still configured?";
/// A second key on one socket.
pub(super) const OTHER_KEY: &str = "this socket speaks for another key already: open a socket for each";

/// No `auth` came in time.
pub(super) fn too_late(timeout_ms: u64) -> String {
    format!("no `auth` came within {timeout_ms} ms")
}

/// The client's way in.
#[derive(Debug)]
pub(super) struct Entry {
    access: Arc<Access>,
    who: Option<Arc<Identity>>,
    /// When it must be known, ms.
    until_ms: u64,
}

impl Entry {
    pub(super) const fn new(access: Arc<Access>, who: Option<Arc<Identity>>, until_ms: u64) -> Self {
        Self {
            access,
            who,
            until_ms,
        }
    }

    pub(super) const fn who(&self) -> Option<&Arc<Identity>> {
        self.who.as_ref()
    }

    /// When one who is not known yet, or whose key's time is over, is turned away, ms.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.who
            .as_ref()
            .map_or(Some(self.until_ms), |who| who.expires_ms())
    }

    /// Whether no `auth` came in time.
    pub(super) const fn is_late(&self, now_ms: u64) -> bool {
        self.who.is_none() && self.until_ms <= now_ms
    }

    /// Whether the key that the client came by is known no longer.
    pub(super) fn has_lapsed(&self, now_ms: u64) -> bool {
        self.who
            .as_ref()
            .is_some_and(|who| !self.access.holds(who, now_ms))
    }

    /// Reads the first message of one who is not known yet.
    pub(super) fn first(&mut self, text: &str, now_ms: u64) -> Result<(), &'static str> {
        // The limit of frames holds this too; here it is for who feeds a session by other means.
        if text.len() as u64 > FIRST_MESSAGE_BYTES_MAX {
            return Err(NOT_AUTH);
        }
        let bounds = Limits {
            depth_max: AUTH_DEPTH,
            ..Limits::default()
        };
        let Ok(ClientMessage::Auth(auth)) = ClientMessage::decode(text, &bounds) else {
            return Err(NOT_AUTH);
        };
        self.who = Some(self.access.check(&auth.token, now_ms).map_err(|_| UNKNOWN)?);
        Ok(())
    }

    /// Whether a token of one who is known names the key it came by.
    pub(super) fn again(&self, token: &str, now_ms: u64) -> Result<bool, Unknown> {
        let shown = self.access.check(token, now_ms)?;
        Ok(self.who.as_ref().is_some_and(|who| who.key() == shown.key()))
    }

    /// What the client may not do and this message asks for, in words.
    pub(super) fn missing(&self, message: &ClientMessage) -> Option<String> {
        let who = self.who.as_ref()?;
        let missing = needs(message).iter().find(|scope| !who.may(**scope))?;
        Some(missing.refusal())
    }
}

/// The scopes that a message asks for. Who creates a job watches it, so that reads too.
const fn needs(message: &ClientMessage) -> &'static [Scope] {
    match message {
        ClientMessage::Auth(_) | ClientMessage::Ping => &[],
        ClientMessage::Create(_) => &[Scope::Submit, Scope::Read],
        ClientMessage::Accept(_) | ClientMessage::Reask(_) => &[Scope::Submit],
        ClientMessage::Attach(_) | ClientMessage::Detach(_) | ClientMessage::Get(_) => &[Scope::Read],
        ClientMessage::Cancel(_) => &[Scope::Cancel],
    }
}
