//! A job followed over as many sockets as it takes.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::error::ClientError;
use super::follower::{Follower, Took};
use super::http;
use super::received::Received;
use crate::access::Token;
use crate::clock;
use crate::event::Position;
use crate::job::JobId;
use crate::wire::{ClientMessage, Code, Deliver, ErrorMessage, JobAttach, JobCreate, Named, ServerMessage};

/// The `ref` of the message that begins to watch, and of a cancel.
const WATCH: &str = "watch";
const CANCEL: &str = "cancel";

/// The longest wait that a server can ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// How long a lost server is sought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Tries in a row that may fail.
    pub tries_max: u32,
    /// The wait before the first try; it doubles with each one, and is drawn between half and whole of that.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries_max: 8,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
        }
    }
}

impl Patience {
    fn wait(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << tries.min(16)).min(self.longest);
        doubled / 2 + clock::jitter(doubled / 2)
    }
}

/// Speaks with one server.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    key: Option<Token>,
    patience: Patience,
}

/// What happened to a job that is followed.
#[derive(Debug)]
pub enum Update {
    /// A message came; the follower has it.
    Message(Received, Took),
    /// The socket is lost; it will be tried again after `wait`.
    Lost {
        /// What happened.
        cause: ClientError,
        /// Until the next try.
        wait: Duration,
    },
    /// A new socket is open and the job was named on it, with the position held.
    Reopened,
}

/// A job that is followed until its end. Dropping it drops the socket and harms no job.
#[derive(Debug)]
pub struct Following {
    client: Client,
    connection: Option<Connection>,
    /// What is said on a new socket until the job's id is known.
    create: Option<Box<JobCreate>>,
    follower: Follower,
    tries: u32,
    not_before: Option<Instant>,
    goodbye: Option<Duration>,
    cancel: bool,
}

impl Client {
    /// Speaks with the server at `url`; nothing is opened yet.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: None,
            patience: Patience::default(),
        }
    }

    /// The same with a key, which every upgrade shows.
    pub fn key(self, key: Option<Token>) -> Self {
        Self { key, ..self }
    }

    /// The same with another patience.
    pub fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The body of the answer to `method` on `path` of the server's HTTP face, for what has no message on the socket.
    ///
    /// # Errors
    /// Nobody there, no answer in time, or a refusal ([`ClientError::Answer`]).
    pub async fn http(&self, method: &str, path: &str) -> Result<String, ClientError> {
        http::ask(&self.url, self.key.as_ref(), method, path).await
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn connect(&self) -> Result<Connection, ClientError> {
        Connection::open(&self.url, self.key.as_ref()).await
    }

    /// Submits a job on `connection` and follows it. The request gets an idempotency key, unless it has one, so a
    /// socket lost before the answer makes no second job.
    ///
    /// # Errors
    /// The socket broke at once.
    pub async fn create(
        &self,
        connection: Connection,
        mut create: JobCreate,
    ) -> Result<Following, ClientError> {
        create.reference = Some(WATCH.to_owned());
        create
            .idempotency_key
            .get_or_insert_with(|| format!("{:016x}{:016x}", clock::nonce(), clock::nonce()));
        let follower = Follower::unbound(create.deliver);
        let mut following = self.following(follower, Some(Box::new(create)));
        following.begin(connection).await?;
        Ok(following)
    }

    /// Follows a job that is there; it begins by a snapshot.
    ///
    /// # Errors
    /// No socket could be opened.
    pub async fn follow(&self, job_id: &str, deliver: Deliver) -> Result<Following, ClientError> {
        // The server tells an id in one form, however it was written here.
        let job_id = job_id
            .parse::<JobId>()
            .map_or_else(|_| job_id.to_owned(), |job| job.to_string());
        let mut following = self.following(Follower::of(job_id, deliver), None);
        let connection = self.connect().await?;
        following.begin(connection).await?;
        Ok(following)
    }

    fn following(&self, follower: Follower, create: Option<Box<JobCreate>>) -> Following {
        Following {
            client: self.clone(),
            connection: None,
            create,
            follower,
            tries: 0,
            not_before: None,
            goodbye: None,
            cancel: false,
        }
    }
}

impl Following {
    /// What is held of the job.
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// What happens next; `None` after the end. Cancel-safe: the follower has what came, also when the future is
    /// dropped.
    ///
    /// # Errors
    /// The server refused, patience is over, or what was folded is not what the end names.
    pub async fn next(&mut self) -> Result<Option<Update>, ClientError> {
        if self.follower.end().is_some() {
            return Ok(None);
        }
        let Some(connection) = &mut self.connection else {
            return self.reopen().await.map(Some);
        };
        let happened = match connection.next().await {
            Ok(received) => self.took(received).await,
            Err(cause) => Err(cause),
        };
        happened.or_else(|cause| self.lost(cause)).map(Some)
    }

    /// Asks for the job's end; it comes as its end, over whichever socket is open then.
    ///
    /// # Errors
    /// Only what no new socket puts right.
    pub async fn cancel(&mut self) -> Result<(), ClientError> {
        self.cancel = true;
        self.send_cancel().await
    }

    /// Drops TCP without a close frame; the next [`next`](Self::next) comes back with the position held.
    pub fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.cut();
        }
    }

    /// Closes the socket in order and gives what is held.
    pub async fn close(self) -> Follower {
        if let Some(connection) = self.connection {
            connection.close().await;
        }
        self.follower
    }

    async fn took(&mut self, received: Received) -> Result<Update, ClientError> {
        match &received.message {
            ServerMessage::Error(error) if self.ends_watching(error) => {
                return Err(ClientError::Answer(error.clone()));
            }
            ServerMessage::Goodbye(goodbye) => {
                self.goodbye = Some(Duration::from_millis(goodbye.reconnect_after_ms));
            }
            _ => {}
        }
        match self.follower.take(&received) {
            Ok(took) => {
                if took != Took::Foreign {
                    self.tries = 0;
                }
                if matches!(took, Took::Bound { .. }) {
                    self.create = None;
                    self.send_cancel().await?;
                }
                Ok(Update::Message(received, took))
            }
            // A second attach begins by a snapshot.
            Err(error) if error.heals() => {
                if let Some(connection) = self.connection.take() {
                    self.attach(connection, None).await?;
                }
                Ok(Update::Message(received, Took::Skipped))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing more of the job follows on this socket: its watching was refused, or is over.
    fn ends_watching(&self, error: &ErrorMessage) -> bool {
        if let Some(reference) = &error.reference {
            return reference == WATCH;
        }
        // These answer a message that had no `ref`, and name the job that is in the way.
        let answers = [Code::IdempotencyConflict, Code::VerdictConflict].map(Code::name);
        let names_it = error.job_id.is_some() && error.job_id.as_deref() == self.follower.job_id();
        names_it && !answers.contains(&error.code.as_str())
    }

    async fn send_cancel(&mut self) -> Result<(), ClientError> {
        let (true, Some(job_id), Some(connection)) =
            (self.cancel, self.follower.job_id(), &mut self.connection)
        else {
            return Ok(());
        };
        let cancel = ClientMessage::Cancel(Named {
            reference: Some(CANCEL.to_owned()),
            job_id: job_id.to_owned(),
        });
        match connection.send(&cancel).await {
            // The reading side learns of a lost socket, and a new one is told again.
            Err(error) if error.may_pass() => Ok(()),
            sent => sent,
        }
    }

    fn lost(&mut self, cause: ClientError) -> Result<Update, ClientError> {
        if !cause.may_pass() {
            return Err(cause);
        }
        self.connection = None;
        let own = self.client.patience.wait(self.tries);
        // A goodbye names the one moment; who is put off again and again waits longer each time.
        let wait = match self.goodbye.take() {
            Some(named) => named,
            None => cause.retry_after().map_or(own, |asked| asked.max(own)),
        };
        let wait = wait.min(WAIT_MAX);
        self.tries += 1;
        if self.tries > self.client.patience.tries_max {
            return Err(ClientError::GaveUp {
                tries: self.client.patience.tries_max,
                last: Box::new(cause),
            });
        }
        self.not_before = Some(clock::now() + wait);
        Ok(Update::Lost { cause, wait })
    }

    async fn reopen(&mut self) -> Result<Update, ClientError> {
        if let Some(deadline) = self.not_before {
            clock::sleep_until(deadline).await;
        }
        let opened = match self.client.connect().await {
            Ok(connection) => self.begin(connection).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => {
                self.not_before = None;
                Ok(Update::Reopened)
            }
            Err(cause) => self.lost(cause),
        }
    }

    /// Names the job on a new socket.
    async fn begin(&mut self, mut connection: Connection) -> Result<(), ClientError> {
        match &self.create {
            Some(create) => {
                connection.send(&ClientMessage::Create(create.clone())).await?;
                self.connection = Some(connection);
                Ok(())
            }
            None => self.attach(connection, self.follower.position()).await,
        }
    }

    async fn attach(
        &mut self,
        mut connection: Connection,
        position: Option<Position>,
    ) -> Result<(), ClientError> {
        let attach = ClientMessage::Attach(JobAttach {
            reference: Some(WATCH.to_owned()),
            job_id: self.follower.job_id().unwrap_or_default().to_owned(),
            position,
            deliver: self.follower.deliver(),
        });
        connection.send(&attach).await?;
        self.connection = Some(connection);
        Ok(())
    }
}
