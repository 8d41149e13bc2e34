//! The one writer of a running job's log: knows where it ends, numbers what is written, and survives lost answers
//! and lost writes.

mod ending;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::ending::give_up;
use super::WorkerOptions;
use crate::backend::{Append, Appended, Backend, BackendError, Claim, Write};
use crate::clock;
use crate::event::{AttemptBegins, Epoch, Event, Fold, Hook, Note, NoteKind, PatchWriter, Position};
use crate::job::{AttemptRecord, JobId, JobState, LeaseToken, Reason};
use crate::metrics;
use crate::partial::{Draft, OpSink as _, Value};

/// Why the journal takes no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Closed {
    /// The lease is gone: what this worker does no longer matters.
    #[error("the lease is gone")]
    Lost,
    /// The job is to be cancelled: only its end is still taken.
    #[error("the job is to be cancelled")]
    Cancelled,
}

/// The writer.
pub(super) struct Journal {
    backend: Arc<dyn Backend>,
    tail_bytes_max: usize,
    resend: Duration,
    pub(super) job: JobId,
    token: LeaseToken,
    /// The state as the log has it, but for what the draft holds: the value, the open places, the cursor.
    fold: Fold,
    patches: PatchWriter,
    /// The value that stands in the log before an attempt has told anything of its own, and once it has ended, in case
    /// the log loses it.
    reached: Option<Value>,
    /// Whether the attempt that runs has told anything of its value.
    told: bool,
    /// Whether a write behind the log's end was given up without knowing that it never stood there: what comes next
    /// then opens an epoch, since (epoch, seq) never means two things.
    abandoned: bool,
    tail_bytes: usize,
    /// The raw text of the attempt, as far as it was written.
    raw: String,
    /// Whether what was written of it is no beginning of what it is now.
    raw_anew: bool,
    /// Bytes of the value that the attempt's text is grafted onto.
    base_bytes: usize,
    pub(super) record: AttemptRecord,
}

/// How an attempt stands to the draft.
#[derive(Default)]
pub(super) struct Opening {
    /// What is open of a draft that stays; `None`: it is emptied.
    pub(super) at: Option<Vec<String>>,
    /// The text that the attempt goes on with.
    pub(super) text: String,
    /// Bytes of the value that its text is put onto.
    pub(super) base_bytes: usize,
}

/// An append that is on its way: it borrows nothing, so that the model's stream is read meanwhile.
pub(super) type InFlight = std::pin::Pin<Box<dyn Future<Output = (Append, Appended)> + Send>>;

impl Journal {
    /// Goes on from a claim.
    pub(super) fn new(backend: Arc<dyn Backend>, claim: &Claim, options: &WorkerOptions) -> Self {
        Self {
            tail_bytes_max: options.tail_bytes,
            resend: options.resend,
            backend,
            job: claim.id,
            token: claim.token(),
            fold: Fold {
                position: claim.position,
                status: JobState::Running,
                reason: None,
                until_ms: None,
                value: None,
                ..claim.checkpoint.fold.clone()
            },
            patches: PatchWriter::new(claim.id.tag(), None),
            reached: claim.checkpoint.fold.value.clone(),
            told: false,
            abandoned: false,
            tail_bytes: 0,
            raw: claim.checkpoint.raw.clone(),
            raw_anew: false,
            base_bytes: 0,
            record: claim.checkpoint.record.clone(),
        }
    }

    /// Sends an append byte for byte until it is answered; the lease bounds how long that can matter.
    fn send(&self, append: Append) -> impl Future<Output = (Append, Appended)> + Send + use<> {
        let (backend, job, token, resend) = (Arc::clone(&self.backend), self.job, self.token, self.resend);
        async move {
            loop {
                match backend.append(job, token, &append).await {
                    Ok(answer) => {
                        counted(answer);
                        return (append, answer);
                    }
                    Err(error) => wait_to_resend(job, &error, resend).await,
                }
            }
        }
    }

    fn next(&self) -> Position {
        Position {
            seq: self.fold.position.seq + 1,
            ..self.fold.position
        }
    }

    /// Tells a warning, while no answer is read.
    pub(super) async fn warn(&mut self, text: String) -> Result<(), Closed> {
        let warning = Note {
            kind: NoteKind::Warning,
            text,
            errors: Vec::new(),
        };
        let (append, answer) = self.note(warning).await;
        self.settle(append, answer, &mut None).await
    }

    /// The value that viewers hold while no attempt runs.
    pub(super) const fn reached(&self) -> Option<&Value> {
        self.reached.as_ref()
    }

    /// The places of it that are open.
    pub(super) fn open(&self) -> &[String] {
        &self.fold.at
    }

    /// The text of the attempt that ran.
    pub(super) fn text(&self) -> &str {
        &self.raw
    }

    /// Begins an attempt: the draft is emptied, or these places of it are open again; the record says so.
    pub(super) async fn begin(&mut self, reason: Reason, opening: Opening) -> Result<(), Closed> {
        self.record.n += 1;
        let mut errors = self.record.mends.take().unwrap_or_default();
        self.record.reasks += u32::from(reason == Reason::Invalid);
        let broke = self.record.continuation.because.take();
        self.record.continuation.made += u32::from(broke.as_ref().is_some_and(|broke| !broke.is_free));
        errors.extend(broke.map(|broke| broke.error));
        let reopened = opening.at;
        let begins = AttemptBegins {
            attempt: self.record.n,
            reason,
            reset: reopened.is_none(),
            at: reopened.unwrap_or_default(),
            errors,
        };
        self.fold.begin(&begins);
        (self.raw, self.raw_anew) = (opening.text, false);
        self.base_bytes = opening.base_bytes;
        if begins.reset {
            self.reached = None;
            self.record.undropped = None;
        }
        self.told = false;
        self.patches.forget_cursor();
        let append = Append {
            record: Some(self.record.clone()),
            // Also where the draft stays: the text is of this attempt.
            raw_anew: true,
            ..self.append(Event::Attempt(begins), self.raw.clone(), None)
        };
        let (append, answer) = self.send(append).await;
        self.settle(append, answer, &mut None).await
    }

    /// Begins it again, where nothing was told that its text says.
    pub(super) fn begin_again(&mut self, opening: Opening) {
        self.raw = opening.text;
        self.told = false;
        self.text_anew();
    }

    /// The text goes on from its beginning, whatever was written of it.
    pub(super) const fn text_anew(&mut self) {
        self.raw_anew = true;
    }

    /// Takes places out of the value that was reached, in this order; what is left is given.
    pub(super) async fn remove(&mut self, places: &[String], left: Value) -> Result<(), Closed> {
        let encoder = self.patches.begin(self.next().seq);
        for path in places {
            encoder.remove(path);
        }
        let frame: Arc<str> = self.patches.end(None).into();
        self.tail_bytes += frame.len();
        self.reached = Some(left);
        self.fold.cursor = None;
        let append = Append {
            record: Some(self.record.clone()),
            ..self.append(Event::Patch(frame), String::new(), None)
        };
        let (append, answer) = self.send(append).await;
        self.settle(append, answer, &mut None).await
    }

    /// Keeps what an attempt has reached, all of which was written, and its text, of which the end may have told nothing.
    pub(super) fn keep(&mut self, draft: &Draft, text: &str) {
        self.reached = draft.value();
        text.clone_into(&mut self.raw);
        self.stand_at(draft);
    }

    fn stand_at(&mut self, draft: &Draft) {
        self.fold.at = draft.open_paths();
        self.fold.cursor = self.patches.cursor().map(str::to_owned);
    }

    /// Writes a note. Before the first change of the value there is nothing to be lost with the tail, so a model that
    /// thinks for long does not let it grow.
    pub(super) fn note(&mut self, note: Note) -> InFlight {
        self.beside(Event::Note(note))
    }

    /// Writes a hook, in the same way.
    pub(super) fn hook(&mut self, hook: Hook) -> InFlight {
        self.beside(Event::Hook(Box::new(hook)))
    }

    /// Writes a hook while no answer is read.
    pub(super) async fn tell(&mut self, hook: Hook) -> Result<(), Closed> {
        let (append, answer) = self.hook(hook).await;
        self.settle(append, answer, &mut None).await
    }

    fn beside(&mut self, event: Event) -> InFlight {
        self.tail_bytes += event.bytes();
        let snapshot = (!self.told).then(|| self.due_snapshot(None)).flatten();
        let append = self.append(event, String::new(), snapshot);
        Box::pin(self.send(append))
    }

    /// Writes what has changed in the draft since the flush before; `raw` is the text it came from. `None` when
    /// nothing is to be told: the text then waits for the next.
    pub(super) fn flush(&mut self, draft: &mut Draft, raw: &str) -> Option<InFlight> {
        let seq = self.next().seq;
        let frame: Arc<str> = self.patches.flush(draft, seq)?.into();
        self.record.changed_ms.get_or_insert_with(clock::now_ms);
        // From here on the answer is in the log: whose it is has to be there, too.
        let first = !std::mem::replace(&mut self.told, true);
        self.tail_bytes += frame.len();
        // The first frame of an attempt takes away what is not to be gone on with.
        let taken = self.record.continuation.dropped.take();
        let raw_anew = std::mem::take(&mut self.raw_anew);
        if raw_anew {
            self.raw.clear();
        }
        let delta = raw[self.raw.len()..].to_owned();
        self.raw.push_str(&delta);
        let snapshot = self.due_snapshot(Some(draft));
        let record = (first || taken.is_some()).then(|| self.record.clone());
        let append = Append {
            record,
            raw_anew,
            ..self.append(Event::Patch(frame), delta, snapshot)
        };
        Some(Box::pin(self.send(append)))
    }

    /// The folded state, where the tail has outgrown its bound.
    fn due_snapshot(&mut self, draft: Option<&Draft>) -> Option<Arc<Fold>> {
        let draft_bytes = self.base_bytes + self.raw.len();
        if self.tail_bytes <= self.tail_bytes_max.max(draft_bytes / 2) {
            return None;
        }
        self.tail_bytes = 0;
        if let Some(draft) = draft {
            self.stand_at(draft);
        }
        Some(Arc::new(Fold {
            position: self.next(),
            value: draft.map_or_else(|| self.reached.clone(), Draft::value),
            ..self.fold.clone()
        }))
    }

    fn append(&self, event: Event, raw: String, snapshot: Option<Arc<Fold>>) -> Append {
        let write = Write {
            position: self.next(),
            opens: false,
            event,
        };
        Append {
            write,
            raw,
            raw_anew: false,
            record: None,
            snapshot,
        }
    }

    /// Takes the answer of an append. After a rollback the whole state is written in a new epoch (rule E7), which
    /// needs the draft.
    pub(super) async fn settle(
        &mut self,
        append: Append,
        answer: Appended,
        draft: &mut Option<&mut Draft>,
    ) -> Result<(), Closed> {
        match answer {
            Appended::Ok | Appended::Dup => {
                self.fold.position = append.write.position;
                Ok(())
            }
            Appended::Lost => Err(Closed::Lost),
            Appended::Cancel => Err(self.cancelled()),
            Appended::RolledBack(last) => self.restate(last, draft).await,
        }
    }

    async fn restate(&mut self, mut last: Position, draft: &mut Option<&mut Draft>) -> Result<(), Closed> {
        if let Some(draft) = draft {
            // What had not been told yet is told with the state.
            self.patches.pass_over(draft);
            self.record.continuation.dropped = None;
            self.stand_at(draft);
        }
        let value = match draft {
            Some(draft) => draft.value(),
            None => self.reached.clone(),
        };
        self.told |= value.is_some();
        loop {
            let position = Position {
                epoch: Epoch::new(clock::nonce()),
                seq: last.seq + 1,
            };
            let state = Fold {
                position,
                status: JobState::Running,
                value: value.clone(),
                ..self.fold.clone()
            };
            let write = Write {
                position,
                opens: true,
                event: Event::State(Box::new(state.clone())),
            };
            let append = Append {
                write,
                raw: self.raw.clone(),
                raw_anew: false,
                record: Some(self.record.clone()),
                snapshot: Some(Arc::new(state)),
            };
            match self.send(append).await.1 {
                Appended::Ok | Appended::Dup => {
                    self.fold.position = position;
                    self.tail_bytes = 0;
                    return Ok(());
                }
                Appended::RolledBack(again) => last = again,
                Appended::Lost => return Err(Closed::Lost),
                Appended::Cancel => return Err(self.cancelled()),
            }
        }
    }

    /// What was refused may have been written once, and lost, before the cancel came.
    const fn cancelled(&mut self) -> Closed {
        self.abandoned = true;
        Closed::Cancelled
    }
}

/// What is seldom answered is counted.
fn counted(answer: Appended) {
    if let Some(seldom) = answer.seldom() {
        metrics::all().writes_answered.one([seldom]);
    }
}

async fn wait_to_resend(job: JobId, error: &BackendError, longest: Duration) {
    tracing::warn!(%job, %error, "a write was not answered and is sent again");
    clock::sleep(clock::jitter(longest)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::embedded::{Embedded, EngineOptions};
    use crate::backend::{EventLog, JobQueue, Submission};
    use crate::event::{End, Timings};
    use crate::job::{Outcome, Usage};
    use crate::partial::{DraftOptions, Mode, Turn};

    async fn claimed(
        engine: &Arc<Embedded>,
        job: JobId,
    ) -> Result<(Journal, Claim), Box<dyn std::error::Error>> {
        let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#)?;
        let submission = Submission {
            id: job,
            epoch: Epoch::new(clock::nonce()),
            tenant: "one".into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        };
        engine.submit(submission).await?;
        let claim = engine.claim(1, Epoch::new(clock::nonce())).await?;
        let claim = claim.ok_or("ready")?;
        Ok((
            Journal::new(
                Arc::clone(engine) as Arc<dyn Backend>,
                &claim,
                &WorkerOptions::default(),
            ),
            claim,
        ))
    }

    fn end(outcome: Outcome) -> End {
        End {
            outcome,
            error: None,
            sha256: None,
            best: None,
            usage: Usage::default(),
            attempts: Vec::new(),
            timings: Timings::default(),
            durable: true,
        }
    }

    /// A call may take the place of another of which nothing was shown.
    #[tokio::test]
    async fn text_that_begins_anew_is_written_from_its_beginning() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let (mut journal, _) = claimed(&engine, JobId::new(clock::job_uuid())).await?;
        assert_eq!(journal.begin(Reason::First, Opening::default()).await, Ok(()));
        let mut draft = Draft::new(DraftOptions {
            mode: Mode::ParallelTools,
            ..DraftOptions::default()
        });
        draft.feed_call(0, Some("a"), None, b"   ");
        let told = journal.flush(&mut draft, "   ").ok_or("a list")?;
        let (append, answer) = told.await;
        assert_eq!(append.raw, "   ");
        assert_eq!(journal.settle(append, answer, &mut None).await, Ok(()));
        journal.text_anew();
        assert_eq!(
            draft.feed_call(0, Some("b"), None, "{\"é".as_bytes()),
            Turn::Instead(0)
        );
        let told = journal.flush(&mut draft, "{\"é").ok_or("an object")?;
        let (append, _) = told.await;
        assert_eq!(
            (append.raw.as_str(), append.raw_anew, journal.raw_anew),
            ("{\"é", true, false)
        );
        Ok(())
    }

    #[tokio::test]
    async fn an_end_behind_a_refused_write_opens_an_epoch() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let job = JobId::new(clock::job_uuid());
        let (mut journal, claim) = claimed(&engine, job).await?;
        engine.cancel(job, Epoch::new(clock::nonce())).await?;
        assert_eq!(
            journal.begin(Reason::First, Opening::default()).await,
            Err(Closed::Cancelled)
        );
        journal.finish(end(Outcome::Cancelled)).await?;
        let reading = engine.read(job, None).await?.ok_or("the job")?;
        let last = reading.tail.last().ok_or("an end")?;
        assert!(matches!(last.event, Event::End(_)));
        assert_eq!(last.opens, Some(Some(claim.position.epoch)));
        Ok(())
    }
    /// Its place may have been another's, which was seen and then lost.
    #[tokio::test]
    async fn a_delivery_that_died_is_given_up_in_a_new_epoch() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let job = JobId::new(clock::job_uuid());
        let (mut journal, claim) = claimed(&engine, job).await?;
        let replica = engine.state();
        assert_eq!(journal.begin(Reason::First, Opening::default()).await, Ok(()));
        engine.restore(replica);
        give_up(&*engine, job, claim.token(), end(Outcome::Failed), 0).await;
        let reading = engine.read(job, None).await?.ok_or("the job")?;
        let last = reading.tail.last().ok_or("it waits")?;
        assert_eq!(last.event.kind(), "status");
        assert_eq!(last.opens, Some(Some(claim.position.epoch)));
        Ok(())
    }
}
