//! The work of a node: a worker, and its heartbeat on a thread of its own.

use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::StartError;
use super::engine::Engine;
use super::fleet;
use crate::compiler::Compiler;
use crate::llm::Providers;
use crate::worker::{Worker, WorkerOptions};

/// A worker, running.
#[derive(Debug)]
pub(super) struct Work {
    going_down: watch::Sender<bool>,
    worker: JoinHandle<()>,
    heartbeat: thread::JoinHandle<()>,
    /// What is told to the other nodes of a fleet, and heard of them.
    _shared: Option<JoinSet<()>>,
}

impl Work {
    pub(super) async fn begin(
        engine: &Engine,
        providers: Arc<Providers>,
        compiler: Arc<Compiler>,
        options: WorkerOptions,
    ) -> Result<Self, StartError> {
        // First of all: what the others leave alone is not asked.
        let shared = match engine.fleet() {
            Some(fleet) => Some(fleet::share(fleet, &providers).await),
            None => None,
        };
        let worker = Worker::new(engine.backend(), providers, compiler, options);
        let (going_down, drain) = watch::channel(false);
        let heartbeat = start_heartbeat(Arc::clone(&worker), drain.clone())?;
        Ok(Self {
            going_down,
            worker: tokio::spawn(worker.run(drain)),
            heartbeat,
            _shared: shared,
        })
    }

    /// Nothing new is claimed; running jobs get their drain time, and the others are put back.
    pub(super) async fn stop(self) {
        let _ = self.going_down.send(true);
        if self.worker.await.is_err() {
            tracing::error!("the worker did not end by itself");
        }
        // Only now: leases are kept while the last jobs end.
        drop(self.going_down);
        let _ = tokio::task::spawn_blocking(move || self.heartbeat.join()).await;
    }
}

/// The heartbeat's own thread and runtime; it ends when the work drops its end of `alive`.
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
