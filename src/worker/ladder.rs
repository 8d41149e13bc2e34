//! What follows an answer that broke off: the model goes on with its own text, or is asked for what the value lacks, or
//! starts over; or the job ends with what was reached.
//!
//! Which rung comes next is decided here, from what stands and what the attempt has brought; whether it can be stepped
//! on is found out where the attempt is prepared (`course`), which takes the next one where it cannot.

use super::attempt::{Answer, Stopped};
use super::judge::Broken;
use crate::job::{AttemptRecord, Broke, Message, Plan, Role};
use crate::partial::{Folded, Graft, Op, Spot, Value, parse_written};
use crate::schema::dialect::{self, Dialect};

/// Attempts in a row that may bring nothing.
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
            _ if answer.draft.is_grafted() => !answer.draft.is_bare(),
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
    before.barren = if stands.progress { 0 } else { before.barren + 1 };
    before.loops += u32::from(broken.is_loop);
    let is_over = before.made >= continuations_max || before.barren >= BARREN_MAX || before.loops > LOOPS_MAX;
    if !stands.anything || is_over {
        return false;
    }
    let goes_on = stands.goes_on && stands.progress && !broken.is_loop;
    let plan = match before.plan {
        // The text of these is the value's.
        Plan::Whole | Plan::Prefill if goes_on => Plan::Prefill,
        Plan::Whole | Plan::Prefill => Plan::Residual,
        Plan::Residual if stands.progress => Plan::Residual,
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
    });
    true
}

/// The whole is asked for anew, of another model.
pub(super) fn anew(record: &mut AttemptRecord, broken: &Broken) {
    record.splice = None;
    record.continuation.plan = Plan::Whole;
    record.continuation.because = Some(Broke {
        reason: broken.reason,
        error: broken.told(),
        anew: true,
    });
}

/// An answer for some places of a whole that broke off: those that came are taken, the others asked for again. `None`
/// where that cannot be told.
pub(super) fn places_left(record: &mut AttemptRecord, answer: &Answer, next: Dialect) -> Option<()> {
    let asked = record.splice.as_ref()?;
    let left: Vec<String> = answer
        .draft
        .unanswered()
        .iter()
        .map(|spot| spot.pointer().to_owned())
        .collect();
    let best = parse_written(record.best.as_deref()?).ok()?;
    let mut taken = Folded {
        value: Some(best),
        cursor: None,
    };
    let came = Folded {
        value: answer.draft.value(),
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
    let said = answer
        .draft
        .text_value()
        .map_or_else(|| "{}".to_owned(), |value| value.to_json());
    record.conversation.push(Message::text(Role::Assistant, said));
    let spots: Vec<Spot> = left.iter().cloned().map(Spot::Fix).collect();
    let text = dialect::ask_rest(next, &spots, &[]);
    record.conversation.push(Message::text(Role::User, text));
    record.splice = Some(left);
    Some(())
}
