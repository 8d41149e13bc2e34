//! Where in a job's log something stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of an epoch: 64 random bits, drawn by its one writer, new for every send that opens one (rule E4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

/// Epoch and seq: together they name one event for ever, also after a failover that lost writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch in which the event was written.
    pub epoch: Epoch,
    /// Its number, rising by one from 1 over the whole life of the job.
    pub seq: u64,
}

/// Text that is no epoch or position.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a position is `<epoch>.<seq>`: sixteen hexadecimal digits, a dot, a number from 0")]
pub struct BadPosition;

impl Epoch {
    /// Wraps random bits.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Epoch {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let hexadecimal = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = hexadecimal.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or(BadPosition)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom("an epoch is sixteen hexadecimal digits"))
    }
}

/// `<epoch>.<seq>`, as it stands in an SSE `id`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (epoch, seq) = text.split_once('.').ok_or(BadPosition)?;
        // A number's own reader takes a sign, too.
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self {
            epoch: epoch.parse()?,
            seq: Some(seq)
                .filter(|_| digits)
                .and_then(|seq| seq.parse().ok())
                .ok_or(BadPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_not_otherwise() {
        let position = Position {
            epoch: Epoch::new(0x00c0_ffee),
            seq: u64::MAX,
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in [
            "",
            "0000000000c0ffee",
            "0000000000c0ffee.",
            "0000000000c0ffee.+5",
            "0000000000c0ffee.-5",
            "0000000000c0ffee.5 ",
            "0000000000c0ffee.18446744073709551616",
            "c0ffee.5",
            "+000000000c0ffee.5",
        ] {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
    }
}
