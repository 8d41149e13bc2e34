//! A sub-path re-ask: the model is asked for the bad places alone, and its answer is grafted onto the value that
//! viewers hold.

use std::sync::Arc;

use super::journal::Journal;
use super::ladder;
use super::prepare::{Prepared, Preparing};
use crate::job::{Message, Plan, ReaskChoice, Role};
use crate::partial::{Draft, Graft, Value, parse_written};
use crate::schema::dialect;
use crate::schema::{BadPlace, Violation};

/// What the next attempt is asked for in place of the whole.
pub(super) struct Splice {
    pub(super) asked: Arc<Prepared>,
    pub(super) graft: Graft,
}

/// The places that are worth asking for alone to heal these violations of a value, where that can be done.
pub(super) async fn places(
    preparing: &Preparing,
    whole: &Prepared,
    violations: &[Violation],
    value: Value,
) -> Option<Vec<BadPlace>> {
    if preparing.spec.reask == ReaskChoice::Whole {
        return None;
    }
    let (schema, violations) = (Arc::clone(&whole.schema), violations.to_vec());
    let places_max = preparing.splice_places_max;
    // A large value is written out to see how much of it is wrong.
    let found = tokio::task::spawn_blocking(move || {
        let bad = schema.bad_places(&value, &violations, places_max);
        bad.map(|bad| (bad, value))
    });
    let (bad, value) = found.await.ok()??;
    let pointers: Vec<String> = bad.iter().map(|place| place.pointer.clone()).collect();
    // It will be asked for in a moment, so it is compiled now, and kept.
    preparing.part(whole, &value, &pointers).await.map(|_| bad)
}

/// Of an answer to some places that was lost with its worker, or put back, what has come is taken: the others alone are
/// asked for, and where none are left the value stands as it is.
pub(super) async fn take_over(preparing: &Preparing, whole: &Prepared, journal: &mut Journal) {
    let Some(draft) = read_again(preparing, whole, journal).await else {
        return;
    };
    let record = &mut journal.record;
    let asked = record.splice.as_ref().map_or(0, Vec::len);
    match draft.unanswered().len() {
        0 => {
            record.splice = None;
            record.continuation.plan = Plan::Residual;
        }
        left if left < asked => {
            if let Some(left) = ladder::places_left(record, &draft) {
                let turns = ladder::ask_left(&draft, &left, whole.dialect);
                record.conversation.extend(turns);
            }
        }
        _ => {}
    }
}

/// The answer as far as the log has it, where it makes what viewers hold.
async fn read_again(preparing: &Preparing, whole: &Prepared, journal: &Journal) -> Option<Draft> {
    let record = &journal.record;
    let (places, base) = (record.splice.as_ref()?, record.best.as_deref()?);
    let base = parse_written(base).ok()?;
    let (options, _) = preparing.part(whole, &base, places).await?.draft();
    let mut draft = Draft::onto(options, Graft::new(base, places)?);
    draft.feed(journal.text().as_bytes());
    draft.flush(&mut Vec::new());
    (draft.error().is_none() && draft.value().as_ref() == journal.reached()).then_some(draft)
}

impl Splice {
    /// What the next attempt is asked for, where the record says that it is some places of a whole answer; where that is
    /// not so any more, or cannot be, the conversation is told.
    pub(super) async fn of(preparing: &Preparing, whole: &Prepared, journal: &mut Journal) -> Option<Self> {
        let record = &journal.record;
        let places = record.splice.clone()?;
        let is_left = record.continuation.because.is_some() && record.continuation.plan == Plan::Whole;
        let made = match (record.best.as_deref(), journal.reached().cloned()) {
            (Some(base), Some(held)) if !is_left => {
                Self::prepare(preparing, whole, base, held, &places).await
            }
            _ => None,
        };
        if made.is_none() {
            // The conversation has asked for the places already.
            let record = &mut journal.record;
            record.splice = None;
            let text = dialect::reask_whole(whole.dialect);
            record.conversation.push(Message::text(Role::User, text));
            record.continuation.plan = Plan::Whole;
        }
        made
    }

    /// Makes ready what a record says: `base` is its last whole answer, `held` is what viewers hold. `None` where that
    /// cannot be: a limit has changed, or the log has lost more than the answer to the places.
    async fn prepare(
        preparing: &Preparing,
        whole: &Prepared,
        base: &str,
        held: Value,
        places: &[String],
    ) -> Option<Self> {
        let base = parse_written(base).ok()?;
        let mut asked = preparing.part(whole, &base, places).await?;
        let graft = Graft::new(base, places)?.held_as(held)?;
        asked.lie_deeper_by(graft.depth());
        Some(Self {
            asked: Arc::new(asked),
            graft,
        })
    }
}
