//! Numbers by their digits: exact order, equality and divisibility, however long they are.

use std::cmp::Ordering;

use super::value::{Number, Value};

/// Exponents beyond count as this: no text within limits has as many digits.
const EXPONENT_MAX: i64 = 1 << 60;

/// A decimal as written: `±0.digits × 10^point`, zeros around the digits left out; zero has none.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'n> {
    negative: bool,
    /// The digits before the dot and behind it.
    parts: [&'n str; 2],
    /// How many of the digits, if positive, stand before the dot.
    point: i64,
}

impl<'n> Decimal<'n> {
    /// Reads a number of RFC 8259 §6.
    pub(super) fn read(text: &'n str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = read_exponent(exponent);
        let whole_digits = whole.trim_start_matches('0');
        let fraction_digits = fraction.trim_end_matches('0');
        let (parts, point) = match (whole_digits, fraction_digits) {
            ("", "") => (["", ""], 0),
            ("", behind) => {
                let digits = behind.trim_start_matches('0');
                (["", digits], -length(behind) + length(digits))
            }
            (before, "") => ([before.trim_end_matches('0'), ""], length(before)),
            (before, behind) => ([before, behind], length(before)),
        };
        let is_zero = parts == ["", ""];
        Self {
            negative: negative && !is_zero,
            parts,
            point: if is_zero { 0 } else { point + exponent },
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'n> {
        let [before, behind] = self.parts;
        before.bytes().chain(behind.bytes())
    }

    /// How many digits there are without the zeros around them; zero has none.
    pub fn count(&self) -> usize {
        self.parts[0].len() + self.parts[1].len()
    }

    /// The exponent of the last digit.
    fn exponent(&self) -> i64 {
        self.point - i64::try_from(self.count()).unwrap_or(EXPONENT_MAX)
    }

    /// Whether it has no fraction.
    pub fn is_integer(&self) -> bool {
        self.exponent() >= 0
    }

    /// The integer that it is, where it has no fraction and at most twenty digits, as 64-bit integers have.
    pub fn to_integer(self) -> Option<i128> {
        if !self.is_integer() || self.point > 20 {
            return None;
        }
        let zeros = u32::try_from(self.exponent()).ok()?;
        let digits = self
            .digits()
            .fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let size = digits * 10_i128.pow(zeros);
        Some(if self.negative { -size } else { size })
    }

    /// The same text for equal numbers, and only for those.
    pub fn write_canonical(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        out.push_str(self.parts[0]);
        out.push_str(self.parts[1]);
        out.push('e');
        out.push_str(&self.point.to_string());
    }

    /// Whether it is a whole number of times `unit`, which has at most twenty digits; none but zero is one of zero.
    ///
    /// With `unit = m × 10^u` and no zero behind the own last digit of `d × 10^e`, a fraction of units is left
    /// wherever `e < u`; else `d × 10^(e-u)` must leave no rest by `m`.
    pub fn is_multiple_of(&self, unit: &Self) -> bool {
        if self.count() == 0 {
            return true;
        }
        let Ok(shift) = u64::try_from(self.exponent() - unit.exponent()) else {
            return false;
        };
        let modulus = unit
            .digits()
            .fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        if modulus == 0 {
            return false;
        }
        let rest = self.digits().fold(0_u128, |rest, digit| {
            (rest * 10 + u128::from(digit - b'0')) % modulus
        });
        (rest * power_of_ten(shift, modulus)).is_multiple_of(modulus)
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.count(), number.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let size = self
            .point
            .cmp(&other.point)
            .then_with(|| self.digits().cmp(other.digits()));
        match (sign(self), sign(other)) {
            (-1, -1) => size.reverse(),
            (1, 1) => size,
            (own, others) => own.cmp(&others),
        }
    }
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(EXPONENT_MAX)
}

fn read_exponent(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    sign * digits
        .parse()
        .map_or(EXPONENT_MAX, |size: i64| size.min(EXPONENT_MAX))
}

/// `10^exponent mod modulus`; a modulus is the digits of a 64-bit integer or a double, so products fit.
fn power_of_ten(exponent: u64, modulus: u128) -> u128 {
    let mut power = 1 % modulus;
    let mut square = 10 % modulus;
    let mut left = exponent;
    while left > 0 {
        if left & 1 == 1 {
            power = power * square % modulus;
        }
        square = square * square % modulus;
        left >>= 1;
    }
    power
}

impl Number {
    /// The number by its digits.
    pub fn decimal(&self) -> Decimal<'_> {
        Decimal::read(self.as_str())
    }

    /// Whether a reader whose numbers are doubles loses nothing: the digits it would print (ECMA-262
    /// `Number::toString`: the shortest that read as the same double) are those of this number.
    pub fn is_kept_by_doubles(&self) -> bool {
        let nearest = self.as_f64();
        nearest.is_finite() && Decimal::read(&format!("{nearest:e}")) == self.decimal()
    }
}

impl Value {
    /// The value with every number as a string, digits as written, that doubles would not keep.
    pub fn with_big_numbers_quoted(&self) -> Self {
        match self {
            Self::Number(number) if !number.is_kept_by_doubles() => Self::String(number.as_str().to_owned()),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => self.clone(),
            Self::Array(items) => Self::Array(items.iter().map(Self::with_big_numbers_quoted).collect()),
            Self::Object(members) => {
                let quoted = members
                    .iter()
                    .map(|(name, member)| (name, member.with_big_numbers_quoted()));
                Self::Object(quoted.collect())
            }
        }
    }
}
