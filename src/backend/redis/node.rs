//! One server, and the ways to it: a connection that all steps share, one of the heartbeat's own, and a few for commands
//! that wait.
//!
//! Nothing is sent again here: a step whose answer is lost is its caller's to repeat. Every command has a time limit. A
//! connection is made anew where its peer has fallen silent, or takes no writes any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, Pipeline,
    ProtocolVersion, PushInfo, RedisError, RedisFuture, ScriptInvocation, Value,
};
use tokio::sync::Notify;

use super::error::code;
use super::options::RedisOptions;
use crate::clock;

/// Answers that are on their way at a time on one connection.
const IN_FLIGHT: usize = 1_024;
/// Attempts to connect before those who wait are told; each waits for a random part of the delay.
const RECONNECTS: usize = 2;
/// For how long a server counts as silent that has not answered: then whoever wants something of it tries, ms.
const SILENT_MS: u64 = 10_000;
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    Step(&'a ScriptInvocation<'a>),
    Commands(&'a Pipeline),
}

impl Asked<'_> {
    /// Whether all of it goes to one server, or is taken by none.
    pub(super) fn is_one(&self) -> bool {
        match self {
            Self::Step(_) => true,
            Self::Commands(commands) => commands.len() <= 1,
        }
    }
}

/// On which of a server's lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum On {
    Main,
    /// The heartbeat's own: what holds the others up does not hold it up.
    Heart,
}

/// A server.
pub(super) struct Node {
    name: String,
    client: Client,
    /// The same, by the version of the protocol in which messages come without having been asked for.
    listener: Client,
    config: ConnectionManagerConfig,
    limit: Duration,
    connect: Duration,
    response: Duration,
    main: Line,
    heart: Line,
    waiting: Pool,
    /// Until when it counts as silent, ms since 1970; 0 where it has answered what it was asked last.
    silent_until_ms: AtomicU64,
    /// The server takes no writes any more.
    demoted: Notify,
}

/// A connection that is made anew where its peer is not to be spoken to any more, on the runtime that asks for it first.
#[derive(Default)]
struct Line(Mutex<Option<Arc<Spoken>>>);

/// A connection, and how often it has been answered on.
struct Spoken {
    connection: ConnectionManager,
    answers: AtomicU64,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Spoken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever asks next gets another connection.
    fn leave(&self, spoken: &Arc<Spoken>) {
        let mut now = self.lock();
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, spoken)) {
            *now = None;
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(&self.name).finish()
    }
}

impl Node {
    /// A server that has not been spoken to yet.
    pub(super) fn new(info: ConnectionInfo, options: &RedisOptions) -> Result<Self, RedisError> {
        let speaks = info.redis_settings().clone();
        let listens = info
            .clone()
            .set_redis_settings(speaks.set_protocol(ProtocolVersion::RESP3));
        let name = address(info.addr());
        let client = Client::open(info)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.connect))
            .set_response_timeout(Some(options.response))
            .set_number_of_retries(RECONNECTS)
            .set_min_delay(RECONNECT_DELAY)
            .set_pipeline_buffer_size(IN_FLIGHT);
        let waits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect))
            .set_response_timeout(None);
        let manager = Manager::new_with_config(client.get_connection_info().clone(), waits)?;
        let waiting = Pool::builder(manager)
            .max_size(options.waiting_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.connect))
            .create_timeout(Some(options.connect))
            .recycle_timeout(Some(options.response))
            .build()
            .map_err(other)?;
        Ok(Self {
            name,
            // Connecting again is part of what is waited for.
            limit: options.limit(),
            connect: options.connect,
            response: options.response,
            main: Line::default(),
            heart: Line::default(),
            listener: Client::open(listens)?,
            client,
            config,
            waiting,
            silent_until_ms: AtomicU64::new(0),
            demoted: Notify::new(),
        })
    }

    /// Its `host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has not answered what it was asked last, and lately.
    pub(super) fn is_silent(&self) -> bool {
        clock::now_ms() < self.silent_until_ms.load(Ordering::Relaxed)
    }

    /// Once the server is found to take no writes any more.
    pub(super) async fn demoted(&self) {
        self.demoted.notified().await;
    }

    /// The server takes no writes any more: its connections are left, since its name may lead to another one.
    pub(super) fn demote(&self) {
        for line in [&self.main, &self.heart] {
            *line.lock() = None;
        }
    }

    fn spoken(&self, line: &Line) -> Result<Arc<Spoken>, RedisError> {
        let mut now = line.lock();
        if let Some(spoken) = &*now {
            return Ok(Arc::clone(spoken));
        }
        let (client, config) = (self.client.clone(), self.config.clone());
        let spoken = Arc::new(Spoken {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            answers: AtomicU64::new(0),
        });
        *now = Some(Arc::clone(&spoken));
        Ok(spoken)
    }

    /// Asks on one of the lines, and leaves the connection where it is not to be spoken to any more. `asking` says that
    /// the server gets what is asked for, and has not all of it yet.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        on: On,
        asked: Asked<'_>,
        asking: bool,
    ) -> Result<T, RedisError> {
        let line = match on {
            On::Main => &self.main,
            On::Heart => &self.heart,
        };
        let spoken = self.spoken(line)?;
        let mut connection = Spoke {
            connection: spoken.connection.clone(),
            asking,
        };
        let before = spoken.answers.load(Ordering::Relaxed);
        let answer = async {
            match asked {
                Asked::Step(step) => step.invoke_async(&mut connection).await,
                Asked::Commands(commands) => {
                    let told = connection
                        .req_packed_commands(commands, 0, commands.len())
                        .await?;
                    // By itself an error says more than among those of all commands: where else to ask.
                    Ok(redis::from_redis_value(Value::Array(told).extract_error()?)?)
                }
            }
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = clock::sleep(self.limit) => Err(timed_out()),
        };
        let until = match &answer {
            Err(error) if is_away(error) => clock::now_ms() + SILENT_MS,
            _ => 0,
        };
        self.silent_until_ms.store(until, Ordering::Relaxed);
        match &answer {
            // Another one may have been answered meanwhile: then it is slow, and not silent.
            Err(error) if error.is_timeout() => {
                if spoken.answers.load(Ordering::Relaxed) == before {
                    line.leave(&spoken);
                }
            }
            Err(error) if code(error) == Some("READONLY") => {
                line.leave(&spoken);
                self.demoted.notify_one();
            }
            _ => {
                spoken.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// Waits for an answer as long as any may take.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        tokio::select! {
            answer = answer => answer,
            () = clock::sleep(self.limit) => Err(timed_out()),
        }
    }

    /// A connection of its own, for a few questions.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        self.connection_by(&self.client, self.bounds()).await
    }

    /// A connection for live messages, which go straight to `hear`.
    pub(super) async fn listen(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let hear = move |push| {
            hear(push);
            Ok::<(), std::convert::Infallible>(())
        };
        let config = self.bounds().set_push_sender(hear);
        self.connection_by(&self.listener, config).await
    }

    fn bounds(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.response))
    }

    async fn connection_by(
        &self,
        client: &Client,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        self.within(client.get_multiplexed_async_connection_with_config(&config))
            .await
    }

    /// Takes an element of one of these lists as soon as there is one, within a time; whether there was one.
    pub(super) async fn pop(&self, lists: &[String], time: Duration) -> Result<bool, RedisError> {
        let mut command = redis::cmd("BLPOP");
        command.arg(lists).arg(time.as_secs_f64());
        let waits = async |connection: &mut deadpool_redis::Connection| {
            let popped: Option<(String, String)> = command.query_async(connection).await?;
            Ok(popped.is_some())
        };
        self.wait(time, waits).await
    }

    /// Takes a step, and waits until so many replicas hold what it wrote, or a time is over; how many hold it.
    pub(super) async fn hold<T: FromRedisValue>(
        &self,
        step: &ScriptInvocation<'_>,
        replicas: u32,
        time: Duration,
    ) -> Result<(T, u32), RedisError> {
        let mut command = redis::cmd("WAIT");
        command
            .arg(replicas)
            .arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
        let waits = async |connection: &mut deadpool_redis::Connection| {
            let taken = step.invoke_async(connection).await?;
            Ok((taken, command.query_async(connection).await?))
        };
        self.wait(time + self.response, waits).await
    }

    /// Waits on a connection of its own for at most a time, and as long as any answer may take.
    async fn wait<T>(
        &self,
        time: Duration,
        waits: impl AsyncFnOnce(&mut deadpool_redis::Connection) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let connection = self.waiting.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            error => other(error),
        })?;
        let mut borrowed = Borrowed(Some(connection));
        let Some(connection) = &mut borrowed.0 else {
            return Err(timed_out());
        };
        tokio::select! {
            told = waits(connection) => {
                let told = told?;
                // It has answered all that it was asked, and may be asked again.
                drop(borrowed.0.take());
                Ok(told)
            }
            () = clock::sleep(time + self.limit) => Err(timed_out()),
        }
    }
}

/// A connection on which something is waited for. Whoever stops waiting closes it: an answer that nobody hears would be
/// taken for the next one's.
struct Borrowed(Option<deadpool_redis::Connection>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(deadpool_redis::Connection::take(connection));
        }
    }
}

/// A connection, on which each command may be told to ask what is on its way to the server.
struct Spoke {
    connection: ConnectionManager,
    asking: bool,
}

impl ConnectionLike for Spoke {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        if !self.asking {
            return self.connection.req_packed_command(command);
        }
        Box::pin(async move {
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(command.clone());
            let mut answers = self.connection.req_packed_commands(&both, 0, 2).await?;
            answers.pop().ok_or_else(timed_out)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        if !self.asking {
            return self.connection.req_packed_commands(commands, offset, count);
        }
        Box::pin(async move {
            let mut answers = Vec::with_capacity(count);
            for command in commands.cmd_iter().skip(offset) {
                answers.push(self.req_packed_command(command).await?);
            }
            Ok(answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// Whether nobody has answered.
pub(super) fn is_away(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// The `host:port` of a server.
fn address(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        other => other.to_string(),
    }
}

fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn other(error: impl std::fmt::Display) -> RedisError {
    RedisError::from(std::io::Error::other(error.to_string()))
}
