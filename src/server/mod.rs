//! The shell around sessions: sockets, HTTP and server-sent events. The only place for actix.
//!
//! actix serves its connections on threads of its own, each with a runtime that knows nothing of the others. What
//! asks the engine runs on the engine's runtime ([`Parts::runtime`]) and comes back as a message, so a busy engine
//! delays no socket and a busy socket no engine.

mod access;
mod admit;
mod ask;
mod cors;
mod dead;
mod echo;
mod events;
mod frame;
#[cfg(test)]
mod fuzzed;
mod gate;
mod health;
mod http;
mod link;
mod list;
mod node;
mod problem;
mod queue;
mod reading;
mod socket;
mod standing;
mod watching;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use self::echo::{Echo, echo};
use self::node::{Node, Phase};
use crate::access::{ApiKey, KeyFault, Network, Unchanged};
use crate::archive::Archive;
use crate::backend::Backend;
use crate::clock;
use crate::hub::Hub;
use crate::submit::Admission;
use crate::wire::Limits;

/// How long actix waits for requests that are still open when it stops, s: by then sockets and streams are closed.
const STOP_SECONDS: u64 = 2;

/// How the server listens, and what it allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one. Default: 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// Where a worker without clients tells how it is ([`start_status`]); `None`: nowhere, the default.
    pub status_bind: Option<SocketAddr>,
    /// Whether `bind` may be an address that others can reach, although no keys are configured. Default: false.
    pub allow_public: bool,
    /// The keys by which clients are told apart (`livedraft keys new`). Default: none, so everyone may do everything.
    pub keys: Vec<ApiKey>,
    /// How long a client may take to say who it is where the upgrade did not, ms. Default: 10,000.
    pub auth_timeout_ms: u64,
    /// Origins of pages that may speak with this server beside its own, as browsers write them
    /// (`https://app.example`). Default: none.
    pub allowed_origins: Vec<String>,
    /// Hosts that requests may name beside loopback names and `bind`: `live.example` for any port,
    /// `live.example:8443` for one, `*` for any at all. Default: none.
    pub allowed_hosts: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// Threads that serve connections. Default: 1.
    pub http_workers: usize,
    /// What clients must keep to, as `welcome` tells it.
    pub limits: Limits,
    /// How long a silent client is let be before it is pinged, and again before it is given up, ms. Default: 25,000.
    pub heartbeat_ms: u64,
    /// How long a reader may leave no room to write before its socket is closed, ms; after twice as long its
    /// connection is ended, whatever it is. Default: 30,000.
    pub send_timeout_ms: u64,
    /// How long the peer of a socket that we close is waited for, ms. Default: 1,000.
    pub close_timeout_ms: u64,
    /// Clients that are sent away are told to come back after a random time below this, ms. Default: 2,000.
    pub drain_spread_ms: u64,
    /// Bytes of a request's body. Default: 1 MiB.
    pub body_bytes_max: usize,
    /// Bytes up to which a body or a message is read by the thread that serves its connection, and with it others; a
    /// longer one is read beside. Default: 16 KiB.
    pub inline_bytes_max: usize,
    /// Those longer ones that are read at a time. Default: 2.
    pub readings_max: usize,
    /// How long a request's body may take to come, ms. Default: 30,000.
    pub body_timeout_ms: u64,
    /// How long the head of a request may take to come, ms. Default: 5,000.
    pub head_timeout_ms: u64,
    /// Sockets and event streams that may be open. Default: 20,000.
    pub connections_max: usize,
    /// Connections beyond those, for requests that come and go. Default: 1,024.
    pub short_connections_max: usize,
    /// Connections that may wait to be accepted. Default: 2,048.
    pub accept_backlog: u32,
    /// Those of the sockets and event streams that one address may have open: an IPv4 address, or 64 bits of IPv6. Default: 1,024.
    pub connections_per_address_max: usize,
    /// Sockets and event streams that one address may open a second, as a mean, and keys that it may try in vain;
    /// twice as many in a burst. Default: 50.
    pub upgrades_per_second_per_address: u32,
    /// Whether clients on this machine are held to the two limits above; else they are not, for a proxy that is not
    /// in `trusted_proxies` would be one client. Default: false.
    pub limit_loopback: bool,
    /// Addresses, and tenants, whose pace is remembered at a time. Default: 65,536.
    pub addresses_max: usize,
    /// Jobs that one tenant may submit a second, as a mean; twice as many in a burst. Default: 1,000.
    pub submits_per_second_per_tenant: u32,
    /// Attaches of one socket a second, as a mean; twice as many in a burst. Default: 32.
    pub attaches_per_second_max: u32,
    /// Fragments that one message may come in. Default: 4,096.
    pub fragments_max: u32,
    /// Pings and pongs of one socket a second, as a mean; twice as many in a burst. Default: 50.
    pub control_frames_per_second_max: u32,
    /// About how many bytes a connection is given in one turn, and how many may wait in the kernel to be sent. Default: 64 KiB.
    pub take_bytes: usize,
    /// Lists of jobs that are made at a time. Default: 16.
    pub lists_max: usize,
    /// When to ask again where the engine could not be asked or there was no room, as clients are told it, ms.
    /// Default: 1,000.
    pub retry_after_ms: u64,
    /// How long the engine may take to say how much it holds before `/readyz` takes it for silent, ms. Default: 1,000.
    pub ready_timeout_ms: u64,
    /// How long an event stream is silent before a comment keeps it alive, ms. Default: 15,000.
    pub sse_comment_ms: u64,
    /// Whose jobs the clients' are, as long as no keys tell them apart. Default: `default`.
    pub tenant: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            status_bind: None,
            allow_public: false,
            keys: Vec::new(),
            auth_timeout_ms: 10_000,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            http_workers: 1,
            limits: Limits::default(),
            heartbeat_ms: 25_000,
            send_timeout_ms: 30_000,
            close_timeout_ms: 1_000,
            drain_spread_ms: 2_000,
            body_bytes_max: 1024 * 1024,
            inline_bytes_max: 16 * 1024,
            readings_max: 2,
            body_timeout_ms: 30_000,
            head_timeout_ms: 5_000,
            connections_max: 20_000,
            short_connections_max: 1_024,
            accept_backlog: 2_048,
            connections_per_address_max: 1_024,
            upgrades_per_second_per_address: 50,
            limit_loopback: false,
            addresses_max: 65_536,
            submits_per_second_per_tenant: 1_000,
            attaches_per_second_max: 32,
            fragments_max: 4_096,
            control_frames_per_second_max: 50,
            take_bytes: 64 * 1024,
            lists_max: 16,
            retry_after_ms: 1_000,
            ready_timeout_ms: 1_000,
            sse_comment_ms: 15_000,
            tenant: "default".to_owned(),
        }
    }
}

/// What the server serves.
#[derive(Clone)]
pub struct Parts {
    /// The fan-out.
    pub hub: Arc<Hub>,
    /// The door jobs come in by.
    pub admission: Arc<Admission>,
    /// The engine, for cancels.
    pub backend: Arc<dyn Backend>,
    /// What became of jobs, for lists; `None` where none is kept.
    pub archive: Option<Archive>,
    /// The models that may be named.
    pub models: Vec<String>,
    /// The runtime on which the engine is asked and jobs are followed.
    pub runtime: Handle,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others could reach it, and nothing would tell them apart.
    #[error(
        "refusing to listen on {0}: no keys are configured, so whoever reaches this address may run jobs and read \
         all of them. Configure keys (`livedraft keys new`), bind a loopback address, or allow it explicitly \
         (`--allow-public`) behind something that checks who comes"
    )]
    Public(SocketAddr),
    /// Others could reach it, and nothing would tell them apart.
    #[error(
        "refusing to tell on {0} how the worker is: no keys are configured, so whoever reaches this address may read all \
         that it counts. Configure keys (`livedraft keys new`), bind a loopback address, or allow it explicitly \
         (`--allow-public`) behind something that checks who comes"
    )]
    PublicStatus(SocketAddr),
    /// An entry of the keys cannot be.
    #[error(transparent)]
    Keys(#[from] KeyFault),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server's thread cannot be started, or ended at once.
    #[error("the server's thread cannot be started: {0}")]
    Thread(String),
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    launched: Launched,
    node: Arc<Node>,
}

/// Threads that listen.
struct Launched {
    address: SocketAddr,
    handle: ServerHandle,
    ended: oneshot::Receiver<()>,
}

impl std::fmt::Debug for Launched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launched")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Launched {
    /// Stops listening. Returns when the threads have ended.
    async fn stop(self) {
        self.handle.stop(true).await;
        // An error means that the thread is gone, which is what is waited for.
        let _ = self.ended.await;
    }
}

type Started = Result<(SocketAddr, ServerHandle), StartError>;

impl ServerOptions {
    /// Whether its addresses may be listened on.
    ///
    /// # Errors
    /// [`StartError::PublicStatus`], [`StartError::Public`].
    pub fn check(&self) -> Result<(), StartError> {
        let is_open = self.keys.is_empty() && !self.allow_public;
        let is_public = |address: &SocketAddr| is_open && !address.ip().is_loopback();
        if let Some(status) = self.status_bind.filter(is_public) {
            return Err(StartError::PublicStatus(status));
        }
        match is_public(&self.bind) {
            true => Err(StartError::Public(self.bind)),
            false => Ok(()),
        }
    }

    /// Connections that are served at a time, short ones included.
    pub const fn connections(&self) -> usize {
        self.connections_max + self.short_connections_max
    }
}

/// Binds and serves, on threads of its own.
///
/// # Errors
/// An address that cannot be had, a public one without keys or permission, keys that cannot be.
pub fn start(options: ServerOptions, parts: Parts) -> Result<Running, StartError> {
    run(options, parts, http::routes)
}

/// The same for a node that serves no clients: what operators and their machines ask is answered, at this address.
///
/// # Errors
/// As [`start`].
pub fn start_status(at: SocketAddr, options: ServerOptions, parts: Parts) -> Result<Running, StartError> {
    let options = ServerOptions {
        bind: at,
        http_workers: 1,
        ..options
    };
    run(options, parts, http::status_routes)
}

fn run(
    options: ServerOptions,
    parts: Parts,
    routes: fn(&mut web::ServiceConfig),
) -> Result<Running, StartError> {
    let node = Node::new(options.clone(), parts)?;
    let data = web::Data::from(Arc::clone(&node));
    let routes = move |config: &mut web::ServiceConfig| {
        config.app_data(data.clone()).configure(routes);
    };
    let launched = launch(options, routes)?;
    tracing::info!(address = %launched.address, "listening");
    Ok(Running { launched, node })
}

/// Serves these routes.
fn launch<F>(options: ServerOptions, routes: F) -> Result<Launched, StartError>
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    options.check()?;
    let (begun, starts) = std::sync::mpsc::sync_channel::<Started>(1);
    let (end, ended) = oneshot::channel();
    let serve = move || {
        actix_web::rt::System::new().block_on(serve(options, routes, begun));
        // Nobody waits any more where the receiver is gone.
        let _ = end.send(());
    };
    std::thread::Builder::new()
        .name("livedraft-http".to_owned())
        .spawn(serve)
        .map_err(|error| StartError::Thread(error.to_string()))?;
    let (address, handle) = starts
        .recv()
        .map_err(|_| StartError::Thread("it ended at once".to_owned()))??;
    Ok(Launched {
        address,
        handle,
        ended,
    })
}

async fn serve<F>(options: ServerOptions, routes: F, begun: std::sync::mpsc::SyncSender<Started>)
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let address = options.bind;
    // Later than a socket gives up, so that a reader who wakes up in between is told why.
    let patience = Duration::from_millis(options.send_timeout_ms.saturating_mul(2));
    let unsent = options.take_bytes;
    let app = move || {
        App::new()
            // The last is the first to be asked.
            .wrap(from_fn(cors::answer))
            .wrap(from_fn(admit::host))
            .wrap(from_fn(access::log))
            .configure(routes.clone())
    };
    let server = HttpServer::new(app)
        .workers(options.http_workers)
        .max_connections(options.connections())
        .backlog(options.accept_backlog)
        .client_request_timeout(Duration::from_millis(options.head_timeout_ms))
        .tcp_nodelay(true)
        // We linger ourselves, where something may be unread; actix would read on from every closed socket.
        .client_disconnect_timeout(Duration::ZERO)
        .on_connect(move |connection, _| bound(connection, patience, unsent))
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .bind(address);
    let server = match server {
        Ok(server) => server,
        Err(source) => {
            // `launch` waits for this answer as long as this thread lives.
            let _ = begun.send(Err(StartError::Bind { address, source }));
            return;
        }
    };
    let address = server.addrs().first().copied().unwrap_or(address);
    let server = server.run();
    let _ = begun.send(Ok((address, server.handle())));
    if let Err(error) = server.await {
        tracing::error!(%error, "the server has ended");
    }
}

/// Has the kernel end a connection whose peer takes nothing for `patience` (TCP_USER_TIMEOUT, RFC 5482): actix waits
/// for room to write without end, also where the one who wrote has gone. And has it take no more than about `unsent`
/// bytes that it cannot send yet (TCP_NOTSENT_LOWAT): else it takes megabytes for a reader that does not read, and what
/// a slow one gets is old before it is sent, where a snapshot of now would do.
fn bound(connection: &dyn Any, patience: Duration, unsent: usize) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(stream);
        if let Err(error) = socket.set_tcp_user_timeout(Some(patience)) {
            tracing::warn!(%error, "a connection has no limit of time to write");
        }
        let unsent = u32::try_from(unsent).unwrap_or(u32::MAX);
        if let Err(error) = socket.set_tcp_notsent_lowat(unsent) {
            tracing::warn!(%error, "a connection has no limit of bytes that wait to be sent");
        }
    }
}

impl Running {
    /// The address it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.launched.address
    }

    /// Everything behind the server runs: `/readyz` says so.
    pub fn ready(&self) {
        self.node.go_on(Phase::Serving);
    }

    /// Whether these keys can be put in the place of those there are.
    ///
    /// # Errors
    /// As [`Running::rekey`].
    pub fn could_rekey(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        self.node.access.could_replace(keys)
    }

    /// Puts these keys in the place of those there are; sockets and streams of keys that are gone end.
    ///
    /// # Errors
    /// An entry that cannot be, or none at all where there are keys: then nothing has changed.
    pub fn rekey(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        self.node.access.replace(keys)
    }

    /// From now on nothing new is taken: jobs, sockets and event streams are refused with `draining`, `/readyz` is 503.
    /// A socket that watches nothing is sent away; viewers stay, and see what still ends.
    pub fn begin_drain(&self) {
        self.node.go_on(Phase::Draining);
    }

    /// Sends every socket that is left a `goodbye` and closes it (1012), and ends event streams, each behind what its
    /// viewers have not been told yet. Returns once they are gone, or after as long as closing may take.
    pub async fn leave(&self) {
        self.node.go_on(Phase::Leaving);
        // Once for what is still to be told, once for the peer's close.
        let patience = Duration::from_millis(3 * self.node.options.close_timeout_ms + 500);
        tokio::select! {
            () = self.node.emptied() => {}
            () = clock::sleep(patience) => tracing::warn!("connections are left after the drain"),
        }
    }

    /// Sends everybody away, then stops listening. Returns when the server's threads have ended.
    pub async fn stop(self) {
        self.leave().await;
        self.launched.stop().await;
    }
}
