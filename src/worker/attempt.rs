//! One attempt: the model's stream in, changes of the draft into the journal, until the answer has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::conversation::told;
use super::course::Reading;
use super::doom::{self, Doom};
use super::guard::{Bounds, Guard, Overrun};
use super::hooks;
use super::joint::{Joined, Joint};
use super::journal::{Closed, InFlight, Journal};
use super::lease::Signal;
use super::notes::Notes;
use super::pace::Pace;
use crate::clock;
use crate::event::{Hook, NoteKind};
use crate::job::{AttemptError, Usage};
use crate::llm::{Carrier, Chunk, Finish, LlmError, LlmErrorKind, Stream};
use crate::partial::{self, Draft, End, Turn, Value};
use crate::schema::{Closing, Violation};

/// What an attempt keeps to.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// Where the answer travels.
    pub(super) carrier: Carrier,
    /// In which changes are gathered.
    pub(super) window: Duration,
    /// On which the ends of windows fall.
    pub(super) beat: Duration,
    /// When the job's time is over.
    pub(super) deadline: Instant,
    /// When the attempt's is.
    pub(super) until: Instant,
    /// What the answer's form keeps to.
    pub(super) bounds: Bounds,
    /// Bytes of notes in one window, of prose beside calls, and of text behind the value.
    pub(super) note_bytes_max: usize,
    /// Bytes of a refusal.
    pub(super) refusal_bytes_max: usize,
    /// When the model was asked.
    pub(super) asked: Instant,
    /// Whether hooks are told.
    pub(super) hooks: bool,
    /// Bytes that the job can pay for.
    pub(super) paid_bytes_max: usize,
}

/// How the stream ended.
#[derive(Debug)]
pub(super) enum Stopped {
    /// By the provider's finish frame.
    Finish(Finish),
    /// By us: nothing behind it could have made it valid.
    Aborted,
    /// By an error of the draft: no completion of the text could be valid.
    BadText,
    /// By a fault of the provider.
    Provider(LlmError),
    /// By the job's time limit.
    Deadline,
    /// By the attempt's.
    Late,
    /// It would have had no end.
    Overrun(Overrun),
    /// It did not go on from the text that was given; nothing of it was taken.
    Astray,
    /// By the job's budget.
    Budget,
    /// Because somebody asked for the job's end.
    Cancelled,
    /// Because the worker goes down.
    Drain,
}

/// An answer as far as it came.
pub(super) struct Answer {
    pub(super) stopped: Stopped,
    /// How the text ended.
    pub(super) end: End,
    pub(super) draft: Draft,
    /// What was found wrong with it while it grew.
    pub(super) closing: Arc<Closing>,
    /// How much of the text was given to the model.
    pub(super) given: usize,
    /// Whether the model told its thoughts.
    pub(super) reasoned: bool,
    /// What it was not heard on for.
    pub(super) doomed: Vec<Violation>,
    /// The text the draft was made of; of several calls, their pieces in the order of their coming.
    pub(super) raw: String,
    /// What a model that was to call a tool said instead, up to a bound.
    pub(super) said: String,
    /// The tool calls that carried it, in the draft's order.
    pub(super) calls: Vec<Call>,
    /// What lenient reading put right.
    pub(super) repairs: usize,
    pub(super) refusal: String,
    /// What the provider counted.
    pub(super) usage: Option<Usage>,
    /// Bytes the model said, beside the value too.
    pub(super) bytes: usize,
}

impl Terms {
    fn ends_at(&self) -> Instant {
        self.deadline.min(self.until)
    }

    /// Which of the two times it was.
    fn ended(&self) -> Stopped {
        if self.deadline <= self.until {
            Stopped::Deadline
        } else {
            Stopped::Late
        }
    }
}

impl Answer {
    /// One that goes on from this text.
    fn new(draft: Draft, closing: Arc<Closing>, text: String) -> Self {
        Self {
            stopped: Stopped::Deadline,
            end: End::Truncated,
            draft,
            closing,
            doomed: Vec::new(),
            given: text.len(),
            reasoned: false,
            raw: text,
            said: String::new(),
            calls: Vec::new(),
            repairs: 0,
            refusal: String::new(),
            usage: None,
            bytes: 0,
        }
    }

    /// A value that stands, of an answer that nobody has any more, as if a model had said it.
    pub(super) fn read_back(value: &Value, closing: Arc<Closing>) -> Self {
        let text = value.to_json();
        let mut draft = Draft::of_written(&text);
        let end = draft.finish().end;
        Self {
            stopped: Stopped::Finish(Finish::Stop),
            end,
            ..Self::new(draft, closing, text)
        }
    }
}

/// A tool call of the draft, as the model made it.
#[derive(Default)]
pub(super) struct Call {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

/// Reads one answer.
pub(super) struct Attempt<'a> {
    journal: &'a mut Journal,
    signal: &'a mut watch::Receiver<Signal>,
    terms: Terms,
    doom: Doom,
    /// Whether what was read last has something wrong in it.
    violated: bool,
    answer: Answer,
    notes: Notes,
    /// That the first of the answer has come, until it is told.
    hook: Option<Hook>,
    pace: Pace,
    /// Whether anything waits to be flushed.
    dirty: bool,
    /// Whether the draft has read on since its last flush.
    changed: bool,
    /// Whether this window has told a note.
    noted: bool,
    in_flight: Option<InFlight>,
    /// How many of the draft's repairs were told.
    repairs_told: usize,
    /// Bytes of the text when the value had closed.
    closed_at: Option<usize>,
    /// Where the text has not met yet the one that it is to go on from.
    joint: Option<Joint>,
    guard: Guard,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        journal: &'a mut Journal,
        signal: &'a mut watch::Receiver<Signal>,
        reading: Reading,
        doom: Doom,
        terms: Terms,
    ) -> Self {
        let answer = Answer::new(reading.draft, reading.closing, journal.text().to_owned());
        Self {
            journal,
            signal,
            terms,
            doom,
            violated: false,
            answer,
            notes: Notes::default(),
            hook: None,
            pace: Pace::new(terms.window, terms.beat),
            dirty: false,
            noted: false,
            in_flight: None,
            changed: false,
            repairs_told: 0,
            closed_at: None,
            joint: reading.joint,
            guard: Guard::new(terms.bounds),
        }
    }

    /// Reads the stream to its end. Whatever ends it, what was read is in the log before this returns.
    pub(super) async fn run(mut self, mut stream: Stream) -> Result<Answer, Closed> {
        let mut stopped = loop {
            if let Some(stopped) = self.turn(&mut stream).await? {
                break stopped;
            }
        };
        // The provider's connection closes here, before anything else is written.
        drop(stream);
        let by_will = matches!(&stopped, Stopped::Finish(finish) if *finish != Finish::Length);
        let outcome = if by_will {
            self.answer.draft.finish()
        } else {
            self.answer.draft.cut()
        };
        (self.answer.end, self.answer.repairs) = (outcome.end, outcome.repairs);
        if matches!(stopped, Stopped::Cancelled) {
            closed(self.land().await)?;
        } else {
            self.hear_draft();
            if let Some(cancelled) = closed(self.drain().await)? {
                stopped = cancelled;
            }
        }
        self.journal.keep(&self.answer.draft, &self.answer.raw);
        self.answer.stopped = stopped;
        Ok(self.answer)
    }

    /// Waits for the next thing and does it. At most one append is in flight; the stream is read meanwhile.
    async fn turn(&mut self, stream: &mut Stream) -> Result<Option<Stopped>, Closed> {
        let free = self.in_flight.is_none();
        let rests_until = self.pace.rests_until().filter(|_| !stream.is_ending());
        tokio::select! {
            biased;
            changed = self.signal.changed() => return signalled(changed.is_ok(), *self.signal.borrow()),
            (append, answer) = in_flight(&mut self.in_flight) => {
                self.in_flight = None;
                let settled = self.journal.settle(append, answer, &mut Some(&mut self.answer.draft)).await;
                return closed(settled);
            }
            () = clock::sleep_until(self.pace.flush_at()), if self.dirty && free => self.flush(),
            () = clock::sleep_until(self.terms.ends_at()) => return Ok(Some(self.terms.ended())),
            () = clock::sleep_until(rests_until.unwrap_or_else(clock::now)), if rests_until.is_some() => {}
            chunk = stream.next(), if rests_until.is_none() => {
                let stopped = self.came(chunk);
                return Ok(stopped.or_else(|| self.take_ready(stream)));
            }
        }
        Ok(None)
    }

    fn came(&mut self, chunk: Option<Result<Chunk<'_>, LlmError>>) -> Option<Stopped> {
        match chunk {
            Some(Ok(chunk)) => self.take(chunk),
            Some(Err(error)) => self.met().or(Some(Stopped::Provider(error))),
            None => self.met().or_else(|| {
                let cut = LlmError::new(LlmErrorKind::Cut, "the stream ended without its finish");
                Some(Stopped::Provider(cut))
            }),
        }
    }

    /// What came with the same read is heard without waiting for anything else.
    fn take_ready(&mut self, stream: &mut Stream) -> Option<Stopped> {
        while let Some(chunk) = stream.ready() {
            if let Some(stopped) = self.take(chunk) {
                return Some(stopped);
            }
        }
        None
    }

    fn take(&mut self, chunk: Chunk<'_>) -> Option<Stopped> {
        self.pace.read();
        let is_first = self.answer.bytes == 0;
        let stopped = self.hear(chunk);
        if self.terms.hooks && is_first && self.answer.bytes > 0 {
            self.hook = Some(hooks::first_token(self.journal.record.n, self.terms.asked));
            self.dirty = true;
        }
        stopped.or_else(|| self.faulty())
    }

    fn hear(&mut self, chunk: Chunk<'_>) -> Option<Stopped> {
        match chunk {
            Chunk::Text(text) if self.terms.carrier == Carrier::Text => {
                self.answer.bytes += text.len();
                return self.join(&text);
            }
            Chunk::Text(text) => {
                self.answer.bytes += text.len();
                push_up_to(&mut self.answer.said, &text, self.terms.note_bytes_max);
                self.note(NoteKind::Text, &text);
                return self.guard.beside(text.len()).map(Stopped::Overrun);
            }
            Chunk::Call {
                index,
                id,
                name,
                arguments,
            } => {
                return self.call(index, id.as_deref(), name.as_deref(), &arguments);
            }
            Chunk::Reasoning(text) => {
                self.answer.bytes += text.len();
                self.answer.reasoned = true;
                self.note(NoteKind::Reasoning, &text);
            }
            Chunk::Refusal(text) => {
                self.answer.bytes += text.len();
                push_up_to(&mut self.answer.refusal, &text, self.terms.refusal_bytes_max);
            }
            Chunk::Usage(usage) => self.answer.usage = Some(usage),
            Chunk::Finish(finish) => return self.met().or(Some(Stopped::Finish(finish))),
        }
        None
    }

    fn faulty(&mut self) -> Option<Stopped> {
        if self.answer.draft.error().is_some() {
            return Some(Stopped::BadText);
        }
        if self.answer.bytes > self.terms.paid_bytes_max {
            return Some(Stopped::Budget);
        }
        let violated = std::mem::take(&mut self.violated);
        self.answer.doomed = self.doom.strikes(&self.answer.draft, violated)?;
        Some(Stopped::Aborted)
    }

    /// Reads text that may have to go on from what was given.
    fn join(&mut self, text: &str) -> Option<Stopped> {
        let Some(joint) = &mut self.joint else {
            return self.text(text);
        };
        let joined = joint.take(text);
        self.joined(joined)
    }

    /// No more text comes: what has waited goes on from what was given, or the answer has gone astray.
    fn met(&mut self) -> Option<Stopped> {
        let joined = self.joint.as_mut()?.end();
        self.joined(joined).or_else(|| self.faulty())
    }

    fn joined(&mut self, joined: Joined) -> Option<Stopped> {
        match joined {
            Joined::Waits => None,
            Joined::Breaks => Some(Stopped::Astray),
            Joined::Goes(text) => {
                self.joint = None;
                self.text(&text)
            }
        }
    }

    fn note(&mut self, kind: NoteKind, text: &str) {
        self.notes
            .push(kind, text, self.changed, self.terms.note_bytes_max);
        self.dirty = true;
    }

    fn text(&mut self, text: &str) -> Option<Stopped> {
        // The value has its own limit; what a model goes on to say behind it has not.
        if self.answer.draft.is_closed() {
            let closed_at = *self.closed_at.get_or_insert(self.answer.raw.len());
            push_up_to(&mut self.answer.raw, text, closed_at + self.terms.note_bytes_max);
        } else {
            self.answer.raw.push_str(text);
        }
        self.answer.draft.feed(text.as_bytes());
        self.hear_draft();
        self.grown(text.len())
    }

    fn grown(&mut self, bytes: usize) -> Option<Stopped> {
        let overrun = self.guard.grown(bytes, &self.answer.raw, &self.answer.draft);
        overrun.map(Stopped::Overrun)
    }

    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Option<Stopped> {
        self.answer.bytes += arguments.len();
        let turn = self.answer.draft.feed_call(index, id, name, arguments.as_bytes());
        let (Turn::Call(slot) | Turn::Instead(slot)) = turn else {
            self.hear_draft();
            return None;
        };
        if turn == Turn::Instead(slot) && self.answer.calls.len() == 1 {
            self.answer.raw.clear();
            // A call has taken the place of another.
            self.journal.text_anew();
        }
        self.answer.raw.push_str(arguments);
        let calls = &mut self.answer.calls;
        calls.resize_with(calls.len().max(slot + 1), Call::default);
        if let Some(call) = calls.get_mut(slot) {
            if turn == Turn::Instead(slot) {
                *call = Call::default();
            }
            call.arguments.push_str(arguments);
            call.id = call.id.take().or_else(|| id.map(str::to_owned));
            call.name = call.name.take().or_else(|| name.map(str::to_owned));
        }
        self.hear_draft();
        self.grown(arguments.len())
    }

    /// Takes over what the draft tells beside its value.
    fn hear_draft(&mut self) {
        for note in self.answer.draft.take_notes() {
            let kind = match note.kind {
                partial::NoteKind::Reasoning => NoteKind::Reasoning,
                partial::NoteKind::Text => NoteKind::Text,
            };
            self.note(kind, &note.text);
        }
        let repairs = self.answer.draft.repairs();
        let told = self.repairs_told.min(repairs.len());
        self.repairs_told = repairs.len();
        let lines: Vec<String> = repairs[told..]
            .iter()
            .map(|repair| partial::Repair {
                path: self.answer.draft.place(&repair.path),
                ..repair.clone()
            })
            .map(|repair| format!("repaired: {repair}\n"))
            .collect();
        let news = doom::holding(&self.answer.draft, self.answer.closing.take_news());
        (self.dirty, self.changed) = (true, true);
        for line in lines {
            self.note(NoteKind::Warning, &line);
        }
        if !news.is_empty() {
            self.violated = true;
            self.tell_violations(&news);
        }
    }

    /// Tells what has closed and is invalid, at its place in the value.
    fn tell_violations(&mut self, news: &[Violation]) {
        let at_its_place = |violation: &Violation| AttemptError {
            path: self.answer.draft.place(&violation.path),
            ..told(violation)
        };
        let errors = news.iter().map(at_its_place).collect();
        self.notes.invalid(errors, self.terms.note_bytes_max);
    }

    /// Sends the next of what has gathered, in the order of its coming: notes, the draft's changes, later notes.
    fn flush(&mut self) {
        if let Some(hook) = self.hook.take() {
            self.in_flight = Some(self.journal.hook(hook));
            return;
        }
        if let Some(note) = self.notes.pop() {
            self.noted = true;
            self.in_flight = Some(self.journal.note(note));
            return;
        }
        self.changed = false;
        self.in_flight = self.journal.flush(&mut self.answer.draft, &self.answer.raw);
        self.dirty = self.notes.go_on();
        if self.dirty {
            return;
        }
        // A flush that had nothing to tell opens no window: the first change goes at once.
        if std::mem::take(&mut self.noted) || self.in_flight.is_some() {
            self.pace.told();
        }
    }

    /// Writes all that is left.
    async fn drain(&mut self) -> Result<(), Closed> {
        self.dirty = true;
        loop {
            self.land().await?;
            if !self.dirty {
                return Ok(());
            }
            self.flush();
        }
    }

    /// Waits for the append that is on its way: nothing else may be sent meanwhile (rule E3).
    async fn land(&mut self) -> Result<(), Closed> {
        let Some(waiting) = self.in_flight.take() else {
            return Ok(());
        };
        let (append, answer) = waiting.await;
        self.journal
            .settle(append, answer, &mut Some(&mut self.answer.draft))
            .await
    }
}

fn push_up_to(gathered: &mut String, text: &str, bytes_max: usize) {
    let room = bytes_max.saturating_sub(gathered.len());
    gathered.push_str(&text[..text.floor_char_boundary(room)]);
}

fn signalled(alive: bool, signal: Signal) -> Result<Option<Stopped>, Closed> {
    match signal {
        Signal::Go if alive => Ok(None),
        Signal::Go | Signal::Lost => Err(Closed::Lost),
        Signal::Cancel => Ok(Some(Stopped::Cancelled)),
        Signal::Drain => Ok(Some(Stopped::Drain)),
    }
}

/// A cancel that the log tells is as good as the signal.
fn closed(settled: Result<(), Closed>) -> Result<Option<Stopped>, Closed> {
    match settled {
        Ok(()) => Ok(None),
        Err(Closed::Cancelled) => Ok(Some(Stopped::Cancelled)),
        Err(Closed::Lost) => Err(Closed::Lost),
    }
}

/// The append that is on its way; for ever pending where there is none.
async fn in_flight(waiting: &mut Option<InFlight>) -> (crate::backend::Append, crate::backend::Appended) {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}
