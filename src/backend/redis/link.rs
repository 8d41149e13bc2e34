//! The way to Redis: one connection that all steps share, one of the heartbeat's own, and a few for commands that wait.
//!
//! Nothing is sent again here: a step whose answer is lost is its caller's to repeat. Every command has a time limit. A
//! connection is made anew where its peer has fallen silent, or takes no writes any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisError, ScriptInvocation, ServerErrorKind, TlsCertificates,
};
use tokio::sync::Notify;

use super::options::{RedisOptions, RedisUrl};
use crate::backend::BackendError;
use crate::clock;

/// Answers that are on their way at a time on one connection.
const IN_FLIGHT: usize = 1_024;
/// Attempts to connect before those who wait are told; each waits for a random part of the delay.
const RECONNECTS: usize = 2;
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// The way there.
pub(super) struct Link {
    client: Client,
    /// The same, by the version of the protocol in which messages come without having been asked for.
    listener: Client,
    config: ConnectionManagerConfig,
    limit: Duration,
    connect: Duration,
    response: Duration,
    main: Line,
    /// The heartbeat's own: what holds the others up does not hold it up.
    heart: Line,
    waiting: Pool,
    /// The server takes no writes any more.
    demoted: Notify,
}

/// A connection that is made anew where its peer is not to be spoken to any more, on the runtime that asks for it first.
#[derive(Default)]
pub(super) struct Line(Mutex<Option<Arc<Spoken>>>);

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

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// A way that has not been gone yet.
    pub(super) fn new(
        url: &RedisUrl,
        authority: Option<Vec<u8>>,
        options: &RedisOptions,
    ) -> Result<Self, RedisError> {
        let unacknowledged = options.response.saturating_mul(2);
        let settings = tcp(unacknowledged);
        let info = url.reveal().into_connection_info()?.set_tcp_settings(settings);
        let speaks = info.redis_settings().clone();
        let listens = info
            .clone()
            .set_redis_settings(speaks.set_protocol(ProtocolVersion::RESP3));
        let client = client_of(info, authority.clone())?;
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
            .map_err(|error| RedisError::from(std::io::Error::other(error.to_string())))?;
        Ok(Self {
            // Connecting again is part of what is waited for.
            limit: options.response + options.connect,
            connect: options.connect,
            response: options.response,
            main: Line::default(),
            heart: Line::default(),
            listener: client_of(listens, authority)?,
            client,
            config,
            waiting,
            demoted: Notify::new(),
        })
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// How long anything may take.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Once the server is found to take no writes any more.
    pub(super) async fn demoted(&self) {
        self.demoted.notified().await;
    }

    fn spoken(&self, line: &Line) -> Result<Arc<Spoken>, BackendError> {
        let mut now = line.lock();
        if let Some(spoken) = &*now {
            return Ok(Arc::clone(spoken));
        }
        let (client, config) = (self.client.clone(), self.config.clone());
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(|error| unavailable(&error))?;
        let spoken = Arc::new(Spoken {
            connection,
            answers: AtomicU64::new(0),
        });
        *now = Some(Arc::clone(&spoken));
        Ok(spoken)
    }

    /// A step on the shared connection.
    pub(super) async fn step<T: FromRedisValue>(
        &self,
        step: &ScriptInvocation<'_>,
    ) -> Result<T, BackendError> {
        self.step_on(&self.main, step).await
    }

    /// A step on the heartbeat's connection.
    pub(super) async fn beat<T: FromRedisValue>(
        &self,
        step: &ScriptInvocation<'_>,
    ) -> Result<T, BackendError> {
        self.step_on(&self.heart, step).await
    }

    async fn step_on<T: FromRedisValue>(
        &self,
        line: &Line,
        step: &ScriptInvocation<'_>,
    ) -> Result<T, BackendError> {
        let spoken = self.spoken(line)?;
        let mut connection = spoken.connection.clone();
        self.heard(line, &spoken, step.invoke_async(&mut connection))
            .await
    }

    /// Several commands in one round trip.
    pub(super) async fn ask<T: FromRedisValue>(&self, asked: &redis::Pipeline) -> Result<T, BackendError> {
        let spoken = self.spoken(&self.main)?;
        let mut connection = spoken.connection.clone();
        self.heard(&self.main, &spoken, asked.query_async(&mut connection))
            .await
    }

    /// Waits for an answer on a line, and leaves the connection where it is not to be spoken to any more.
    async fn heard<T>(
        &self,
        line: &Line,
        spoken: &Arc<Spoken>,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, BackendError> {
        let before = spoken.answers.load(Ordering::Relaxed);
        let answer = tokio::select! {
            answer = answer => answer,
            () = clock::sleep(self.limit) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        };
        match &answer {
            // Another one may have been answered meanwhile: then it is slow, and not silent.
            Err(error) if error.is_timeout() => {
                if spoken.answers.load(Ordering::Relaxed) == before {
                    line.leave(spoken);
                }
            }
            Err(error) if code(error) == Some("READONLY") => {
                line.leave(spoken);
                self.demoted.notify_one();
            }
            _ => {
                spoken.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer.map_err(|error| unavailable(&error))
    }

    /// Waits for an answer as long as any may take.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, BackendError> {
        tokio::select! {
            answer = answer => answer.map_err(|error| unavailable(&error)),
            () = clock::sleep(self.limit) => Err(silent()),
        }
    }

    /// A connection for live messages, which go straight to `hear`.
    pub(super) async fn listen(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, BackendError> {
        let hear = move |push| {
            hear(push);
            Ok::<(), std::convert::Infallible>(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.response))
            .set_push_sender(hear);
        self.within(
            self.listener
                .get_multiplexed_async_connection_with_config(&config),
        )
        .await
    }

    /// Takes an element of one of these lists as soon as there is one, within a time.
    pub(super) async fn pop(&self, lists: Vec<String>, time: Duration) -> Result<(), BackendError> {
        let connection = self.waiting.get().await.map_err(|error| match error {
            PoolError::Backend(error) => unavailable(&error),
            other => BackendError::Unavailable(other.to_string()),
        })?;
        let mut borrowed = Borrowed(Some(connection));
        let Some(connection) = &mut borrowed.0 else {
            return Ok(());
        };
        let mut command = redis::cmd("BLPOP");
        command.arg(lists).arg(time.as_secs_f64());
        tokio::select! {
            popped = command.query_async::<Option<(String, String)>>(connection) => {
                popped.map_err(|error| unavailable(&error))?;
                // It has answered all that it was asked, and may be asked again.
                drop(borrowed.0.take());
                Ok(())
            }
            () = clock::sleep(time + self.limit) => Err(silent()),
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

/// A client that trusts who the authority vouches for, or the roots of the web.
fn client_of(info: ConnectionInfo, authority: Option<Vec<u8>>) -> Result<Client, RedisError> {
    match authority {
        None => Client::open(info),
        Some(_) => Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls: None,
                root_cert: authority,
            },
        ),
    }
}

/// What is written goes out at once, and a peer that takes nothing of it any more is noticed.
fn tcp(unacknowledged: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(unacknowledged);
    #[cfg(not(target_os = "linux"))]
    let _ = unacknowledged;
    settings
}

fn silent() -> BackendError {
    BackendError::Unavailable("Redis does not answer".to_owned())
}

/// An error of Redis as one of engines.
pub(super) fn unavailable(error: &RedisError) -> BackendError {
    if error.is_timeout() {
        return silent();
    }
    let told = error.to_string();
    match (error.kind(), code(error)) {
        (_, Some("OOM")) => BackendError::NoRoom("Redis has reached its `maxmemory`".to_owned()),
        (_, Some("MISCONF")) => BackendError::NoRoom("Redis cannot write to its disk".to_owned()),
        (_, Some("READONLY" | "NOREPLICAS" | "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN")) => {
            BackendError::Unavailable(told)
        }
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => BackendError::Corrupt(told),
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => BackendError::Corrupt(told),
        _ => BackendError::Unavailable(told),
    }
}

/// What Redis said against a part of a script, in its own words.
pub(super) fn refused(said: &str) -> BackendError {
    let line = said.trim_start_matches('-').replace(['\r', '\n'], " ");
    let error =
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(redis::Value::extract_error);
    match error {
        Err(error) => unavailable(&error),
        Ok(_) => BackendError::Corrupt(line),
    }
}

/// The code of an error. Where a script has met it, Redis 6.2 tells it within a sentence, behind the place in the script.
fn code(error: &RedisError) -> Option<&str> {
    let told = error.code()?;
    let met = error
        .detail()
        .and_then(|detail| detail.rsplit_once("user_script"));
    let Some((_, met)) = met.filter(|_| told == "ERR") else {
        return Some(told);
    };
    let mut words = met.split([' ', ':']).map(|word| word.trim_start_matches('-'));
    let is_code = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    words.find(is_code).or(Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis says where a script's command is refused, before 7.0 and since.
    #[test]
    fn an_error_within_a_script_keeps_its_code() -> Result<(), Box<dyn std::error::Error>> {
        let no_room = |told: &BackendError| matches!(told, BackendError::NoRoom(_));
        let away = |told: &BackendError| matches!(told, BackendError::Unavailable(_));
        let corrupt = |told: &BackendError| matches!(told, BackendError::Corrupt(_));
        type Is<'a> = &'a dyn Fn(&BackendError) -> bool;
        let cases: [(&str, Is<'_>); 7] = [
            (
                "ERR Error running script (call to f_3b): @user_script:140: @user_script: 140: -OOM command not allowed when used memory > 'maxmemory'.",
                &no_room,
            ),
            (
                "ERR Error running script (call to f_3b): @user_script:7: @user_script: 7: -MISCONF Redis is configured to save RDB snapshots",
                &no_room,
            ),
            (
                "ERR Error running script (call to f_3b): @user_script:7: @user_script: 7: -READONLY You can't write against a read only replica.",
                &away,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 3b, on @user_script:9.",
                &no_room,
            ),
            ("READONLY You can't write against a read only replica.", &away),
            (
                "ERR Error running script (call to f_3b): @user_script:7: WRONGTYPE Operation against a key holding the wrong kind of value",
                &corrupt,
            ),
            (
                "ERR user_script:3: attempt to compare nil with number script: 3b, on @user_script:3.",
                &corrupt,
            ),
        ];
        for (line, is) in cases {
            assert!(is(&refused(line)), "{line}: {:?}", refused(line));
        }
        Ok(())
    }
}
