//! Numbers by their digits: exact order, equality and divisibility, however long they are.
//!
//! A draft keeps every digit a model wrote. A schema's numbers have come as JSON numbers: 64-bit integers, else
//! doubles, whose digits are certain up to fifteen. So the rule is: what the schema holds surely, and whatever is whole
//! and within 64 bits, is compared digit by digit; where a number of the schema may have been rounded on its way, the
//! draft's is rounded the same way.

use std::cmp::Ordering;

use serde_json::Number as JsonNumber;

use crate::partial::Number;

/// Significant digits that a double always keeps.
const SURE_DIGITS: usize = 15;
/// Exponents beyond count as this: no text within limits has as many digits.
const EXPONENT_MAX: i64 = 1 << 60;

/// A decimal as written: `±0.digits × 10^point`, zeros around the digits left out; zero has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'n> {
    negative: bool,
    /// The digits before the dot and behind it.
    parts: [&'n str; 2],
    /// How many of the digits, if positive, stand before the dot.
    point: i64,
}

impl<'n> Decimal<'n> {
    /// Reads a number of RFC 8259 §6.
    pub(super) fn of(text: &'n str) -> Self {
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

    fn count(&self) -> usize {
        self.parts[0].len() + self.parts[1].len()
    }

    /// The exponent of the last digit.
    fn exponent(&self) -> i64 {
        self.point - i64::try_from(self.count()).unwrap_or(EXPONENT_MAX)
    }

    /// Whether it has no fraction.
    pub(super) fn is_integer(&self) -> bool {
        self.exponent() >= 0
    }

    /// The integer that it is, where it has no fraction and fits.
    pub(super) fn to_integer(self) -> Option<i128> {
        // No 64-bit integer is longer.
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
    pub(super) fn write_canonical(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        out.push_str(self.parts[0]);
        out.push_str(self.parts[1]);
        out.push('e');
        out.push_str(&self.point.to_string());
    }

    /// Whether it is a whole number of times `unit`, which is not zero.
    ///
    /// With `unit = m × 10^u` and no zero behind the own last digit of `d × 10^e`, a fraction of units is left
    /// wherever `e < u`; else `d × 10^(e-u)` must leave no rest by `m`.
    fn is_multiple_of(&self, unit: &Self) -> bool {
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

/// A number of a schema.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// As the schema writes it back.
    pub(super) text: String,
    /// The double, where its digits may be those of a rounded one.
    rounded: Option<f64>,
}

impl Bound {
    pub(super) fn of(number: &JsonNumber) -> Self {
        let text = number.to_string();
        let decimal = Decimal::of(&text);
        let rounded = number
            .as_f64()
            .filter(|_| !is_sure(&decimal) && !number.is_i64() && !number.is_u64());
        Self { text, rounded }
    }

    /// How a draft's number stands to it.
    pub(super) fn order(&self, number: &Number) -> Ordering {
        match self.rounded {
            Some(bound) => number.as_f64().total_cmp(&bound),
            None => Decimal::of(number.as_str()).cmp(&Decimal::of(&self.text)),
        }
    }

    /// Whether a draft's number is a multiple of it: always by the digits.
    pub(super) fn divides(&self, number: &Number) -> bool {
        Decimal::of(number.as_str()).is_multiple_of(&Decimal::of(&self.text))
    }
}

/// Whether a schema's number with these digits is taken as it stands.
fn is_sure(decimal: &Decimal<'_>) -> bool {
    decimal.count() <= SURE_DIGITS || in_64_bits(decimal).is_some()
}

fn in_64_bits(decimal: &Decimal<'_>) -> Option<i128> {
    let fits = |integer: &i128| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(integer);
    decimal.to_integer().filter(fits)
}

/// The 64-bit integer that a draft's number is, also where it is written with a fraction or an exponent.
pub(super) fn integer(number: &Number) -> Option<i128> {
    in_64_bits(&Decimal::of(number.as_str()))
}

/// The double that a schema's number must be to equal this one, which is no 64-bit integer.
pub(super) fn equal_double(number: &Number) -> Option<f64> {
    let nearest = number.as_f64();
    let text = JsonNumber::from_f64(nearest)?.to_string();
    let written = Decimal::of(&text);
    let is_equal = if is_sure(&written) {
        written == Decimal::of(number.as_str())
    } else {
        true
    };
    is_equal.then_some(nearest)
}
