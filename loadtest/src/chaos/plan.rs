//! The jobs of a seed, and what their clients do with them.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::Dice;

/// Re-asks that a job may have.
pub(crate) const REASKS: u64 = 2;

/// One job.
#[derive(Clone, Debug)]
pub(crate) struct PlannedJob {
    /// Its idempotency key.
    pub(crate) key: String,
    /// What creates it.
    pub(crate) create: Value,
    /// When each further viewer comes.
    pub(crate) viewers: Vec<Duration>,
    /// When its cancel is asked for, if it is.
    pub(crate) cancel: Option<Duration>,
}

/// The job of a line by its number: a script that ends well, after a re-ask or a cut in some.
pub(crate) fn job(seed: u64, line: u64, number: u64) -> PlannedJob {
    let mut dice = Dice::new(seed, 1_000 + line * 100_000 + number);
    let mut script = json!({
        "tokens_per_second": dice.within(50, 200), "text_chars": dice.within(40, 200), "items": dice.within(3, 10),
        "seed": dice.within(0, 1_000_000),
    });
    match dice.within(1, 100) {
        1..=15 => script["invalid_attempts"] = json!(1),
        16..=30 => {
            script["cut_after"] = json!(dice.within(5, 80));
            script["fault_attempts"] = json!(1);
        }
        31..=40 => script["think"] = json!(true),
        _ => {}
    }
    let key = format!("chaos-{seed}-{line}-{number}");
    let create = json!({
        "type": "job.create", "ref": "1", "idempotency_key": key,
        "request": {
            "model": "scripted", "input": "Say what you have to say.", "max_reasks": REASKS,
            "flush_ms": dice.one_of(&[0, 10, 33]),
            "schema": {
                "type": "object", "additionalProperties": false, "required": ["title", "count", "lines"],
                "properties": {
                    "title": { "type": "string" },
                    "count": { "type": "integer", "minimum": 0 },
                    "lines": { "type": "array", "items": { "type": "string" } },
                },
            },
            "script": script,
        },
    });
    let after = |dice: &mut Dice| Duration::from_millis(dice.within(0, 2_500));
    let viewers = (0..dice.within(1, 3)).map(|_| after(&mut dice)).collect();
    let cancel = dice.percent(20).then(|| after(&mut dice));
    PlannedJob {
        key,
        create,
        viewers,
        cancel,
    }
}

#[cfg(test)]
mod tests {
    use super::job;

    #[test]
    fn a_seed_decides_the_jobs() {
        assert_eq!(job(7, 1, 2).create, job(7, 1, 2).create);
        assert_ne!(job(7, 1, 2).create, job(7, 1, 3).create);
        assert_ne!(job(7, 1, 2).key, job(7, 2, 2).key);
    }
}
