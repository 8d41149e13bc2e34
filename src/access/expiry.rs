//! Until when a key is good.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, to the millisecond: a date-time of RFC 3339, with its offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Expiry(OffsetDateTime);

/// Text that is no such moment.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no date-time: write 2027-01-31T00:00:00Z, or another offset for the Z")]
pub struct BadExpiry(pub String);

impl Expiry {
    /// The moment, ms since 1970; what lies before is 0.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
    }
}

impl FromStr for Expiry {
    type Err = BadExpiry;

    fn from_str(text: &str) -> Result<Self, BadExpiry> {
        let moment = OffsetDateTime::parse(text, &Rfc3339);
        moment.map(Self).map_err(|_| BadExpiry(text.to_owned()))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was read as one can be written as one.
        f.write_str(&self.0.format(&Rfc3339).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_with_its_offset_and_not_otherwise() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", 0),
            ("1970-01-01T01:00:00.25+00:30", 1_800_250),
            ("2027-01-31T00:00:00Z", 1_801_353_600_000),
        ] {
            let moment: Expiry = text.parse().unwrap();
            assert_eq!(moment.ms(), ms, "{text}");
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for none in [
            "",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "2027-02-31T00:00:00Z",
            "soon",
        ] {
            assert!(none.parse::<Expiry>().is_err(), "{none}");
        }
    }
}
