//! One task per socket: every decision is the session's, this shell does what it says.
//!
//! The task waits for whatever comes first: a message, an answer of the world, a viewer that has something to tell,
//! room to write, a deadline, the drain. Nothing is written unless the connection has room, so a slow reader holds
//! back its own viewers (who then get one snapshot) and its own messages, and nobody else.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};

use super::ask::{self, Refusal};
use super::frame::{self, Message};
use super::link::{Ending, Heard, Incoming, LastWords, Outgoing};
use super::node::{Node, Phase, Place};
use super::reading;
use super::standing::{Deadline, Phases};
use super::watching::{Dropped, Watching};
use crate::access::Identity;
use crate::clock;
use crate::event::Position;
use crate::hub::Viewer;
use crate::job::JobId;
use crate::metrics;
use crate::session::{Ask, Input, Output, Session, SessionOptions, Watched};
use crate::wire::{ClientMessage, Close, Deliver, JobRuled, ServerMessage};

/// A socket and its conversation.
pub(super) struct Socket {
    node: Arc<Node>,
    id: String,
    opened_ms: u64,
    session: Session,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Frames of the session that are to be written before those of viewers.
    outbox: BytesMut,
    watching: Watching,
    wake: Arc<Notify>,
    answers: FuturesUnordered<JoinHandle<Answer>>,
    /// Questions for whole states, whose answers may be large: they are asked one by one, and only when there is room
    /// for what they bring.
    questions: VecDeque<Ask>,
    questioning: bool,
    /// A long message is being read: those behind it wait.
    reading: bool,
    deadline: Deadline,
    phases: Phases,
    /// Set once the client is to be sent away: until when the last things may still be told, ms.
    leaving_ms: Option<u64>,
    /// Since when there has been something to write and no room, ms.
    stuck_ms: Option<u64>,
    _place: Place,
}

/// What the world answered.
enum Answer {
    /// To the session.
    Input(Input),
    /// A long message, read; not even that where it could not be.
    Read(Result<Input, Refusal>),
    /// A viewer that was asked for.
    Viewer {
        reference: Option<String>,
        job: JobId,
        viewer: Result<Box<Viewer>, Refusal>,
    },
    /// A viewer of a job that was just accepted, and the number it was made under.
    Followed {
        job: JobId,
        number: u64,
        tagged: bool,
        viewer: Result<Box<Viewer>, Refusal>,
    },
}

/// Who was dropped by telling something; nothing where the connection is gone.
type Told = Option<Vec<(JobId, Dropped)>>;

/// What came first.
enum Turn {
    Heard(Heard),
    Answer(Result<Answer, JoinError>),
    /// Viewers may have something to tell, and it was not their turn.
    Woken,
    /// Viewers have told something.
    Told(Told),
    Room,
    Time,
    Drain,
    Gone,
}

impl Socket {
    /// A socket that has just been opened.
    pub(super) fn new(
        node: Arc<Node>,
        id: String,
        place: Place,
        who: Option<Arc<Identity>>,
        incoming: Incoming,
        outgoing: Outgoing,
    ) -> Self {
        let options = SessionOptions {
            connection_id: id.clone(),
            limits: node.options.limits,
            heartbeat_ms: node.options.heartbeat_ms,
            models: node.parts.models.clone(),
            access: Arc::clone(&node.access),
            who,
            auth_timeout_ms: node.options.auth_timeout_ms,
            attaches_per_second_max: node.options.attaches_per_second_max,
            control_frames_per_second_max: node.options.control_frames_per_second_max,
        };
        Self {
            session: Session::new(options, clock::now_ms()),
            deadline: Deadline::new(),
            phases: node.phases(),
            leaving_ms: None,
            node,
            id,
            opened_ms: clock::now_ms(),
            incoming,
            outgoing,
            outbox: BytesMut::new(),
            watching: Watching::default(),
            wake: Arc::new(Notify::new()),
            answers: FuturesUnordered::new(),
            questions: VecDeque::new(),
            questioning: false,
            reading: false,
            stuck_ms: None,
            _place: place,
        }
    }

    /// Serves the socket to its end.
    pub(super) async fn run(mut self, last: LastWords) {
        tracing::debug!(connection = %self.id, "a socket is open");
        let mut ending = self.input(Input::Opened);
        while ending.is_none() {
            self.question();
            let turn = self.next().await;
            ending = self.turn(turn).or_else(|| self.leave());
        }
        let ending = ending.unwrap_or(Ending::Gone);
        let (read, open_ms) = (
            self.incoming.read(),
            clock::now_ms().saturating_sub(self.opened_ms),
        );
        tracing::info!(connection = %self.id, ?ending, read, open_ms, "a socket ends");
        self.incoming
            .end(ending, self.outbox, last, &self.node.options)
            .await;
    }

    async fn next(&mut self) -> Turn {
        let now_ms = clock::now_ms();
        let writes = !self.outbox.is_empty() || self.watching.has_ready();
        let due_ms = self.deadline_ms(now_ms);
        // Who does not read our answers is not listened to.
        let listens = self.has_room() && !self.reading;
        let take_bytes = self.node.options.take_bytes;
        let stays = self.leaving_ms.is_none();
        // Who waits for nothing has nothing to see here once the node drains.
        let idle = self.watching.is_empty() && self.answers.is_empty() && self.questions.is_empty();
        let until = if idle { Phase::Draining } else { Phase::Leaving };
        tokio::select! {
            heard = self.incoming.next(), if listens => Turn::Heard(heard),
            Some(answer) = self.answers.next() => Turn::Answer(answer),
            turn = tell(&self.wake, &mut self.watching, &self.outgoing, !writes, take_bytes) => turn,
            room = self.outgoing.reserve(), if writes => match room {
                Ok(_) => Turn::Room,
                Err(_) => Turn::Gone,
            },
            () = self.outgoing.closed(), if !writes => Turn::Gone,
            () = self.deadline.reached(due_ms, now_ms) => Turn::Time,
            () = self.phases.reached(until), if stays => Turn::Drain,
        }
    }

    /// When something is to be done even if nothing happens, ms.
    fn deadline_ms(&mut self, now_ms: u64) -> u64 {
        let writes = !self.outbox.is_empty() || self.watching.has_ready();
        self.stuck_ms = writes.then(|| self.stuck_ms.unwrap_or(now_ms));
        let stuck = self
            .stuck_ms
            .map(|since| since + self.node.options.send_timeout_ms);
        let session = self.session.deadline_ms();
        [self.watching.due_ms(), stuck, self.leaving_ms]
            .into_iter()
            .flatten()
            .fold(session, u64::min)
    }

    fn turn(&mut self, turn: Turn) -> Option<Ending> {
        match turn {
            Turn::Heard(heard) => self.heard(heard),
            Turn::Answer(Ok(answer)) => self.answer(answer),
            Turn::Answer(Err(error)) => {
                tracing::error!(connection = %self.id, %error, "an answer was lost");
                Some(Ending::Close(Close::Internal))
            }
            Turn::Woken => {
                self.watching.wake_all();
                None
            }
            Turn::Told(told) => self.told(told),
            Turn::Room => self.write(),
            Turn::Time => self.time(),
            Turn::Drain => {
                self.leaving_ms = Some(clock::now_ms() + self.node.options.close_timeout_ms);
                self.watching.wake_all();
                None
            }
            Turn::Gone => Some(Ending::Gone),
        }
    }

    fn heard(&mut self, heard: Heard) -> Option<Ending> {
        match heard {
            Heard::Message(Message::Text(text)) => self.text(text),
            Heard::Message(Message::Binary(_)) => self.input(Input::Binary),
            Heard::Part => self.input(Input::Heard),
            Heard::Message(Message::Pong) => self.input(Input::Control),
            Heard::Message(Message::Ping(payload)) => {
                frame::pong(&mut self.outbox, &payload);
                self.input(Input::Control)
            }
            Heard::Message(Message::Close(code)) => Some(Ending::Echo(code)),
            Heard::Fault(fault) => {
                tracing::debug!(connection = %self.id, ?fault, "frames that cannot be read on");
                Some(Ending::Close(fault.close()))
            }
            Heard::Gone => Some(Ending::Gone),
        }
    }

    fn text(&mut self, text: String) -> Option<Ending> {
        let was_known = self.session.who().is_some();
        if was_known && !reading::is_short(&self.node, &text) {
            self.read(text);
            return self.input(Input::Heard);
        }
        let ending = self.input(Input::Text(text));
        if let Some(who) = self.session.who().filter(|_| !was_known) {
            tracing::debug!(connection = %self.id, key = who.key(), "a client is known");
            self.incoming
                .take_messages_of(self.node.options.limits.message_bytes_max);
        }
        ending
    }

    fn read(&mut self, text: String) {
        self.reading = true;
        let node = Arc::clone(&self.node);
        self.answers.push(self.node.parts.runtime.spawn(async move {
            let limits = node.options.limits;
            let read = reading::read(&node, text, move |text| ClientMessage::decode(text, &limits));
            Answer::Read(read.await.map(|read| Input::Read(Box::new(read))))
        }));
    }

    fn time(&mut self) -> Option<Ending> {
        let now_ms = clock::now_ms();
        let late = |since: u64| now_ms >= since + self.node.options.send_timeout_ms;
        if self.stuck_ms.is_some_and(late) {
            tracing::info!(connection = %self.id, "a reader that does not read is dropped");
            return Some(Ending::Close(Close::Slow));
        }
        self.watching.wake_due(now_ms);
        if now_ms >= self.session.deadline_ms() {
            return self.input(Input::Tick);
        }
        None
    }

    /// Sends the client away, once all is told that was written and asked, or there is no more time for it.
    fn leave(&mut self) -> Option<Ending> {
        let until_ms = self.leaving_ms?;
        let told = self.outbox.is_empty() && !self.watching.has_ready() && self.answers.is_empty();
        if !told && clock::now_ms() < until_ms {
            return None;
        }
        let reconnect_after_ms = self.node.reconnect_after_ms();
        self.input(Input::Drain { reconnect_after_ms })
    }

    /// Gives the connection one batch: first what the session says, then what viewers tell.
    fn write(&mut self) -> Option<Ending> {
        let batch = self.outbox.split();
        let take_bytes = self.node.options.take_bytes;
        self.stuck_ms = None;
        let told = give(&mut self.watching, &self.outgoing, batch, take_bytes);
        self.told(told)
    }

    fn told(&mut self, told: Told) -> Option<Ending> {
        let Some(dropped) = told else {
            return Some(Ending::Gone);
        };
        dropped
            .into_iter()
            .find_map(|(job, why)| self.viewer_dropped(job, why))
    }

    fn viewer_dropped(&mut self, job: JobId, why: Dropped) -> Option<Ending> {
        if why == Dropped::Gone {
            self.tell_job(job, ask::not_found());
        }
        self.input(Input::Over(job))
    }

    fn tell_job(&mut self, job: JobId, mut refusal: Refusal) {
        refusal.job_id = Some(job.to_string());
        self.send(&ServerMessage::Error(refusal));
    }

    fn send(&mut self, message: &ServerMessage) {
        if let ServerMessage::Error(error) = message {
            metrics::all().errors.one(["socket", &error.code]);
        }
        match message.encode() {
            Ok(text) => frame::text(&mut self.outbox, &text),
            Err(error) => tracing::error!(connection = %self.id, %error, "a message cannot be written"),
        }
    }

    /// Gives the session an input and does what it says.
    fn input(&mut self, input: Input) -> Option<Ending> {
        let outputs = self.session.handle(input, clock::now_ms());
        outputs.into_iter().find_map(|output| self.output(output))
    }

    fn output(&mut self, output: Output) -> Option<Ending> {
        match output {
            Output::Send(message) => self.send(&message),
            Output::Ping => frame::ping(&mut self.outbox),
            Output::Ask(ask) => self.ask(ask),
            Output::Follow {
                job,
                held,
                deliver,
                tagged,
            } => self.follow(job, held, deliver, tagged),
            Output::Begin { job, tagged, anew } => self.watching.begin_aside(job, tagged, anew),
            Output::Unwatch(job) => self.watching.unwatch(job),
            Output::Close(close) => return Some(Ending::Close(close)),
        }
        None
    }

    fn has_room(&self) -> bool {
        self.outbox.len() < self.node.options.take_bytes
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::State { .. } => self.questions.push_back(ask),
            ask => self.spawn(ask),
        }
    }

    /// Asks the next of the questions, once the one before is answered and its answer is on its way.
    fn question(&mut self) {
        if self.questioning || !self.has_room() {
            return;
        }
        if let Some(ask) = self.questions.pop_front() {
            self.questioning = true;
            self.spawn(ask);
        }
    }

    fn spawn(&mut self, ask: Ask) {
        let Some(who) = self.session.who().cloned() else {
            return;
        };
        let node = Arc::clone(&self.node);
        let wake = Arc::clone(&self.wake);
        let answer = self.node.parts.runtime.spawn(answer(node, who, wake, ask));
        self.answers.push(answer);
    }

    fn follow(&mut self, job: JobId, held: Option<Position>, deliver: Deliver, tagged: bool) {
        let Some(who) = self.session.who().cloned() else {
            return;
        };
        let number = self.watching.follow(job);
        let node = Arc::clone(&self.node);
        let wake = Arc::clone(&self.wake);
        self.answers.push(self.node.parts.runtime.spawn(async move {
            Answer::Followed {
                job,
                number,
                tagged,
                viewer: ask::watch(&node, &who, job, held, deliver, &wake)
                    .await
                    .map(Box::new),
            }
        }));
    }

    fn answer(&mut self, answer: Answer) -> Option<Ending> {
        match answer {
            Answer::Input(input) => {
                if let Input::Submitted {
                    answer: Ok(accepted), ..
                } = &input
                {
                    tracing::info!(connection = %self.id, job = %accepted.job, "a job was accepted");
                }
                self.questioning &= !matches!(input, Input::State { .. });
                self.input(input)
            }
            Answer::Read(read) => {
                self.reading = false;
                match read {
                    Ok(input) => self.input(input),
                    Err(_) => Some(Ending::Close(Close::Internal)),
                }
            }
            Answer::Viewer {
                reference,
                job,
                viewer,
            } => {
                let answer = match viewer {
                    Ok(viewer) => {
                        let resumed = viewer.resumed();
                        self.watching.lay_aside(*viewer);
                        Ok(Watched { resumed })
                    }
                    Err(refusal) => Err(with_reference(refusal, reference.clone())),
                };
                let ending = self.input(Input::Watched {
                    reference,
                    job,
                    answer,
                });
                self.watching.clear_aside();
                ending
            }
            Answer::Followed {
                job,
                number,
                tagged,
                viewer,
            } => {
                if !self.watching.take_followed(job, number) {
                    return None;
                }
                match viewer {
                    Ok(viewer) => {
                        self.watching.begin(job, *viewer, tagged);
                        None
                    }
                    Err(refusal) => {
                        self.tell_job(job, refusal);
                        self.input(Input::Over(job))
                    }
                }
            }
        }
    }
}

/// Tells what viewers have as it comes, for as long as there is nothing else to do behind it: what else the socket waits for
/// is left standing meanwhile. `alone` says that nothing waits to be written.
async fn tell(
    wake: &Notify,
    watching: &mut Watching,
    outgoing: &Outgoing,
    alone: bool,
    take_bytes: usize,
) -> Turn {
    loop {
        wake.notified().await;
        if !alone || outgoing.capacity() == 0 {
            return Turn::Woken;
        }
        watching.wake_all();
        let told = give(watching, outgoing, BytesMut::new(), take_bytes);
        let all_stay = told.as_ref().is_some_and(Vec::is_empty);
        if !all_stay || watching.has_ready() || watching.due_ms().is_some() {
            return Turn::Told(told);
        }
    }
}

/// Gives the connection one batch: what is in it, and behind that what viewers tell.
fn give(watching: &mut Watching, outgoing: &Outgoing, mut batch: BytesMut, take_bytes: usize) -> Told {
    let dropped = watching.write(&mut batch, clock::now_ms(), take_bytes);
    metrics::all().bytes_out.add(batch.len());
    if !batch.is_empty() && outgoing.try_send(batch.freeze()).is_err() {
        return None;
    }
    Some(dropped)
}

fn with_reference(mut refusal: Refusal, reference: Option<String>) -> Refusal {
    refusal.reference = reference;
    refusal
}

/// Asks the world; runs on the engine's runtime.
async fn answer(node: Arc<Node>, who: Arc<Identity>, wake: Arc<Notify>, ask: Ask) -> Answer {
    match ask {
        Ask::Submit {
            reference,
            idempotency_key,
            spec,
            deliver,
        } => {
            let answer = match ask::may_submit(&node, &who) {
                Ok(()) => ask::submit(&node, &who, *spec, idempotency_key).await,
                Err(refusal) => Err(refusal),
            };
            let answer = answer.map_err(|refusal| with_reference(in_message(refusal), reference.clone()));
            Answer::Input(Input::Submitted {
                reference,
                deliver,
                answer,
            })
        }
        Ask::Watch {
            reference,
            job,
            held,
            deliver,
        } => Answer::Viewer {
            reference,
            job,
            viewer: ask::watch(&node, &who, job, held, deliver, &wake)
                .await
                .inspect(|viewer| ask::came_back(viewer, held))
                .map(Box::new),
        },
        Ask::Cancel { reference, job } => {
            let answer = ask::cancel(&node, &who, job)
                .await
                .map_err(|refusal| with_reference(refusal, reference.clone()));
            Answer::Input(Input::Cancelled {
                reference,
                job,
                answer,
            })
        }
        Ask::Rule {
            reference,
            job,
            attempt,
            ruling,
        } => {
            let answer = ask::rule(&node, &who, job, attempt, ruling).await;
            Answer::Input(Input::Ruled(match answer {
                Ok(ruled) => Ok(JobRuled { reference, ..ruled }),
                Err(refusal) => Err(with_reference(refusal, reference)),
            }))
        }
        Ask::State { reference, job } => {
            let answer = match ask::state(&node, &who, job).await {
                Ok(mut state) => {
                    state.reference = reference;
                    Ok(state)
                }
                Err(refusal) => Err(with_reference(refusal, reference)),
            };
            Answer::Input(Input::State { answer })
        }
    }
}

/// Admission's paths point into the request; a client of the socket has it under `request`, beside the key.
fn in_message(mut refusal: Refusal) -> Refusal {
    if let Some(path) = &mut refusal.path
        && path != "/idempotency_key"
    {
        path.insert_str(0, "/request");
    }
    refusal
}
