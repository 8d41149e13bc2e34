//! What tokens cost, as the configuration says.

use crate::job::{Money, Usage};

/// The name of a price that holds for every model without one of its own.
const ANY: &str = "*";
/// Tokens that a price is for.
const TOKENS: u128 = 1_000_000;

/// What a million tokens of a model cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Price {
    /// Of the prompt.
    pub input: Money,
    /// Of the prompt, where the provider had them cached; the same as others where it is not said.
    pub cached_input: Option<Money>,
    /// Of the answer.
    pub output: Money,
    /// Of the answer, spent on reasoning; the same as others where it is not said.
    pub reasoning: Option<Money>,
}

/// The prices of a provider's models.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prices(Vec<(String, Price)>);

impl Price {
    /// What these tokens cost, rounded up to a whole millionth once.
    pub fn of(&self, usage: &Usage) -> Money {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        let parts = [
            (usage.input_tokens - cached, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (usage.output_tokens - reasoning, self.output),
            (reasoning, self.reasoning.unwrap_or(self.output)),
        ];
        let cost = parts
            .iter()
            .map(|(tokens, price)| u128::from(*tokens) * u128::from(price.as_micros()))
            .fold(0_u128, u128::saturating_add);
        Money::micros(u64::try_from(cost.div_ceil(TOKENS)).unwrap_or(u64::MAX))
    }

    /// How many tokens of an answer so much money buys, whatever they are spent on; `None` where they cost nothing.
    pub fn output_tokens(&self, money: Money) -> Option<u64> {
        let dearest = self.reasoning.unwrap_or(self.output).max(self.output);
        let micros = u128::from(money.as_micros()) * TOKENS;
        let tokens = micros.checked_div(u128::from(dearest.as_micros()))?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

impl Prices {
    /// The price of a model, by its name at the provider: its own, or the one for any.
    pub fn of(&self, model: &str) -> Option<&Price> {
        let named = |name: &str| self.0.iter().find(|(known, _)| known == name);
        named(model).or_else(|| named(ANY)).map(|(_, price)| price)
    }

    /// The models with a price of their own, in their order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(model, _)| model.as_str())
    }

    /// The price of this very name, of nothing if it was not there.
    pub fn entry(&mut self, model: &str) -> &mut Price {
        let at = self
            .0
            .iter()
            .position(|(known, _)| known == model)
            .unwrap_or_else(|| {
                self.0.push((model.to_owned(), Price::default()));
                self.0.len() - 1
            });
        &mut self.0[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let price = Price {
            input: money("2.5"),
            cached_input: Some(money("1.25")),
            output: money("10"),
            reasoning: None,
        };
        let usage = Usage {
            input_tokens: 1_000,
            cached_input_tokens: 400,
            output_tokens: 300,
            reasoning_tokens: 100,
            ..Usage::default()
        };
        // 600 × 2.5 + 400 × 1.25 + 300 × 10, by a million.
        assert_eq!(price.of(&usage), money("0.005"));
        let one = Usage {
            input_tokens: 1,
            ..Usage::default()
        };
        assert_eq!(price.of(&one), money("0.000003"));
        let most = Usage {
            input_tokens: u64::MAX,
            output_tokens: u64::MAX,
            reasoning_tokens: u64::MAX,
            cached_input_tokens: u64::MAX,
            ..Usage::default()
        };
        let dear = Price {
            output: Money::micros(u64::MAX),
            ..price
        };
        assert_eq!(dear.of(&most), Money::micros(u64::MAX));
    }

    #[test]
    fn money_buys_tokens() {
        let mut price = Price {
            output: money("10"),
            ..Price::default()
        };
        assert_eq!(price.output_tokens(money("0.005")), Some(500));
        price.reasoning = Some(money("20"));
        assert_eq!(price.output_tokens(money("0.005")), Some(250));
        assert_eq!(Price::default().output_tokens(money("1")), None);
    }

    #[test]
    fn a_price_for_any_holds_where_there_is_none() {
        let mut prices = Prices::default();
        assert_eq!(prices.of("m"), None);
        prices.entry("*").output = money("1");
        prices.entry("m").output = money("2");
        assert_eq!(prices.of("m").map(|price| price.output), Some(money("2")));
        assert_eq!(prices.of("n").map(|price| price.output), Some(money("1")));
        assert_eq!(prices.models().collect::<Vec<_>>(), ["*", "m"]);
    }
}
