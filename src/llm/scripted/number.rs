//! Numbers: inside their bounds, on their grid, near what the member's name promises.

use serde_json::{Number, Value};

use super::node::Node;
use super::random::Random;

/// Integers beyond this are not exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// A number for `node`; `whole` asks for an integer.
pub(super) fn number(node: &Node, name: &str, whole: bool, random: &mut Random) -> Value {
    let (low, high, decimals) = expected(name);
    let decimals = if whole { 0 } else { decimals };
    let grid = node.measure("multipleOf").filter(|step| *step > 0.0);
    let step = match grid {
        // On both grids at once; a fraction that is no divisor of 1 needs the smallest common multiple.
        Some(step) if whole && step.fract() != 0.0 => whole_multiple(step),
        Some(step) => step,
        None => 10_f64.powi(-decimals),
    };
    let (min, max) = bounds(node, step);
    let (low, high) = within(low, high, min, max);
    let first = (low / step).ceil();
    let last = (high / step).floor();
    if first > last && grid.is_none() && !whole {
        return Number::from_f64(low).map_or(Value::from(0), Value::Number);
    }
    let count = (last - first).max(0.0);
    let at = first + (random.share() * (count + 1.0)).floor().min(count);
    written(at, step, whole)
}

/// `at` steps, written with the step's own decimals so that no rounding shows.
fn written(at: f64, step: f64, whole: bool) -> Value {
    let value = at * step;
    let integral = whole || (value.fract() == 0.0 && step.fract() == 0.0);
    if integral && value.abs() <= EXACT_MAX {
        return Value::from(value as i64);
    }
    let places = format!("{step}")
        .split_once('.')
        .map_or(0, |(_, digits)| digits.len());
    let text = format!("{value:.places$}");
    let exact = text.parse::<f64>().ok().and_then(Number::from_f64);
    exact.map_or(Value::from(0), Value::Number)
}

fn whole_multiple(step: f64) -> f64 {
    (1..=1_000)
        .map(|times| step * f64::from(times))
        .find(|multiple| (multiple - multiple.round()).abs() < 1e-9)
        .map_or(1.0, f64::round)
}

/// The least and greatest value allowed; an exclusive bound gives way by one step, or by a little of the span.
fn bounds(node: &Node, step: f64) -> (Option<f64>, Option<f64>) {
    let exclusive = |key: &str, inclusive: &str| {
        let flag = node.keywords.get(key).and_then(Value::as_bool) == Some(true);
        node.measure(key)
            .or_else(|| node.measure(inclusive).filter(|_| flag))
    };
    let above = exclusive("exclusiveMinimum", "minimum");
    let below = exclusive("exclusiveMaximum", "maximum");
    let span = match (
        above.or(node.measure("minimum")),
        below.or(node.measure("maximum")),
    ) {
        (Some(low), Some(high)) => high - low,
        _ => f64::INFINITY,
    };
    let inch = if step * 2.0 > span && node.measure("multipleOf").is_none() {
        span / 2.0
    } else {
        step
    };
    let tighter = |left: Option<f64>, right: Option<f64>, pick: fn(f64, f64) -> f64| match (left, right) {
        (Some(left), Some(right)) => Some(pick(left, right)),
        (left, right) => left.or(right),
    };
    (
        tighter(
            node.measure("minimum"),
            above.map(|bound| next_step(bound, inch)),
            f64::max,
        ),
        tighter(
            node.measure("maximum"),
            below.map(|bound| -next_step(-bound, inch)),
            f64::min,
        ),
    )
}

/// The first multiple of `step` above `bound`.
fn next_step(bound: f64, step: f64) -> f64 {
    let next = ((bound / step).floor() + 1.0) * step;
    if next > bound { next } else { bound + step }
}

fn within(low: f64, high: f64, min: Option<f64>, max: Option<f64>) -> (f64, f64) {
    match (min, max) {
        (None, None) => (low, high),
        (Some(min), None) if min <= low => (low, high),
        (Some(min), None) if min <= high => (min, high),
        (Some(min), None) => (min, min + (high - low)),
        (None, Some(max)) if max >= high => (low, high),
        (None, Some(max)) if max >= low => (low, max),
        (None, Some(max)) => (max - (high - low), max),
        (Some(min), Some(max)) => {
            let (from, to) = (low.max(min), high.min(max));
            if from <= to { (from, to) } else { (min, max) }
        }
    }
}

/// Range and decimals that a member of this name promises.
fn expected(name: &str) -> (f64, f64, i32) {
    let plain: String = name.chars().filter(|letter| letter.is_alphabetic()).collect();
    match plain.to_lowercase().as_str() {
        "age" => (19.0, 78.0, 0),
        "year" | "founded" => (1972.0, 2026.0, 0),
        "rating" | "stars" => (3.0, 5.0, 1),
        "score" => (40.0, 100.0, 1),
        "confidence" | "probability" | "similarity" => (0.6, 0.99, 2),
        "price" | "amount" | "cost" | "unitprice" | "fee" | "tax" => (4.0, 250.0, 2),
        "total" | "subtotal" | "revenue" | "salary" | "budget" | "balance" => (250.0, 90_000.0, 2),
        "quantity" | "count" | "qty" | "servings" => (1.0, 12.0, 0),
        "latitude" | "lat" => (-60.0, 70.0, 4),
        "longitude" | "lng" | "lon" => (-170.0, 170.0, 4),
        "percent" | "percentage" | "progress" => (1.0, 99.0, 0),
        "minutes" | "duration" | "hours" => (5.0, 90.0, 0),
        "id" => (1_000.0, 99_999.0, 0),
        _ => (1.0, 100.0, 1),
    }
}
