//! A job shown while it runs: drawn again and again on a terminal, told in plain lines elsewhere.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::outline::{outline, tail};
use super::paint::{Row, Tone};
use super::screen::{HEIGHT, Screen, Stream, WIDTH};
use super::signals::Signals;
use super::{result, words};
use crate::client::{Follower, Following, Received, Took, Update};
use crate::clock;
use crate::event::NoteKind;
use crate::wire::ServerMessage;

/// The shortest time between two drawings.
const FRAME: Duration = Duration::from_millis(30);

/// How a job is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Nothing is said on stderr.
    pub(super) quiet: bool,
    /// Every message of the job goes to stdout, one a line.
    pub(super) messages: bool,
    /// An interrupt asks for the job's end first, instead of leaving it.
    pub(super) owner: bool,
    /// When to leave.
    pub(super) deadline: Option<Instant>,
}

/// When `--timeout` has passed; never, where that is further than time reaches.
pub(super) fn deadline(timeout: Option<u64>) -> Option<Instant> {
    clock::now().checked_add(Duration::from_secs(timeout?))
}

#[derive(Debug)]
struct Show {
    manner: Manner,
    screen: Screen,
    drawn: Option<Instant>,
}

enum Heard {
    Update(Option<Update>),
    Interrupt,
    Deadline,
}

/// Shows a job to its end.
pub(super) async fn to_the_end(mut following: Following, manner: Manner) -> Result<Follower, Failure> {
    let mut show = Show {
        manner,
        screen: Screen::new(Stream::Err),
        drawn: None,
    };
    let mut signals = Signals::listen()?;
    let mut asked = false;
    loop {
        let heard = hear(&mut following, &mut signals, manner.deadline).await?;
        let job = || following.follower().job_id().map(str::to_owned);
        match heard {
            Heard::Update(Some(update)) => show.update(&following, &update)?,
            Heard::Update(None) => break,
            Heard::Interrupt if manner.owner && !asked => {
                asked = true;
                show.say(&Row::of(Tone::Warn, "cancelling; once more to leave"));
                following.cancel().await?;
            }
            Heard::Interrupt => return Err(Failure::Interrupted { job: job() }),
            Heard::Deadline => return Err(Failure::TimedOut { job: job() }),
        }
    }
    show.end(following.follower());
    Ok(following.close().await)
}

async fn hear(
    following: &mut Following,
    signals: &mut Signals,
    deadline: Option<Instant>,
) -> Result<Heard, Failure> {
    let over = async {
        match deadline {
            Some(deadline) => clock::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        update = following.next() => Ok(Heard::Update(update?)),
        () = signals.next() => Ok(Heard::Interrupt),
        () = over => Ok(Heard::Deadline),
    }
}

impl Show {
    fn update(&mut self, following: &Following, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Message(received, took) => return self.message(following.follower(), received, *took),
            Update::Lost { cause, wait } => {
                let told = format!("{cause}; again in {}", words::millis(wait.as_millis() as u64));
                self.say(&Row::of(Tone::Warn, &told));
            }
            Update::Reopened => self.say(&Row::of(Tone::Dim, "connected again")),
        }
        Ok(())
    }

    fn message(&mut self, follower: &Follower, received: &Received, took: Took) -> Result<(), Failure> {
        if took == Took::Foreign {
            return Ok(());
        }
        if self.manner.messages {
            result::line(&received.text)?;
        }
        match &received.message {
            ServerMessage::Accepted(accepted) => {
                let told = format!("job {} · {} ahead", accepted.job_id, accepted.ahead);
                self.say(&Row::of(Tone::Dim, &told));
            }
            ServerMessage::Snapshot(_) if took == Took::Replaced => self.say(&standing(follower)),
            ServerMessage::Attempt(begins) if took == Took::Told => self.say(&words::attempt(&begins.event)),
            ServerMessage::Hook(hook) if took == Took::Told => self.say(&words::hook(&hook.event)),
            ServerMessage::Note(note) if took == Took::Told && note.event.kind == NoteKind::Invalid => {
                self.say(&Row::of(Tone::Warn, &note.event.text));
            }
            ServerMessage::Status(change) if took == Took::Told && change.event.reason.is_some() => {
                self.say(&words::status(&change.event));
            }
            ServerMessage::Degraded(told) if told.active => {
                self.say(&Row::of(
                    Tone::Warn,
                    "the server cannot hear of the job: what is shown may be late",
                ));
            }
            ServerMessage::Degraded(_) => self.say(&Row::of(Tone::Dim, "the server hears of the job again")),
            _ => {}
        }
        self.draw(follower);
        Ok(())
    }

    fn say(&mut self, row: &Row) {
        if !self.manner.quiet {
            self.screen.line(row);
        }
    }

    fn draw(&mut self, follower: &Follower) {
        let now = clock::now();
        let due = self.drawn.is_none_or(|drawn| now >= drawn + FRAME);
        if self.manner.quiet || !due || !self.screen.is_live() {
            return;
        }
        self.drawn = Some(now);
        self.screen.draw(&rows(follower));
    }

    fn end(&mut self, follower: &Follower) {
        let Some(end) = follower.end() else { return };
        self.screen.clear();
        self.say(&words::ended(end, follower.tally()));
        if let Some(error) = &end.error {
            self.say(&Row::of(Tone::Bad, &format!("{}: {}", error.code, error.message)));
            for error in &error.errors {
                self.say(&Row::of(
                    Tone::Bad,
                    &format!("  {}", words::wrong(std::slice::from_ref(error))),
                ));
            }
        }
    }
}

/// `running · attempt 2 · seq 40 · 3.1 kB`.
fn standing(follower: &Follower) -> Row {
    let told = follower.fold().map(|fold| {
        format!(
            "{} · attempt {} · seq {} · {}",
            fold.status,
            fold.attempt,
            fold.position.seq,
            words::bytes(follower.tally().bytes)
        )
    });
    Row::of(Tone::Dim, &told.unwrap_or_default())
}

fn rows(follower: &Follower) -> Vec<Row> {
    let at = follower.fold().map_or(&[][..], |fold| &fold.at);
    let mut rows = tail(outline(follower.value(), at, WIDTH), HEIGHT - 1);
    rows.push(standing(follower));
    rows
}
