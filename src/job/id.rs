//! What a job is called: its id, and the short tag its hot frames carry.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The id of a job: a UUIDv7, so ids sort by time of submission. Unguessable, but no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

/// Six characters that stand for a job in its patch frames; fixed with the id, unique enough for one socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag([u8; 6]);

/// Crockford's base 32 in lower case: no letter that is read as another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    /// Wraps a UUID; version 7 where the house makes one.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0.as_u128()
    }

    /// The tag: the last thirty bits of the id, which are random in a UUIDv7.
    pub fn tag(self) -> Tag {
        let (_, low) = self.0.as_u64_pair();
        Tag(std::array::from_fn(|place| {
            ALPHABET[(low >> (5 * place)) as usize & 31]
        }))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    /// Only the form it is written in, 36 characters with hyphens; capitals are read too.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(|id: Hyphenated| Self(id.into_uuid()))
    }
}

impl Tag {
    /// The six characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_the_one_form_it_is_written_in() {
        let id = "0193a4b2-7c31-7d5e-9a0f-3b1c5d7e9f02";
        assert_eq!(id.parse::<JobId>().map(|id| id.to_string()).as_deref(), Ok(id));
        assert!(id.to_uppercase().parse::<JobId>().is_ok());
        for other in [format!("{{{id}}}"), format!("urn:uuid:{id}"), id.replace('-', "")] {
            assert!(other.parse::<JobId>().is_err(), "{other}");
        }
    }
}
