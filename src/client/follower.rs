//! What a viewer holds of one job: sans-IO, folded by [`Fold`], the house's one merge rule.

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::received::Received;
use super::tally::Tally;
use crate::event::{End, Entry, Event, Fold, Position, Unfoldable};
use crate::job::Outcome;
use crate::partial::{ParseError, Value, parse};
use crate::wire::{
    Assembly, BadParts, Deliver, Form, JobAccepted, JobAttached, JobEnd, JobSnapshot, ServerMessage,
};

/// One job as one viewer has it.
#[derive(Debug)]
pub struct Follower {
    deliver: Deliver,
    job_id: Option<String>,
    tag: Option<String>,
    fold: Option<Fold>,
    /// Whether events may be folded onto what is held: false until a state is known, and after a misfit.
    in_step: bool,
    assembly: Assembly,
    assembling: bool,
    end: Option<Box<JobEnd>>,
    tally: Tally,
}

/// What a message was to the follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// Of another job, or of none.
    Foreign,
    /// The job is watched from now on; `resumed` where the state held goes on.
    Bound {
        /// Whether it goes on from what is held.
        resumed: bool,
    },
    /// A part of a snapshot that is not whole yet.
    Part,
    /// A snapshot replaced the state.
    Replaced,
    /// The draft changed.
    Changed,
    /// Anything but the draft changed.
    Told,
    /// Nothing new: at or below the position held, or before a snapshot that is awaited.
    Skipped,
    /// The end.
    Ended,
}

/// Why what is held cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// An event does not fit the state: attach again without a position.
    #[error(transparent)]
    Unfoldable(#[from] Unfoldable),
    /// The parts of a snapshot do not fit one another.
    #[error(transparent)]
    Parts(#[from] BadParts),
    /// A value in the end is not JSON.
    #[error("the end carries a value that is none: {0}")]
    Value(#[from] ParseError),
    /// The folded value is not the one that the end names.
    #[error("the value held is not the one of the end: {held} is held, {told} was told")]
    Mismatch {
        /// What is held: a hash, or a value.
        held: String,
        /// What the end says.
        told: String,
    },
}

impl FollowError {
    /// Whether a snapshot puts it right; a false end stays false.
    pub const fn heals(&self) -> bool {
        matches!(self, Self::Unfoldable(_) | Self::Parts(_))
    }
}

enum Order {
    Next,
    Repeated,
    Backwards,
}

impl Follower {
    /// A follower of `job_id`.
    pub fn of(job_id: impl Into<String>, deliver: Deliver) -> Self {
        Self {
            job_id: Some(job_id.into()),
            ..Self::unbound(deliver)
        }
    }

    /// A follower of the job that `job.accepted` will name: the first one it is given.
    pub fn unbound(deliver: Deliver) -> Self {
        Self {
            deliver,
            job_id: None,
            tag: None,
            fold: None,
            in_step: false,
            assembly: Assembly::default(),
            assembling: false,
            end: None,
            tally: Tally::default(),
        }
    }

    /// The job, once it is known.
    pub fn job_id(&self) -> Option<&str> {
        self.job_id.as_deref()
    }

    /// How it is watched.
    pub const fn deliver(&self) -> Deliver {
        self.deliver
    }

    /// The state held; `None` before the first.
    pub const fn fold(&self) -> Option<&Fold> {
        self.fold.as_ref()
    }

    /// The draft held.
    pub fn value(&self) -> Option<&Value> {
        self.fold.as_ref().and_then(|fold| fold.value.as_ref())
    }

    /// From where to go on; `None` where only a snapshot helps.
    pub fn position(&self) -> Option<Position> {
        self.fold
            .as_ref()
            .filter(|_| self.in_step)
            .map(|fold| fold.position)
    }

    /// The end, once it was told.
    pub fn end(&self) -> Option<&JobEnd> {
        self.end.as_deref()
    }

    /// What was seen.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes a message. An event at or below the position held changes nothing, but is counted.
    ///
    /// # Errors
    /// What came does not fit what is held. Where it [heals](FollowError::heals), [`position`](Self::position) is
    /// `None` until a snapshot came.
    pub fn take(&mut self, received: &Received) -> Result<Took, FollowError> {
        if !self.is_mine(&received.message) {
            return Ok(Took::Foreign);
        }
        self.tally.frame(received.bytes());
        if self.assembling && !matches!(received.message, ServerMessage::Snapshot(_)) {
            self.assembling = false;
            self.assembly = Assembly::default();
        }
        match &received.message {
            ServerMessage::Accepted(accepted) => Ok(self.accepted(accepted)),
            ServerMessage::Attached(attached) => Ok(self.attached(attached)),
            ServerMessage::Snapshot(snapshot) => self.snapshot(snapshot),
            ServerMessage::Patch(patch) => self.patch(patch.seq, &received.text),
            ServerMessage::LongPatch(patch) => self.patch(patch.seq, &received.text),
            ServerMessage::End(end) => self.ended(end),
            other => match entry_of(other) {
                Some(entry) => self.event(&entry),
                None => Ok(Took::Told),
            },
        }
    }

    fn is_mine(&self, message: &ServerMessage) -> bool {
        match message {
            ServerMessage::Patch(patch) => self.tag.as_ref() == Some(&patch.tag),
            ServerMessage::Accepted(accepted) => {
                self.job_id.is_none() || self.job_id() == Some(&*accepted.job_id)
            }
            other => self.job_id.is_some() && job_of(other) == self.job_id(),
        }
    }

    fn accepted(&mut self, accepted: &JobAccepted) -> Took {
        self.job_id = Some(accepted.job_id.clone());
        self.tag.clone_from(&accepted.tag);
        if accepted.existing {
            self.in_step = false;
            return Took::Bound { resumed: false };
        }
        let position = Position {
            epoch: accepted.epoch,
            seq: accepted.seq,
        };
        self.replace(Fold::submitted(position));
        Took::Bound { resumed: false }
    }

    fn attached(&mut self, attached: &JobAttached) -> Took {
        self.tag.clone_from(&attached.tag);
        self.in_step &= attached.resumed;
        self.tally.resumed += u64::from(attached.resumed);
        Took::Bound {
            resumed: attached.resumed,
        }
    }

    fn snapshot(&mut self, snapshot: &JobSnapshot) -> Result<Took, FollowError> {
        self.assembling = true;
        let whole = self.assembly.take(snapshot.clone()).inspect_err(|_| {
            self.in_step = false;
            self.tally.lost += 1;
        })?;
        let Some(fold) = whole else { return Ok(Took::Part) };
        self.assembling = false;
        if self.in_step && matches!(self.order(fold.position), Order::Backwards) {
            let same_line = self
                .fold
                .as_ref()
                .is_some_and(|held| held.position.epoch == fold.position.epoch);
            self.tally.lost += u64::from(same_line);
        }
        self.tally.snapshots += 1;
        self.replace(fold);
        Ok(Took::Replaced)
    }

    fn replace(&mut self, fold: Fold) {
        self.tally.stands(fold.position);
        self.fold = Some(fold);
        self.in_step = true;
    }

    fn patch(&mut self, seq: u64, frame: &str) -> Result<Took, FollowError> {
        let Some(epoch) = self.position().map(|held| held.epoch) else {
            return Ok(Took::Skipped);
        };
        let position = Position { epoch, seq };
        if !self.goes_on(position) {
            return Ok(Took::Skipped);
        }
        self.fold_in(position, |fold| fold.patch(frame))?;
        Ok(Took::Changed)
    }

    fn event(&mut self, entry: &Entry) -> Result<Took, FollowError> {
        if self.position().is_none() || !self.goes_on(entry.position) {
            return Ok(Took::Skipped);
        }
        self.fold_in(entry.position, |fold| fold.apply(entry))?;
        Ok(Took::Told)
    }

    fn fold_in(
        &mut self,
        position: Position,
        apply: impl FnOnce(&mut Fold) -> Result<(), Unfoldable>,
    ) -> Result<(), FollowError> {
        let Some(fold) = &mut self.fold else { return Ok(()) };
        if let Err(misfit) = apply(fold) {
            self.in_step = false;
            self.tally.lost += 1;
            return Err(misfit.into());
        }
        fold.position = position;
        self.tally.stands(position);
        Ok(())
    }

    fn ended(&mut self, end: &JobEnd) -> Result<Took, FollowError> {
        let entry = end_entry(end);
        if self.end.is_some() {
            // Attaching at or after the end tells it again.
            return Ok(Took::Skipped);
        }
        if self.position().is_none() {
            // A viewer of the end alone holds nothing before it.
            self.replace(Fold::submitted(entry.position));
        } else if !self.goes_on(entry.position) {
            return Ok(Took::Skipped);
        }
        self.fold_in(entry.position, |fold| fold.apply(&entry))?;
        self.end = Some(Box::new(end.clone()));
        self.settle(end)?;
        Ok(Took::Ended)
    }

    /// The value of the end is the fold, always: checked where the viewer folds the log's own form, adopted where it
    /// asked for another look.
    fn settle(&mut self, end: &JobEnd) -> Result<(), FollowError> {
        let told = end.value.as_deref().map(RawValue::get).map(parse).transpose()?;
        let folds = self.deliver.form == Form::Patch && self.deliver.is_plain();
        if !folds {
            if let (Some(fold), Some(told)) = (&mut self.fold, told) {
                fold.value = Some(told);
            }
            return Ok(());
        }
        let held = self.value().map(Value::to_json);
        if let Some(told) = told.map(|told| told.to_json()) {
            equal(held.as_deref().unwrap_or("nothing"), &told)?;
        }
        match &end.sha256 {
            Some(told) => equal(&sha256(held.as_deref().unwrap_or_default()), told),
            None => Ok(()),
        }
    }

    /// Whether `position` is behind the one held; counts it where it is not.
    fn goes_on(&mut self, position: Position) -> bool {
        match self.order(position) {
            Order::Next => return true,
            Order::Repeated => self.tally.duplicated += 1,
            Order::Backwards => self.tally.lost += 1,
        }
        false
    }

    fn order(&self, position: Position) -> Order {
        match self.position() {
            Some(held) if held == position => Order::Repeated,
            Some(held) if position.seq <= held.seq => Order::Backwards,
            _ => Order::Next,
        }
    }
}

fn equal(held: &str, told: &str) -> Result<(), FollowError> {
    if held == told {
        return Ok(());
    }
    let shown = |text: &str| text.chars().take(80).collect();
    Err(FollowError::Mismatch {
        held: shown(held),
        told: shown(told),
    })
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn job_of(message: &ServerMessage) -> Option<&str> {
    match message {
        ServerMessage::Accepted(body) => Some(&body.job_id),
        ServerMessage::Attached(body) => Some(&body.job_id),
        ServerMessage::Snapshot(body) => Some(&body.job_id),
        ServerMessage::LongPatch(body) => Some(&body.job_id),
        ServerMessage::Status(body) => Some(&body.job_id),
        ServerMessage::Attempt(body) => Some(&body.job_id),
        ServerMessage::Note(body) => Some(&body.job_id),
        ServerMessage::Hook(body) => Some(&body.job_id),
        ServerMessage::Degraded(body) => Some(&body.job_id),
        ServerMessage::End(body) => Some(&body.job_id),
        ServerMessage::Patch(_)
        | ServerMessage::Welcome(_)
        | ServerMessage::Detached(_)
        | ServerMessage::Cancelling(_)
        | ServerMessage::Ruled(_)
        | ServerMessage::State(_)
        | ServerMessage::Error(_)
        | ServerMessage::Goodbye(_)
        | ServerMessage::Pong => None,
    }
}

/// The log's entry behind a message that is neither a patch nor an end.
fn entry_of(message: &ServerMessage) -> Option<Entry> {
    let (position, event) = match message {
        ServerMessage::Status(told) => (told.position(), Event::Status(told.event.clone())),
        ServerMessage::Attempt(told) => (told.position(), Event::Attempt(told.event.clone())),
        ServerMessage::Note(told) => (told.position(), Event::Note(told.event.clone())),
        ServerMessage::Hook(told) => (told.position(), Event::Hook(Box::new(told.event.clone()))),
        _ => return None,
    };
    Some(Entry {
        position,
        opens: None,
        event,
    })
}

fn end_entry(end: &JobEnd) -> Entry {
    let told = End {
        outcome: end.outcome,
        error: end.error.clone(),
        sha256: end.sha256.clone().filter(|_| end.outcome == Outcome::Completed),
        best: end.best.as_deref().map(|best| best.get().to_owned()),
        usage: end.usage,
        attempts: end.attempts.clone(),
        timings: end.timings,
        durable: end.durable,
    };
    Entry {
        position: Position {
            epoch: end.epoch,
            seq: end.seq,
        },
        opens: None,
        event: Event::End(Box::new(told)),
    }
}
