//! API keys: what is configured, and what a client shows.
//!
//! A key is written `ld_<id>_<secret>`. The id is public and finds the key; of the secret, 256 random bits, only the
//! SHA-256 is kept: what nobody can guess needs no slow hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::expiry::Expiry;
use super::scope::Scopes;
use crate::hex;

/// What every key begins with, so that it is known for one where it turns up.
const PREFIX: &str = "ld_";
/// Bytes of a whole key; a longer one is none. This bound and the two below are of the form of a key and its entry, and
/// no matter of a server's settings: a key is the same wherever it is shown.
pub const TOKEN_BYTES_MAX: usize = 512;
/// Bytes of a key's id.
const ID_BYTES_MAX: usize = 64;
/// Bytes of a tenant's name, wherever it is said.
pub const TENANT_BYTES_MAX: usize = 128;

/// A key as it is configured: all but its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Names the key, in the log too: letters, digits, `-` and `.`, at most 64 bytes.
    pub id: String,
    /// SHA-256 of the secret, in hexadecimal digits.
    pub sha256: KeyHash,
    /// Whose jobs it submits and sees; at most 128 bytes.
    pub tenant: String,
    /// What it may do; all, where nothing is said.
    pub scopes: Scopes,
    /// From when on it is known no longer; never, where nothing is said.
    pub expires: Option<Expiry>,
}

impl ApiKey {
    /// What is wrong with the entry, if anything is.
    pub(super) fn fault(&self) -> Option<String> {
        let of_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX || !self.id.bytes().all(of_id) {
            return Some(format!(
                "an id is 1 to {ID_BYTES_MAX} letters, digits, `-` and `.`"
            ));
        }
        if self.sha256 == KeyHash::NONE {
            return Some("it has no hash: give the SHA-256 of its secret".to_owned());
        }
        if self.tenant.is_empty() || self.tenant.len() > TENANT_BYTES_MAX {
            return Some(format!("a tenant's name has 1 to {TENANT_BYTES_MAX} bytes"));
        }
        self.scopes
            .is_empty()
            .then(|| "without any scope it may do nothing: leave `scopes` out for all of them".to_owned())
    }
}

/// The SHA-256 of a secret. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub(super) [u8; 32]);

impl KeyHash {
    /// In the place of a hash that was not given; no secret has it.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash([redacted])")
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// Text that is no SHA-256. It is not shown: it may be the secret itself.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct BadHash;

impl FromStr for KeyHash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let hash = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or(BadHash)
    }
}

/// A key as a client holds it. Neither `Debug` nor anything else shows it by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes a key in; blanks around it, as files have them, are taken off.
    pub fn new(key: &str) -> Self {
        Self(key.trim().into())
    }

    /// The key itself, for the one header it belongs in.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// A key that was just made: the one moment in which it is whole.
#[derive(Debug)]
pub struct NewKey {
    /// The key, for the client.
    pub token: Token,
    /// Its entry, for the configuration.
    pub entry: ApiKey,
}

impl NewKey {
    /// Makes a key whose secret is `random`.
    ///
    /// # Errors
    /// An id or a tenant that may not be, no scope; in words.
    pub fn make(id: &str, tenant: &str, scopes: Scopes, random: [u8; 32]) -> Result<Self, String> {
        let secret = hex::encode(&random);
        let entry = ApiKey {
            id: id.to_owned(),
            sha256: KeyHash::of(&secret),
            tenant: tenant.to_owned(),
            scopes,
            expires: None,
        };
        match entry.fault() {
            Some(fault) => Err(fault),
            None => Ok(Self {
                token: Token(format!("{PREFIX}{id}_{secret}").into()),
                entry,
            }),
        }
    }
}

/// The id and the secret of what a client shows. What is no key has the id of none.
pub(super) fn parts(token: &str) -> (&str, &str) {
    let parts = Some(token)
        .filter(|token| token.len() <= TOKEN_BYTES_MAX)
        .and_then(|token| token.strip_prefix(PREFIX)?.split_once('_'));
    parts.unwrap_or(("", ""))
}
