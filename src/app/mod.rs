//! The composition: engine, worker, hub, admission and server, in one process or as the roles of a fleet, and their
//! ordered end.

mod engine;
mod fleet;
mod work;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::engine::Engine;
use self::work::Work;
pub use self::worker::WorkerNode;

use crate::access::{ApiKey, Unchanged};
use crate::archive::ArchiveOptions;
use crate::backend::embedded::EngineOptions;
use crate::backend::{BackendError, RedisOptions, RedisStartError, TenantsOptions};
use crate::compiler::{Compiler, CompilerOptions};
use crate::hub::{Hub, HubOptions};
use crate::llm::{Providers, ProvidersError, ProvidersOptions};
use crate::outbox;
use crate::server::{self, Parts, Running, ServerOptions};
use crate::store::{StoreError, StoreOptions};
use crate::submit::{Admission, AdmissionOptions, ModelCheck, Offered};
use crate::worker::WorkerOptions;

/// The options of every part.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sockets and HTTP.
    pub server: ServerOptions,
    /// How schemas are compiled, and what they are held against.
    pub compiler: CompilerOptions,
    /// What requests are held against.
    pub admission: AdmissionOptions,
    /// The fan-out.
    pub hub: HubOptions,
    /// The data folder.
    pub store: StoreOptions,
    /// What is kept of jobs that have ended.
    pub archive: ArchiveOptions,
    /// The engine.
    pub engine: EngineOptions,
    /// What tenants may have of it.
    pub tenants: TenantsOptions,
    /// The Redis of a fleet; without a URL the engine is embedded.
    pub redis: RedisOptions,
    /// The work.
    pub worker: WorkerOptions,
    /// The models.
    pub providers: ProvidersOptions,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration of providers cannot work.
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisStartError),
    /// A role of a fleet, and nothing that the fleet shares.
    #[error(
        "`api` and `worker` are roles of a fleet, which shares a Redis: give `redis.url`, or run `livedraft serve`"
    )]
    Alone,
    /// The server cannot listen.
    #[error(transparent)]
    Server(#[from] server::StartError),
    /// The engine could not be told what tenants may have.
    #[error("the engine cannot be told what tenants may have: {0}")]
    Tenants(BackendError),
    /// The heartbeat's thread cannot be started.
    #[error("the heartbeat's thread cannot be started: {0}")]
    Heartbeat(#[from] std::io::Error),
}

/// Why a configuration was not taken while it runs.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Its keys cannot be.
    #[error(transparent)]
    Keys(#[from] Unchanged),
    /// The engine could not be told what tenants may have; some of its shards may have been.
    #[error("the engine cannot be told what tenants may have: {0}; ask again")]
    Tenants(#[from] BackendError),
}

/// What every node is made of, whatever it does.
struct Made {
    engine: Engine,
    providers: Arc<Providers>,
    compiler: Arc<Compiler>,
    parts: Parts,
}

impl Made {
    async fn of(options: &Options) -> Result<Self, StartError> {
        let engine = Engine::open(options).await?;
        let backend = engine.backend();
        let providers = Arc::new(Providers::new(options.providers.clone())?);
        let compiler = Arc::new(Compiler::new(options.compiler.clone()));
        let admission = Admission::new(
            Arc::clone(&backend),
            Arc::clone(&compiler),
            options.admission.clone(),
            offered(Arc::clone(&providers)),
        );
        let parts = Parts {
            hub: Hub::new(Arc::clone(&backend), options.hub),
            admission: Arc::new(admission),
            backend,
            archive: engine.archive(),
            models: providers.models(),
            runtime: Handle::current(),
        };
        Ok(Self {
            engine,
            providers,
            compiler,
            parts,
        })
    }
}

/// A node with a server, running.
#[derive(Debug)]
pub struct App {
    server: Running,
    hub: Arc<Hub>,
    models: Vec<String>,
    /// `None` where others do the work.
    work: Option<Work>,
    /// Dropped when nothing is written any more.
    working: watch::Sender<()>,
    /// `None` where nothing is archived.
    outbox: Option<JoinHandle<()>>,
    engine: Engine,
}

impl App {
    /// Starts everything on the runtime it is called on, which needs threads of its own: sockets are served beside it.
    ///
    /// # Errors
    /// A provider that cannot work, an engine that cannot be had, an address that cannot, a public one without permission.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        Self::begin(options, true).await
    }

    /// Starts a server without a worker: the role `api` of a fleet.
    ///
    /// # Errors
    /// As [`start`](Self::start), and where there is no Redis that workers could share.
    pub async fn start_api(options: Options) -> Result<Self, StartError> {
        if options.redis.url.is_none() {
            return Err(StartError::Alone);
        }
        Self::begin(options, false).await
    }

    async fn begin(options: Options, works: bool) -> Result<Self, StartError> {
        let Made {
            engine,
            providers,
            compiler,
            parts,
        } = Made::of(&options).await?;
        let shares = options.tenants.shares();
        let governed = parts.backend.govern(&shares).await;
        governed.map_err(StartError::Tenants)?;
        let (hub, models) = (Arc::clone(&parts.hub), parts.models.clone());
        let server = server::start(options.server, parts)?;
        let (working, ends) = watch::channel(());
        let outbox = engine
            .archive()
            .map(|archive| tokio::spawn(outbox::run(archive, ends)));
        let work = match works {
            true => Some(Work::begin(&engine, providers, compiler, options.worker).await?),
            false => None,
        };
        server.ready();
        Ok(Self {
            server,
            hub,
            models,
            work,
            working,
            outbox,
            engine,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Takes what a configuration says of API keys and of tenants, both or neither.
    ///
    /// # Errors
    /// Keys that cannot be, or an engine that cannot be asked.
    pub async fn take(&self, keys: &[ApiKey], tenants: &TenantsOptions) -> Result<(), NotTaken> {
        self.server.could_rekey(keys)?;
        self.engine.backend().govern(&tenants.shares()).await?;
        Ok(self.server.rekey(keys)?)
    }

    /// The models that may be named.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Goes down in order: nothing new is taken, running jobs get their drain time and are seen to end, the others are
    /// put back; then every client is told when to come back.
    pub async fn stop(self) {
        self.server.begin_drain();
        if let Some(work) = self.work {
            work.stop().await;
        }
        drop(self.working);
        if let Err(error) = self.hub.catch_up().await {
            tracing::warn!(%error, "viewers may be told the last of their jobs only when they return");
        }
        self.server.stop().await;
        if let Some(outbox) = self.outbox
            && outbox.await.is_err()
        {
            tracing::error!("the outbox did not end by itself");
        }
        // Last of all: what the others have done is stored.
        self.engine.close().await;
    }
}

fn offered(providers: Arc<Providers>) -> ModelCheck {
    Arc::new(move |model| {
        providers
            .route(model)
            .map(|targets| Offered {
                is_priced: targets.iter().all(|target| target.price().is_some()),
            })
            .map_err(|unknown| unknown.nearest)
    })
}
