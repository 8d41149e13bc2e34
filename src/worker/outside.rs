//! Values that somebody outside has the last word on: what is kept of an answer while its value waits, and what is asked
//! again where it is not accepted.

use sha2::{Digest, Sha256};

use super::conversation::told;
use super::journal::Journal;
use super::prepare::{Prepared, Preparing};
use super::splice;
use crate::clock;
use crate::hex;
use crate::job::{AttemptError, AttemptRecord, Awaited, Message};
use crate::partial::Value;
use crate::schema::Violation;
use crate::schema::dialect;

/// Keeps in the record what a verdict on this value will need: nothing else of the answer outlives the delivery.
/// `turns` are the model's own answer and what would be said to it.
pub(super) fn keep(record: &mut AttemptRecord, turns: Vec<Message>, value: &Value) {
    let json = value.to_json();
    record.awaited = Some(Awaited {
        attempt: record.n,
        sha256: hex::encode(&Sha256::digest(json.as_bytes())),
        turns,
        since_ms: clock::now_ms(),
    });
    record.best = Some(json);
}

/// Forgets what was kept of a value for which no verdict was ever waited: its delivery was lost before it could be put
/// back. The value still stands, and is judged anew.
pub(super) fn forget_unasked(record: &mut AttemptRecord) {
    if record.waits_for_verdict() {
        record.waited_ms = waited_ms(record);
        record.awaited = None;
    }
}

/// How long values of the job have waited so far, ms.
pub(super) fn waited_ms(record: &AttemptRecord) -> u64 {
    let now = record.awaited.as_ref().map(|awaited| awaited.since_ms);
    record.waited_ms + now.map_or(0, |since_ms| clock::now_ms().saturating_sub(since_ms))
}

/// Puts a verdict that asks again into the conversation, as an invalid answer would be: for the places alone that are
/// wrong, where the value can be healed there.
pub(super) async fn take_up(preparing: &Preparing, whole: &Prepared, journal: &mut Journal) {
    let waited_ms = waited_ms(&journal.record);
    let value = journal.reached().cloned();
    let record = &mut journal.record;
    let Some(errors) = record.mends.clone().filter(|_| record.awaited.is_some()) else {
        return;
    };
    let Some(Awaited { mut turns, .. }) = record.awaited.take() else {
        return;
    };
    record.waited_ms = waited_ms;
    let violations: Vec<Violation> = errors
        .iter()
        .map(|error| violation(error, whole, value.as_ref()))
        .collect();
    let places = match value {
        Some(value) => splice::places(preparing, whole, &violations, value).await,
        None => None,
    };
    let text = match &places {
        Some(places) => dialect::refused_places(whole.dialect, places),
        None => dialect::refused(whole.dialect, &violations),
    };
    // Behind the model's own answer.
    if let Some(said) = turns.get_mut(1) {
        said.content = text.into();
    }
    record.conversation.extend(turns);
    record.mends = Some(violations.iter().map(told).collect());
    record.continuation.settle();
    record.splice = places.map(|places| places.into_iter().map(|place| place.pointer).collect());
}

/// What somebody outside has said, with the value it was said of.
fn violation(error: &AttemptError, whole: &Prepared, value: Option<&Value>) -> Violation {
    Violation {
        path: error.path.clone(),
        keyword: error.keyword.clone(),
        message: error.message.clone(),
        value: value.and_then(|value| whole.schema.excerpt(value, &error.path)),
        missing: None,
    }
}
