//! What follows an answer that broke off: the model goes on with its own text, or is asked for what the value lacks, or
//! starts over; or the job ends with what was reached.
//!
//! Which rung comes next is decided here, from what stands and what the attempt has brought; whether it can be stepped
//! on is found out where the attempt is prepared (`course`), which takes the next one where it cannot.

use super::attempt::{Answer, Stopped};
use super::conversation::{self, Fault};
use super::judge::Broken;
use crate::job::{AttemptRecord, Broke, Message, Plan, Reason, Role};
use crate::partial::{Draft, Folded, Graft, Op, Spot, Value, parse_written};
use crate::schema::dialect::{self, Dialect};

/// Attempts in a row that bring nothing, with which it ends.
const BARREN_MAX: u32 = 2;
/// Loops that are gone on from.
const LOOPS_MAX: u32 = 1;

/// What there is to go on from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stands {
    /// Whether viewers hold anything.
    pub(super) anything: bool,
    /// Whether the attempt has brought something: a byte of the value, or a place that has closed.
    pub(super) progress: bool,
    /// Whether the model can go on with its own text.
    pub(super) goes_on: bool,
}

impl Stands {
    /// What an answer has left of a draft.
    pub(super) fn of(answer: &Answer, held: Option<&Value>, goes_on: bool) -> Self {
        let progress = match &answer.stopped {
            Stopped::Astray => false,
            _ if answer.draft.is_grafted() => answer.draft.has_closed(),
            _ => answer.raw.len() > answer.given && held.is_some(),
        };
        Self {
            anything: held.is_some(),
            progress,
            // One who thinks cannot be given the beginning of what comes behind the thoughts.
            goes_on: goes_on && !answer.reasoned,
        }
    }
}

/// Decides what follows an answer that broke off, and notes it in the record; false where nothing does.
pub(super) fn next(
    record: &mut AttemptRecord,
    broken: &Broken,
    stands: Stands,
    continuations_max: u32,
) -> bool {
    let before = &mut record.continuation;
    let is_free = broken.is_limit;
    if !is_free {
        before.count(stands.progress);
        before.loops += u32::from(broken.is_loop);
    }
    let has_most =
        before.made >= continuations_max || before.barren >= BARREN_MAX || before.loops > LOOPS_MAX;
    if !stands.anything || continuations_max == 0 || (has_most && !is_free) {
        return false;
    }
    let goes_on = stands.goes_on && stands.progress && !broken.is_loop;
    let plan = match before.plan {
        // The text of these is the value's.
        Plan::Whole | Plan::Prefill if goes_on => Plan::Prefill,
        Plan::Whole | Plan::Prefill => Plan::Residual,
        // What the provider broke off says nothing against the rung.
        Plan::Residual if stands.progress || broken.reason == Reason::Provider => Plan::Residual,
        Plan::Residual => Plan::Whole,
    };
    if plan == Plan::Whole && !broken.anew {
        return false;
    }
    before.plan = plan;
    before.dropped.clone_from(&broken.dropped);
    before.because = Some(Broke {
        reason: broken.reason,
        error: broken.told(),
        anew: broken.anew,
        is_free,
    });
    true
}

/// The whole is asked for anew, of another model.
pub(super) fn anew(record: &mut AttemptRecord, broken: &Broken) {
    record.continuation.plan = Plan::Whole;
    record.continuation.because = Some(Broke {
        reason: broken.reason,
        error: broken.told(),
        anew: true,
        is_free: false,
    });
}

/// An answer for some places of a value, that was no JSON or left some of them out, is followed by another for those that it did not bring, once:
/// notes that in the record, and gives what is said to the model. `own` is the dialect of the answer, `next` that in which
/// it is asked again. `None` where the whole is to be asked for.
pub(super) fn once_more(
    record: &mut AttemptRecord,
    answer: &Answer,
    fault: &Fault,
    [own, next]: [Dialect; 2],
) -> Option<Vec<Message>> {
    let unread = fault.unread(answer).filter(|_| answer.draft.is_grafted())?;
    let before = &mut record.continuation;
    before.count(answer.draft.has_closed());
    if before.barren >= BARREN_MAX {
        return None;
    }
    let text = if record.splice.is_some() {
        let left = places_left(record, &answer.draft)?;
        format!("{unread} {}", dialect::ask_rest(next, &left, &[]))
    } else {
        // What is asked for is told where it is known.
        before.plan = Plan::Residual;
        unread
    };
    Some(conversation::turns(own, answer, &text, false))
}

/// Of an answer for some places of a whole, those that came are taken: the others, which are asked for next. `None` where
/// that cannot be told.
pub(super) fn places_left(record: &mut AttemptRecord, draft: &Draft) -> Option<Vec<Spot>> {
    let asked = record.splice.as_ref()?;
    let left: Vec<String> = draft
        .unanswered()
        .iter()
        .map(|spot| spot.pointer().to_owned())
        .collect();
    if left.is_empty() {
        return None;
    }
    let best = parse_written(record.best.as_deref()?).ok()?;
    let mut taken = Folded {
        value: Some(best),
        cursor: None,
    };
    let came = Folded {
        value: draft.value(),
        cursor: None,
    };
    for path in asked.iter().filter(|place| !left.contains(place)) {
        let value = came.at(path)?.clone();
        let path = path.clone();
        taken.apply(Op::Set { path, value }).ok()?;
    }
    let taken = taken.value?;
    Graft::new(taken.clone(), &left)?;
    record.best = Some(taken.to_json());
    let spots = left.iter().cloned().map(Spot::Fix).collect();
    record.splice = Some(left);
    Some(spots)
}

/// What is said to a model that broke off within such an answer: what came of it, and what is asked for next.
pub(super) fn ask_left(draft: &Draft, left: &[Spot], next: Dialect) -> [Message; 2] {
    let said = draft.text_value();
    let said = said.map_or_else(|| "{}".to_owned(), |value| value.to_json());
    [
        Message::text(Role::Assistant, said),
        Message::text(Role::User, dialect::ask_rest(next, left, &[])),
    ]
}
