//! One client, sans-IO: inputs and the time go in, outputs come out.
//!
//! The session knows the protocol and the client's rights to talk; it does not know where jobs live. What needs the
//! world is asked as an output ([`Output::Ask`]) and comes back as an input. Where a viewer
//! stands in its log is the hub's to keep; the session keeps which jobs the socket watches and under which tag.

mod entry;
mod io;
mod pace;
mod viewers;

use std::sync::Arc;

use self::entry::Entry;
use self::pace::{Heartbeat, Strikes};
use self::viewers::Viewers;
pub use entry::FIRST_MESSAGE_BYTES_MAX;
pub use io::{Accepted, Ask, Input, Output, SessionOptions, Watched};

use crate::access::{Identity, Pace};
use crate::event::Position;
use crate::job::{JobId, Ruling};
use crate::wire::{
    BadMessage, ClientMessage, Close, Code, Deliver, EMPTY_KEY, ErrorMessage, Goodbye, JobAccept,
    JobAccepted, JobAttach, JobAttached, JobCancelling, JobCreate, JobDetached, JobReask, Limits,
    NO_SUCH_JOB, Named, RulingError, ServerMessage, Unseen, Welcome,
};

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    entry: Entry,
    viewers: Viewers,
    /// Requests that wait for an answer of the world.
    pending: u32,
    /// Those of them that submit: each may bring a viewer.
    submitting: u32,
    pace: Pace,
    attaches: Pace,
    controls: Pace,
    strikes: Strikes,
    heartbeat: Heartbeat,
    closed: bool,
}

impl Session {
    /// A session whose socket has just been opened.
    pub fn new(options: SessionOptions, now_ms: u64) -> Self {
        let pace = Pace::new(options.limits.messages_per_second_max, now_ms);
        let attaches = Pace::new(options.attaches_per_second_max, now_ms);
        let controls = Pace::new(options.control_frames_per_second_max, now_ms);
        let heartbeat = Heartbeat::new(options.heartbeat_ms, now_ms);
        let entry = Entry::new(
            Arc::clone(&options.access),
            options.who.clone(),
            now_ms + options.auth_timeout_ms,
        );
        Self {
            options,
            entry,
            viewers: Viewers::default(),
            pending: 0,
            submitting: 0,
            pace,
            attaches,
            controls,
            strikes: Strikes::default(),
            heartbeat,
            closed: false,
        }
    }

    /// Takes one input; what comes out is to be done in order, before the next input.
    pub fn handle(&mut self, input: Input, now_ms: u64) -> Vec<Output> {
        if self.closed {
            return Vec::new();
        }
        if self.entry.has_lapsed(now_ms) {
            return self.turn_away(entry::UNKNOWN.to_owned(), None);
        }
        match input {
            // One who has not said who it is hears nothing.
            Input::Opened if self.who().is_none() => Vec::new(),
            Input::Opened => vec![self.welcome()],
            Input::Text(text) => self.text(&text, now_ms),
            Input::Read(read) => self.read(now_ms, |_| *read),
            Input::Binary => self.binary(now_ms),
            Input::Heard => {
                self.heartbeat.heard(now_ms);
                Vec::new()
            }
            Input::Control => self.control(now_ms),
            Input::Tick => self.tick(now_ms),
            Input::Submitted {
                reference,
                deliver,
                answer,
            } => self.submitted(reference, deliver, answer),
            Input::Watched {
                reference,
                job,
                answer,
            } => self.watched(reference, job, answer),
            Input::Cancelled {
                reference,
                job,
                answer,
            } => self.cancelled(reference, job, answer),
            Input::Ruled(answer) => {
                self.pending = self.pending.saturating_sub(1);
                vec![send(match answer {
                    Ok(ruled) => ServerMessage::Ruled(ruled),
                    Err(error) => ServerMessage::Error(error),
                })]
            }
            Input::State { answer } => {
                self.pending = self.pending.saturating_sub(1);
                vec![send(match answer {
                    Ok(state) => ServerMessage::State(state),
                    Err(error) => ServerMessage::Error(error),
                })]
            }
            Input::Over(job) => {
                self.viewers.remove(job);
                Vec::new()
            }
            Input::Drain { reconnect_after_ms } => {
                let goodbye = send(ServerMessage::Goodbye(Goodbye { reconnect_after_ms }));
                vec![goodbye, self.close(Close::Restart)]
            }
        }
    }

    /// When the session wants its next [`Input::Tick`], ms by the clock of `now_ms`.
    pub fn deadline_ms(&self) -> u64 {
        let heartbeat = self.heartbeat.deadline_ms();
        self.entry
            .deadline_ms()
            .map_or(heartbeat, |entry| entry.min(heartbeat))
    }

    /// Who the client is. Nothing is asked of the world before that is known.
    pub const fn who(&self) -> Option<&Arc<Identity>> {
        self.entry.who()
    }

    fn welcome(&self) -> Output {
        send(ServerMessage::Welcome(Box::new(Welcome {
            connection_id: self.options.connection_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat_ms: self.options.heartbeat_ms,
            limits: self.options.limits,
            models: self.options.models.clone(),
        })))
    }

    fn close(&mut self, close: Close) -> Output {
        self.closed = true;
        Output::Close(close)
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Output> {
        if self.entry.is_late(now_ms) {
            return self.turn_away(entry::too_late(self.options.auth_timeout_ms), None);
        }
        match self.heartbeat.tick(now_ms) {
            pace::Beat::Nothing => Vec::new(),
            pace::Beat::Ping => vec![Output::Ping],
            pace::Beat::Dead => vec![self.close(Close::Silent)],
        }
    }

    fn control(&mut self, now_ms: u64) -> Vec<Output> {
        self.heartbeat.heard(now_ms);
        match self.controls.take(now_ms) {
            Ok(()) => Vec::new(),
            Err(_) => vec![self.close(Close::Flood)],
        }
    }

    /// Says why one who is not known gets no further, and closes.
    fn turn_away(&mut self, message: String, reference: Option<String>) -> Vec<Output> {
        let refusal = refuse(Code::Unauthorized, message, None, reference);
        vec![refusal, self.close(Close::Unauthorized)]
    }

    fn binary(&mut self, now_ms: u64) -> Vec<Output> {
        self.heartbeat.heard(now_ms);
        if self.who().is_none() {
            return self.turn_away(entry::NOT_AUTH.to_owned(), None);
        }
        let message = "this subprotocol speaks text frames; send JSON as text".to_owned();
        let refusal = refuse(Code::BinaryNotSupported, message, None, None);
        if self.strikes.binary() {
            vec![refusal, self.close(Close::Unsupported)]
        } else {
            vec![refusal]
        }
    }

    fn text(&mut self, text: &str, now_ms: u64) -> Vec<Output> {
        self.heartbeat.heard(now_ms);
        if self.who().is_none() {
            return self.first(text, now_ms);
        }
        self.read(now_ms, |limits| ClientMessage::decode(text, limits))
    }

    /// One message of a client that is known, within its pace.
    fn read(
        &mut self,
        now_ms: u64,
        read: impl FnOnce(&Limits) -> Result<ClientMessage, BadMessage>,
    ) -> Vec<Output> {
        if let Err(retry_after_ms) = self.pace.take(now_ms) {
            let mean = self.options.limits.messages_per_second_max;
            let what = format!("more than {mean} messages a second");
            return self.strike(too_fast(&what, retry_after_ms, None), now_ms);
        }
        match read(&self.options.limits).and_then(|message| self.check(message)) {
            Ok(message) => self.message(message, now_ms),
            Err(BadMessage {
                code,
                path,
                message,
                reference,
            }) => {
                // A reference that is too long is itself what cannot be taken: it does not come back.
                let limit = self.options.limits.ref_bytes_max as usize;
                let reference = reference.filter(|reference| reference.len() <= limit);
                self.strike(refuse(code, message, path, reference), now_ms)
            }
        }
    }

    /// The first message of one who is not known yet: an `auth`, which is answered by the welcome.
    fn first(&mut self, text: &str, now_ms: u64) -> Vec<Output> {
        match self.entry.first(text, now_ms) {
            Ok(()) => vec![self.welcome()],
            Err(fault) => self.turn_away(fault.to_owned(), None),
        }
    }

    /// A token of one who is known already: a socket speaks for one key as long as it lives.
    fn auth(&mut self, token: &str, now_ms: u64) -> Vec<Output> {
        match self.entry.again(token, now_ms) {
            Ok(true) => Vec::new(),
            Ok(false) => vec![refuse(Code::Forbidden, entry::OTHER_KEY.to_owned(), None, None)],
            Err(_) => self.turn_away(entry::UNKNOWN.to_owned(), None),
        }
    }

    /// A message that cannot be taken counts; too many in a short time close the socket.
    fn strike(&mut self, refusal: Output, now_ms: u64) -> Vec<Output> {
        if self.strikes.bad(now_ms) {
            vec![refusal, self.close(Close::Policy)]
        } else {
            vec![refusal]
        }
    }

    /// The limits on a message's own fields.
    fn check(&self, message: ClientMessage) -> Result<ClientMessage, BadMessage> {
        let limits = &self.options.limits;
        let key = match &message {
            ClientMessage::Create(create) => create.idempotency_key.as_deref(),
            _ => None,
        };
        let long = |text: Option<&str>, limit: u32| text.is_some_and(|text| text.len() > limit as usize);
        let fault = |path: &str, limit: u32| BadMessage {
            code: Code::BadRequest,
            path: Some(path.to_owned()),
            message: format!("longer than {limit} bytes"),
            reference: message.reference().map(str::to_owned),
        };
        if long(message.reference(), limits.ref_bytes_max) {
            return Err(fault("/ref", limits.ref_bytes_max));
        }
        if long(key, limits.idempotency_key_bytes_max) {
            return Err(fault("/idempotency_key", limits.idempotency_key_bytes_max));
        }
        if key.is_some_and(str::is_empty) {
            return Err(BadMessage {
                message: EMPTY_KEY.to_owned(),
                ..fault("/idempotency_key", 0)
            });
        }
        Ok(message)
    }

    fn message(&mut self, message: ClientMessage, now_ms: u64) -> Vec<Output> {
        if let Some(missing) = self.entry.missing(&message) {
            let reference = message.reference().map(str::to_owned);
            return vec![refuse(Code::Forbidden, missing, None, reference)];
        }
        match message {
            ClientMessage::Auth(auth) => self.auth(&auth.token, now_ms),
            ClientMessage::Ping => vec![send(ServerMessage::Pong)],
            ClientMessage::Create(create) => self.create(*create),
            ClientMessage::Attach(attach) => self.attach(attach, now_ms),
            ClientMessage::Detach(named) => self.detach(named),
            ClientMessage::Cancel(Named { reference, job_id }) => {
                self.ask(reference, &job_id, |reference, job| Ask::Cancel {
                    reference,
                    job,
                })
            }
            ClientMessage::Accept(JobAccept {
                reference,
                job_id,
                attempt,
            }) => self.rule(reference, &job_id, attempt, Ruling::Accept),
            ClientMessage::Reask(JobReask {
                reference,
                job_id,
                attempt,
                errors,
            }) => {
                let errors = errors.into_iter().map(RulingError::told).collect();
                self.rule(reference, &job_id, attempt, Ruling::Reask(errors))
            }
            ClientMessage::Get(Named { reference, job_id }) => {
                self.ask(reference, &job_id, |reference, job| Ask::State { reference, job })
            }
        }
    }

    fn create(&mut self, create: JobCreate) -> Vec<Output> {
        let JobCreate {
            reference,
            idempotency_key,
            mut request,
            deliver,
        } = create;
        // Who wants to hear of it has it told.
        request.hooks |= deliver.hooks;
        if let Err(full) = self
            .room_for_viewer(None, &reference)
            .and_then(|()| self.room_for_request(&reference))
        {
            return vec![full];
        }
        self.pending += 1;
        self.submitting += 1;
        vec![Output::Ask(Ask::Submit {
            reference,
            idempotency_key,
            spec: Box::new(request),
            deliver,
        })]
    }

    fn attach(&mut self, attach: JobAttach, now_ms: u64) -> Vec<Output> {
        let JobAttach {
            reference,
            job_id,
            position,
            deliver,
        } = attach;
        if let Err(retry_after_ms) = self.attaches.take(now_ms) {
            let mean = self.options.attaches_per_second_max;
            let what = format!("more than {mean} attaches a second on one socket");
            return vec![too_fast(&what, retry_after_ms, reference)];
        }
        let Ok(job) = job_id.parse() else {
            return vec![not_found(reference)];
        };
        if let Err(full) = self
            .room_for_viewer(Some(job), &reference)
            .and_then(|()| self.room_for_request(&reference))
        {
            return vec![full];
        }
        self.pending += 1;
        // A second attach replaces the form and begins by a snapshot: seq never falls on a socket.
        let first = self.viewers.ask(job);
        vec![Output::Ask(Ask::Watch {
            reference,
            job,
            held: position.filter(|_| first),
            deliver,
        })]
    }

    /// An id that is none names no job: the same answer as for an unknown one.
    fn ask(
        &mut self,
        reference: Option<String>,
        job_id: &str,
        ask: impl FnOnce(Option<String>, JobId) -> Ask,
    ) -> Vec<Output> {
        let Ok(job) = job_id.parse() else {
            return vec![not_found(reference)];
        };
        if let Err(full) = self.room_for_request(&reference) {
            return vec![full];
        }
        self.pending += 1;
        vec![Output::Ask(ask(reference, job))]
    }

    fn rule(
        &mut self,
        reference: Option<String>,
        job_id: &str,
        attempt: Option<u32>,
        ruling: Ruling,
    ) -> Vec<Output> {
        self.ask(reference, job_id, |reference, job| Ask::Rule {
            reference,
            job,
            attempt,
            ruling,
        })
    }

    fn detach(&mut self, named: Named) -> Vec<Output> {
        let Named { reference, job_id } = named;
        let watched = job_id.parse().ok().filter(|job| self.viewers.remove(*job));
        match watched {
            Some(job) => vec![
                Output::Unwatch(job),
                send(ServerMessage::Detached(JobDetached { reference, job_id })),
            ],
            None => vec![not_found(reference)],
        }
    }

    fn room_for_viewer(&self, job: Option<JobId>, reference: &Option<String>) -> Result<(), Output> {
        let limit = self.options.limits.viewers_max;
        let watched = job.is_some_and(|job| self.viewers.has(job));
        let taken = self.viewers.len() + self.submitting as usize;
        if watched || taken < limit as usize {
            return Ok(());
        }
        let message = format!(
            "this socket watches {limit} jobs, or will, as many as it may: detach one, or open another"
        );
        Err(refuse(Code::TooManyViewers, message, None, reference.clone()))
    }

    fn room_for_request(&self, reference: &Option<String>) -> Result<(), Output> {
        let limit = self.options.limits.pending_max;
        if self.pending < limit {
            return Ok(());
        }
        let message = format!("{limit} requests wait for their answers: await one first");
        Err(refuse(Code::TooManyPending, message, None, reference.clone()))
    }

    fn submitted(
        &mut self,
        reference: Option<String>,
        deliver: Deliver,
        answer: Result<Accepted, Box<ErrorMessage>>,
    ) -> Vec<Output> {
        self.pending = self.pending.saturating_sub(1);
        self.submitting = self.submitting.saturating_sub(1);
        let Accepted {
            job,
            position,
            ahead,
            existing,
            durable,
        } = match answer {
            Ok(accepted) => accepted,
            Err(error) => return vec![send(ServerMessage::Error(error))],
        };
        let Position { epoch, seq } = position;
        let tag = self.viewers.add(job);
        let accepted = JobAccepted {
            reference,
            job_id: job.to_string(),
            tag: tag.map(|tag| tag.to_string()),
            epoch,
            seq,
            ahead,
            existing,
            durable,
        };
        // A new job's creator holds the empty state at this position; of an existing one it holds nothing, and the
        // empty state of one who wants unseen members as `null` has members.
        let held = (!existing && deliver.unseen == Unseen::Absent).then_some(position);
        vec![
            send(ServerMessage::Accepted(accepted)),
            Output::Follow {
                job,
                held,
                deliver,
                tagged: tag.is_some(),
            },
        ]
    }

    fn watched(
        &mut self,
        reference: Option<String>,
        job: JobId,
        answer: Result<Watched, Box<ErrorMessage>>,
    ) -> Vec<Output> {
        self.pending = self.pending.saturating_sub(1);
        let overtaken = self.viewers.answered(job);
        let Watched { resumed } = match answer {
            Ok(watched) => watched,
            Err(error) => return vec![send(ServerMessage::Error(error))],
        };
        let tag = self.viewers.add(job);
        let attached = JobAttached {
            reference,
            job_id: job.to_string(),
            tag: tag.map(|tag| tag.to_string()),
            resumed: resumed && !overtaken,
        };
        vec![
            send(ServerMessage::Attached(attached)),
            Output::Begin {
                job,
                tagged: tag.is_some(),
                anew: overtaken,
            },
        ]
    }

    fn cancelled(
        &mut self,
        reference: Option<String>,
        job: JobId,
        answer: Result<Option<crate::job::JobState>, Box<ErrorMessage>>,
    ) -> Vec<Output> {
        self.pending = self.pending.saturating_sub(1);
        vec![send(match answer {
            Ok(already) => ServerMessage::Cancelling(JobCancelling {
                reference,
                job_id: job.to_string(),
                already,
            }),
            Err(error) => ServerMessage::Error(error),
        })]
    }
}

fn send(message: ServerMessage) -> Output {
    Output::Send(message)
}

fn error(code: Code, message: String, path: Option<String>, reference: Option<String>) -> ErrorMessage {
    ErrorMessage {
        reference,
        job_id: None,
        code: code.name().to_owned(),
        message,
        path,
        retry_after_ms: None,
    }
}

fn refuse(code: Code, message: String, path: Option<String>, reference: Option<String>) -> Output {
    send(ServerMessage::Error(Box::new(error(
        code, message, path, reference,
    ))))
}

fn too_fast(what: &str, retry_after_ms: u64, reference: Option<String>) -> Output {
    send(ServerMessage::Error(Box::new(ErrorMessage {
        retry_after_ms: Some(retry_after_ms),
        ..error(
            Code::RateLimited,
            format!("{what}: wait as told"),
            None,
            reference,
        )
    })))
}

fn not_found(reference: Option<String>) -> Output {
    refuse(Code::NotFound, NO_SUCH_JOB.to_owned(), None, reference)
}
