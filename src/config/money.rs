//! Places that take an amount of money.

use serde_json::{Value as Json, json};

use super::field::{Bounds, Field, Given, expected};
use crate::job::Money;

const TAKES: &str = "a decimal of at most 6 places, such as 0.05";

/// A number keeps its digits: it is never read as a fraction of two.
fn amount(given: &Given) -> Option<Money> {
    match given {
        Given::Number(number) => number.to_string().parse().ok(),
        Given::Decimal(digits) => digits.replace('_', "").parse().ok(),
        other => other.text()?.parse().ok(),
    }
}

impl Field for Money {
    fn takes(&self, _: Bounds) -> String {
        TAKES.to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        *self = amount(given).ok_or_else(|| expected(&self.takes(bounds), given))?;
        Ok(())
    }

    fn tell(&self) -> Json {
        json!(self)
    }
}

/// An amount or none.
impl Field for Option<Money> {
    fn takes(&self, bounds: Bounds) -> String {
        Money::default().takes(bounds)
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let mut money = Money::default();
        money.put(given, bounds)?;
        *self = Some(money);
        Ok(())
    }

    fn tell(&self) -> Json {
        self.map_or(Json::Null, |money| money.tell())
    }
}
