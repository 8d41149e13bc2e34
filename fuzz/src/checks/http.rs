//! Bodies of `POST /v1/jobs` and queries of the events route: never a panic, and a spec that was taken is written and
//! taken again as the same, within the limits.
//!
//! The first byte of an input chooses: even, a body; odd, a query.

use super::super::job::{JobSpec, SpecLimits, TemplateLimits};
use super::super::wire::{Limits, decode_events_query, decode_request};

/// Bytes of a client's own words that a refusal may repeat, and what stands around them.
const REFUSAL_BYTES: usize = 1_024;

/// Holds one input.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    if choice % 2 == 0 {
        body(text);
    } else if let Err(fault) = decode_events_query(text) {
        assert!(
            fault.message.len() <= REFUSAL_BYTES,
            "{} bytes",
            fault.message.len()
        );
    }
}

fn body(text: &str) {
    let (spec, key) = match decode_request(text, &Limits::default()) {
        Ok(taken) => taken,
        Err(fault) => {
            assert!(
                fault.message.len() <= REFUSAL_BYTES,
                "{} bytes",
                fault.message.len()
            );
            return;
        }
    };
    assert!(key.is_none_or(|key| key.len() <= text.len()));
    let limits = SpecLimits::default();
    if let Err(error) = spec.check(&limits) {
        assert!(error.path.starts_with('/'), "{:?} is no pointer", error.path);
        return;
    }
    within(&spec, &limits);
    let written = serde_json::to_string(&spec).expect("what was read can be written");
    let (again, _) = decode_request(&written, &Limits::default()).expect("what was written can be read");
    assert_eq!(again, spec, "{written}");
}

/// What the check let through keeps the limits.
fn within(spec: &JobSpec, limits: &SpecLimits) {
    assert!(spec.prompt_bytes() <= limits.prompt_bytes_max);
    assert!(spec.messages.len() <= limits.messages_max);
    assert!(spec.metadata.len() <= limits.metadata_max);
    assert!(spec.max_reasks <= limits.reasks_max && spec.flush_ms <= limits.flush_ms_max);
    assert_eq!(spec.messages.is_empty(), spec.input.is_some(), "one of the two");
    let templates = TemplateLimits {
        steps: limits.template_steps_max,
        bytes: limits.prompt_bytes_max,
    };
    let opening = spec.opening(templates).expect("what was checked can be written");
    assert!(!opening.is_empty());
}
