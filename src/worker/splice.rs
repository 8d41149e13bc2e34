//! A sub-path re-ask: the model is asked for the bad places alone, and its answer is grafted onto the value that
//! viewers hold.

use std::sync::Arc;

use super::attempt::Answer;
use super::conversation::Fault;
use super::journal::Journal;
use super::prepare::{Prepared, Preparing};
use crate::job::{Message, Plan, ReaskChoice, Role};
use crate::partial::{Graft, Value, parse_written};
use crate::schema::BadPlace;
use crate::schema::dialect;

/// What the next attempt is asked for in place of the whole.
pub(super) struct Splice {
    pub(super) asked: Arc<Prepared>,
    pub(super) graft: Graft,
}

/// The places that are worth asking for alone, where that can be done.
pub(super) async fn places(
    preparing: &Preparing,
    whole: &Prepared,
    answer: &Answer,
    fault: &Fault,
    value: Option<&Value>,
) -> Option<Vec<BadPlace>> {
    let (Fault::Violations(violations), Some(value)) = (fault, value) else {
        return None;
    };
    // One who did not keep to it once is asked for the whole.
    if preparing.spec.reask == ReaskChoice::Whole || answer.draft.is_bare() {
        return None;
    }
    let bad = whole
        .schema
        .bad_places(value, violations, preparing.splice_places_max)?;
    let pointers: Vec<String> = bad.iter().map(|place| place.pointer.clone()).collect();
    // It will be asked for in a moment, so it is compiled now, and kept.
    preparing.part(whole, value, &pointers).await.map(|_| bad)
}

impl Splice {
    /// What the next attempt is asked for, where the record says that it is some places of a whole answer.
    pub(super) async fn of(preparing: &Preparing, whole: &Prepared, journal: &mut Journal) -> Option<Self> {
        let places = journal.record.splice.clone()?;
        let (base, held) = (journal.record.best.as_deref(), journal.reached());
        let made = match base.zip(held.cloned()) {
            Some((base, held)) => Self::prepare(preparing, whole, base, held, &places).await,
            None => None,
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
