//! The composition: engine, worker, hub, admission and server in one process, and their ordered end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{ApiKey, Unchanged};
use crate::archive::{Archive, ArchiveOptions};
use crate::backend::Backend;
use crate::backend::embedded::{Embedded, EngineOptions};
use crate::compiler::{Compiler, CompilerOptions};
use crate::hub::{Hub, HubOptions};
use crate::llm::{Providers, ProvidersError, ProvidersOptions};
use crate::outbox;
use crate::server::{self, Parts, Running, ServerOptions};
use crate::store::{Store, StoreError, StoreOptions};
use crate::submit::{Admission, AdmissionOptions, ModelCheck, Offered};
use crate::worker::{Worker, WorkerOptions};

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
    /// The server cannot listen.
    #[error(transparent)]
    Server(#[from] server::StartError),
    /// The heartbeat's thread cannot be started.
    #[error("the heartbeat's thread cannot be started: {0}")]
    Heartbeat(#[from] std::io::Error),
}

/// Everything, running.
#[derive(Debug)]
pub struct App {
    server: Running,
    hub: Arc<Hub>,
    models: Vec<String>,
    going_down: watch::Sender<bool>,
    worker: JoinHandle<()>,
    heartbeat: thread::JoinHandle<()>,
    outbox: JoinHandle<()>,
    engine: Arc<Embedded>,
}

impl App {
    /// Starts on the runtime it is called on, which needs threads of its own: sockets are served beside it.
    ///
    /// # Errors
    /// A provider that cannot work, an address that cannot be had, a public one without permission.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let store = Arc::new(Store::open(&options.store).await?);
        let engine = Arc::new(Embedded::open(options.engine, Arc::clone(&store)).await?);
        let backend: Arc<dyn Backend> = Arc::clone(&engine) as Arc<dyn Backend>;
        let archive = Archive::new(store, options.archive);
        let providers = Arc::new(Providers::new(options.providers)?);
        let models = providers.models();
        let hub = Hub::new(Arc::clone(&backend), options.hub);
        let compiler = Arc::new(Compiler::new(options.compiler));
        let admission = Arc::new(Admission::new(
            Arc::clone(&backend),
            Arc::clone(&compiler),
            options.admission,
            offered(Arc::clone(&providers)),
        ));
        let parts = Parts {
            hub: Arc::clone(&hub),
            admission,
            backend: Arc::clone(&backend),
            archive: Some(archive.clone()),
            models: models.clone(),
            runtime: Handle::current(),
        };
        let server = server::start(options.server, parts)?;
        let (going_down, drain) = watch::channel(false);
        let outbox = tokio::spawn(outbox::run(archive, drain.clone()));
        let worker = Worker::new(backend, providers, compiler, options.worker);
        let heartbeat = start_heartbeat(Arc::clone(&worker), drain.clone())?;
        let worker = tokio::spawn(worker.run(drain));
        server.ready();
        Ok(Self {
            server,
            hub,
            models,
            going_down,
            worker,
            heartbeat,
            outbox,
            engine,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Puts these API keys in the place of those there are.
    ///
    /// # Errors
    /// An entry that cannot be, or none at all: then nothing has changed.
    pub fn rekey(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        self.server.rekey(keys)
    }

    /// The models that may be named.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Goes down in order: nothing new is taken, running jobs get their drain time and are seen to end, the others are
    /// put back; then every client is told when to come back.
    pub async fn stop(self) {
        self.server.begin_drain();
        let _ = self.going_down.send(true);
        if self.worker.await.is_err() {
            tracing::error!("the worker did not end by itself");
        }
        // Only now: leases are kept while the last jobs end.
        drop(self.going_down);
        let _ = tokio::task::spawn_blocking(move || self.heartbeat.join()).await;
        if let Err(error) = self.hub.catch_up().await {
            tracing::warn!(%error, "viewers may be told the last of their jobs only when they return");
        }
        self.server.stop().await;
        if self.outbox.await.is_err() {
            tracing::error!("the outbox did not end by itself");
        }
        // Last of all: what the others have done is stored.
        self.engine.close().await;
    }
}

/// The heartbeat's own thread and runtime; it ends when the app drops its end of `alive`.
fn start_heartbeat(
    worker: Arc<Worker>,
    mut alive: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>, std::io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = worker.heartbeat() => {}
                    () = async { while alive.changed().await.is_ok() {} } => {}
                }
            });
        })
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
