//! The numbers of a schema, and how a draft's stand to them.
//!
//! A draft keeps every digit a model wrote. A schema's numbers have come as JSON numbers: 64-bit integers, else
//! doubles, whose digits are certain up to fifteen. So the rule is: what the schema holds surely, and whatever is whole
//! and within 64 bits, is compared digit by digit; where a number of the schema may have been rounded on its way, the
//! draft's is rounded the same way.

use std::cmp::Ordering;

use serde_json::Number as JsonNumber;

use crate::partial::{Decimal, Number};

/// Significant digits that a double always keeps.
const SURE_DIGITS: usize = 15;

/// A number of a schema.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// As the schema writes it back.
    pub(super) number: Number,
    /// The same, where it is a plain integer: most are, and these compare at once.
    integer: Option<i64>,
    /// The double, where its digits may be those of a rounded one.
    rounded: Option<f64>,
}

impl Bound {
    /// `None` for what is no number of RFC 8259, which nothing makes.
    pub(super) fn of(given: &JsonNumber) -> Option<Self> {
        let number: Number = given.to_string().parse().ok()?;
        let is_exact = is_sure(&number.decimal()) || given.is_i64() || given.is_u64();
        let rounded = given.as_f64().filter(|_| !is_exact);
        Some(Self {
            integer: number.as_i64(),
            number,
            rounded,
        })
    }

    /// How a draft's number stands to it.
    pub(super) fn order(&self, number: &Number) -> Ordering {
        if let Some((number, bound)) = number.as_i64().zip(self.integer) {
            return number.cmp(&bound);
        }
        match self.rounded {
            Some(bound) => number.as_f64().total_cmp(&bound),
            None => number.decimal().cmp(&self.number.decimal()),
        }
    }

    /// Whether a draft's number is a multiple of it: always by the digits.
    pub(super) fn divides(&self, number: &Number) -> bool {
        number.decimal().is_multiple_of(&self.number.decimal())
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
    in_64_bits(&number.decimal())
}

/// The double that a schema's number must be to equal this one, which is no 64-bit integer.
pub(super) fn equal_double(number: &Number) -> Option<f64> {
    let nearest = number.as_f64();
    let written: Number = JsonNumber::from_f64(nearest)?.to_string().parse().ok()?;
    let is_equal = !is_sure(&written.decimal()) || written.decimal() == number.decimal();
    is_equal.then_some(nearest)
}
