//! The way to Redis: one connection that all steps share, one of the heartbeat's own, and a few for commands that wait.
//!
//! Nothing is sent again here: a step whose answer is lost is its caller's to repeat. Every command has a time limit.

use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    ScriptInvocation, ServerErrorKind,
};
use tokio::sync::OnceCell;

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
    config: ConnectionManagerConfig,
    limit: Duration,
    connect: Duration,
    main: ConnectionManager,
    heart: OnceCell<ConnectionManager>,
    waiting: Pool,
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
    pub(super) fn new(url: &RedisUrl, options: &RedisOptions) -> Result<Self, RedisError> {
        let unacknowledged = options.response.saturating_mul(2);
        let settings = tcp(unacknowledged);
        let client = Client::open(url.reveal().into_connection_info()?.set_tcp_settings(settings))?;
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
            main: ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?,
            // Connecting again is part of what is waited for.
            limit: options.response + options.connect,
            connect: options.connect,
            heart: OnceCell::new(),
            client,
            config,
            waiting,
        })
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// The connection that all share.
    pub(super) fn shared(&self) -> ConnectionManager {
        self.main.clone()
    }

    /// The heartbeat's own, of the runtime that asks for it first: what holds the others up does not hold it up.
    pub(super) async fn heart(&self) -> Result<ConnectionManager, BackendError> {
        let connect =
            async || ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
        let heart = self
            .heart
            .get_or_try_init(connect)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(heart.clone())
    }

    /// A step on the shared connection.
    pub(super) async fn step<T: FromRedisValue>(
        &self,
        step: &ScriptInvocation<'_>,
    ) -> Result<T, BackendError> {
        self.step_on(self.shared(), step).await
    }

    pub(super) async fn step_on<T: FromRedisValue>(
        &self,
        mut connection: ConnectionManager,
        step: &ScriptInvocation<'_>,
    ) -> Result<T, BackendError> {
        self.within(step.invoke_async(&mut connection)).await
    }

    /// Several commands in one round trip.
    pub(super) async fn ask<T: FromRedisValue>(&self, asked: &redis::Pipeline) -> Result<T, BackendError> {
        let mut connection = self.shared();
        self.within(asked.query_async(&mut connection)).await
    }

    /// Waits for an answer as long as any may take.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, BackendError> {
        tokio::select! {
            answer = answer => answer.map_err(|error| unavailable(&error)),
            () = clock::sleep(self.limit) => Err(BackendError::Unavailable("Redis does not answer".to_owned())),
        }
    }

    /// A connection for live messages.
    pub(super) async fn listen(&self) -> Result<PubSub, BackendError> {
        tokio::select! {
            listening = self.client.get_async_pubsub() => listening.map_err(|error| unavailable(&error)),
            () = clock::sleep(self.connect) => Err(BackendError::Unavailable("Redis does not answer".to_owned())),
        }
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
            () = clock::sleep(time + self.limit) => Err(BackendError::Unavailable("Redis does not answer".to_owned())),
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

/// What is written goes out at once, and a peer that takes nothing of it any more is noticed.
fn tcp(unacknowledged: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(unacknowledged);
    #[cfg(not(target_os = "linux"))]
    let _ = unacknowledged;
    settings
}

/// An error of Redis as one of engines.
pub(super) fn unavailable(error: &RedisError) -> BackendError {
    let told = error.to_string();
    match (error.kind(), error.code()) {
        (_, Some("OOM")) => BackendError::NoRoom("Redis has reached its `maxmemory`".to_owned()),
        (_, Some("MISCONF")) => BackendError::NoRoom("Redis cannot write to its disk".to_owned()),
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => BackendError::Corrupt(told),
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => BackendError::Corrupt(told),
        _ => BackendError::Unavailable(told),
    }
}
