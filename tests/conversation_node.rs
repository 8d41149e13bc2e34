//! A whole server for one conversation: the house of the other tests, and a worker with the scripted model.

use std::net::SocketAddr;
use std::sync::Arc;

use livedraft::backend::Backend;
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::worker::{Worker, WorkerOptions};
use tokio::sync::watch;

use crate::harness::{House, house};

pub(crate) struct Node {
    house: House,
    drain: watch::Sender<bool>,
}

impl Node {
    /// Starts on the runtime of the caller.
    pub(crate) fn start() -> Self {
        let house = house();
        let backend: Arc<dyn Backend> = house.engine.clone();
        let providers = Arc::new(Providers::new(ProvidersOptions::default()).expect("the scripted model"));
        let (drain, draining) = watch::channel(false);
        let worker = Worker::new(backend, providers, Arc::default(), WorkerOptions::default());
        tokio::spawn(Arc::clone(&worker).heartbeat());
        tokio::spawn(worker.run(draining));
        Self { house, drain }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.house.running.addr()
    }

    /// Ends the worker and the server.
    pub(crate) async fn stop(self) {
        self.drain.send_replace(true);
        self.house.running.stop().await;
    }
}
