//! Money without a currency: whole millionths, since no binary fraction keeps a price.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Millionths of a unit.
const MICROS: u64 = 1_000_000;
/// Decimal places that are kept.
const PLACES: usize = 6;

/// An amount, in millionths of whatever currency the prices are in. As text a decimal: `0.0125`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Money(u64);

/// A text that is no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is no decimal of at most {PLACES} places, such as \"0.05\"")]
pub struct NoMoney;

impl Money {
    /// So many millionths.
    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The millionths.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it, or nothing.
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MICROS, self.0 % MICROS);
        if rest == 0 {
            return whole.fmt(f);
        }
        let rest = format!("{rest:0PLACES$}");
        write!(f, "{whole}.{}", rest.trim_end_matches('0'))
    }
}

impl FromStr for Money {
    type Err = NoMoney;

    fn from_str(text: &str) -> Result<Self, NoMoney> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(rest) || rest.len() > PLACES {
            return Err(NoMoney);
        }
        let whole: u64 = whole.parse().map_err(|_| NoMoney)?;
        let rest: u64 = format!("{rest:0<PLACES$}").parse().map_err(|_| NoMoney)?;
        let micros = whole
            .checked_mul(MICROS)
            .and_then(|whole| whole.checked_add(rest));
        micros.map(Self).ok_or(NoMoney)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Money;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a string, such as \"0.05\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
                text.parse()
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (text, micros, written) in [
            ("0", 0, "0"),
            ("0.05", 50_000, "0.05"),
            ("12.500", 12_500_000, "12.5"),
            ("0.000001", 1, "0.000001"),
            ("007", 7_000_000, "7"),
            ("18446744073709.551615", u64::MAX, "18446744073709.551615"),
        ] {
            let money: Money = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((money.as_micros(), money.to_string().as_str()), (micros, written));
            let json = serde_json::to_string(&money).unwrap();
            assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.0000001",
            "1,5",
            " 1",
            "NaN",
            "18446744073709.551616",
        ] {
            assert_eq!(bad.parse::<Money>(), Err(NoMoney), "{bad}");
        }
        assert!(serde_json::from_str::<Money>("0.05").is_err(), "a float is none");
    }
}
