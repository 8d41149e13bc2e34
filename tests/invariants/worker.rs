//! One who holds a lease: what it says, what it makes of the answers, and what it says where its log has lost some of it.

use std::sync::Arc;

use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;
use livedraft::partial::Value;

use super::store::{Said, Write as Place};
use super::{RETRY_MS, WAIT_MS};
use crate::harness::frame;

/// Something that was sent, to be sent again byte for byte.
#[derive(Clone)]
pub(super) enum Sent {
    Append(Append, Place),
    Defer(Deferral, Place),
    Fail(Failure, Place),
    Finish(Write, Place, Outcome),
}

/// A delivery, as its worker knows it: while it does not know that its lease is lost, it writes as a zombie.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) job: JobId,
    pub(super) token: LeaseToken,
    /// Where it believes the log to end.
    pub(super) at: Position,
    pub(super) draft: Option<String>,
    pub(super) record: AttemptRecord,
    pub(super) fold: Fold,
    /// Where the log ends, where it was told that it lost writes.
    pub(super) back: Option<Position>,
    /// What it sent last, and whether that was answered.
    pub(super) last: Option<(Sent, bool)>,
    /// It was told that it is lost, or that it is done: it says nothing new any more.
    pub(super) over: bool,
    /// Until when it wants its job to wait, by the case's clock.
    pub(super) until: u64,
    /// What its tenant was charged for the job, tokens.
    pub(super) cost: u64,
}

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
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

fn waiting() -> Event {
    Event::Status(StatusChange {
        status: JobState::Waiting,
        reason: None,
        until_ms: None,
    })
}

/// An answer to a worker.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Told {
    Append(Appended),
    Fenced(Fenced),
}

impl Worker {
    /// Where its next entry goes, and whether that opens an epoch.
    fn next(&self) -> (Position, bool) {
        let (at, epoch) = match self.back {
            Some(back) => (back.seq, epoch()),
            None => (self.at.seq, self.at.epoch),
        };
        (Position { epoch, seq: at + 1 }, self.back.is_some())
    }

    pub(super) fn hears(&mut self, sent: &Sent, told: &Told) {
        self.last = Some((sent.clone(), true));
        let (Sent::Append(_, write)
        | Sent::Defer(_, write)
        | Sent::Fail(_, write)
        | Sent::Finish(_, write, _)) = sent;
        match told {
            Told::Append(Appended::RolledBack(last)) | Told::Fenced(Fenced::RolledBack(last)) => {
                self.back = Some(*last);
                // What it said is said again with all the rest.
                self.becomes(&write.said, write.record.as_ref());
            }
            Told::Append(Appended::Ok | Appended::Dup) => {
                (self.at, self.back) = (write.position, None);
                self.becomes(&write.said, write.record.as_ref());
            }
            Told::Append(Appended::Lost) | Told::Fenced(Fenced::Ok | Fenced::Dup | Fenced::Lost) => {
                self.over = true;
            }
            // What was refused may have been written once, and lost, before the cancel came.
            Told::Append(Appended::Cancel) | Told::Fenced(Fenced::Cancel) => self.back = Some(self.at),
        }
    }

    fn becomes(&mut self, said: &Said, record: Option<&AttemptRecord>) {
        match said {
            Said::Text(text) => self.draft.get_or_insert_default().push_str(text),
            Said::Begin => self.draft = None,
            Said::State(_) | Said::Status(_) | Said::End(_) => {}
        }
        if let Some(record) = record {
            self.record.clone_from(record);
        }
    }

    /// All of what a worker holds, where its log has lost some of it.
    fn restate(&self) -> Sent {
        let (position, opens) = self.next();
        let fold = Fold {
            position,
            status: JobState::Running,
            value: self.draft.clone().map(Value::String),
            cursor: None,
            ..self.fold.clone()
        };
        let raw = self.draft.as_ref().map(|draft| format!("\"{draft}"));
        let append = Append {
            write: Write {
                position,
                opens,
                event: Event::State(Box::new(fold.clone())),
            },
            raw: raw.unwrap_or_default(),
            raw_anew: false,
            record: Some(self.record.clone()),
            snapshot: Some(Arc::new(fold)),
        };
        let said = Place {
            position,
            opens,
            said: Said::State(self.draft.clone()),
            record: Some(self.record.clone()),
            trims: true,
        };
        Sent::Append(append, said)
    }

    pub(super) fn begin(&mut self) -> Sent {
        if self.back.is_some() {
            return self.restate();
        }
        let (position, opens) = self.next();
        let mended = self.record.mends.is_some();
        let record = AttemptRecord {
            n: self.record.n + 1,
            reasks: self.record.reasks + u32::from(mended),
            ruled: self.record.ruled,
            ..AttemptRecord::default()
        };
        let begins = AttemptBegins {
            attempt: record.n,
            reason: Reason::First,
            reset: true,
            at: Vec::new(),
            errors: Vec::new(),
        };
        let append = Append {
            write: Write {
                position,
                opens,
                event: Event::Attempt(begins),
            },
            raw: String::new(),
            raw_anew: false,
            record: Some(record.clone()),
            snapshot: None,
        };
        let said = Place {
            position,
            opens,
            said: Said::Begin,
            record: Some(record),
            trims: false,
        };
        Sent::Append(append, said)
    }

    pub(super) fn say(&mut self, letters: u8, trims: bool) -> Sent {
        if self.back.is_some() {
            return self.restate();
        }
        let (position, opens) = self.next();
        let text = "x".repeat(1 + usize::from(letters)) + &position.seq.to_string();
        let (op, raw) = match self.draft {
            None => (format!(r#"["","{text}",0]"#), format!("\"{text}")),
            Some(_) => (format!(r#"["","{text}"]"#), text.clone()),
        };
        let patch = frame(self.job, position.seq, &op);
        let fold = Fold {
            position,
            status: JobState::Running,
            value: Some(Value::String(self.draft.clone().unwrap_or_default() + &text)),
            cursor: Some(String::new()),
            ..self.fold.clone()
        };
        let append = Append {
            write: Write {
                position,
                opens,
                event: Event::Patch(patch.into()),
            },
            raw,
            raw_anew: false,
            record: None,
            snapshot: trims.then(|| Arc::new(fold)),
        };
        let said = Place {
            position,
            opens,
            said: Said::Text(text),
            record: None,
            trims,
        };
        Sent::Append(append, said)
    }

    fn ends(&self, said: Said) -> Place {
        let (position, opens) = self.next();
        Place {
            position,
            opens,
            said,
            record: None,
            trims: false,
        }
    }

    pub(super) fn defer(&mut self, verdict: bool, until: u64) -> Sent {
        let write = self.ends(Said::Status(JobState::Waiting));
        let mut record = self.record.clone();
        if verdict && self.draft.is_some() {
            record.mends = None;
            record.awaited = Some(Awaited {
                attempt: record.n,
                sha256: "5a".to_owned(),
                turns: Vec::new(),
                since_ms: 0,
            });
        }
        self.until = until;
        let deferral = Deferral {
            write: Write {
                position: write.position,
                opens: write.opens,
                event: waiting(),
            },
            record,
            until_ms: clock::now_ms() + WAIT_MS,
        };
        Sent::Defer(deferral, write)
    }

    pub(super) fn fail(&mut self) -> Sent {
        let write = self.ends(Said::Status(JobState::Waiting));
        let failure = Failure {
            again: Write {
                position: write.position,
                opens: write.opens,
                event: waiting(),
            },
            retry_ms: RETRY_MS,
            give_up: Box::new(end(Outcome::Failed)),
        };
        Sent::Fail(failure, write)
    }

    /// A job that is completed has cost what it was thought to; another one nothing.
    pub(super) fn finish(&mut self, outcome: Outcome) -> Sent {
        let write = self.ends(Said::End(outcome));
        let completed = outcome == Outcome::Completed;
        let usage = Usage {
            output_tokens: if completed { self.cost } else { 0 },
            ..Usage::default()
        };
        let end = End {
            usage,
            ..end(outcome)
        };
        let sent = Write {
            position: write.position,
            opens: write.opens,
            event: Event::End(Box::new(end)),
        };
        Sent::Finish(sent, write, outcome)
    }
}
