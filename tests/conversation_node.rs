//! A whole server for one conversation: embedded engine, worker, scripted model, real sockets on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use livedraft::backend::Backend;
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::hub::{Hub, HubOptions};
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::server::{Parts, Running, ServerOptions, start};
use livedraft::submit::{Admission, AdmissionOptions};
use livedraft::worker::{Worker, WorkerOptions};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub(crate) struct Node {
    running: Running,
    drain: watch::Sender<bool>,
}

impl Node {
    /// Starts a server on the runtime of the caller.
    pub(crate) fn start() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(Embedded::new(EngineOptions::default()));
        let providers = Arc::new(Providers::new(ProvidersOptions::default()).expect("the scripted model"));
        let offered = Arc::clone(&providers);
        let admission = Admission::new(
            Arc::clone(&backend),
            AdmissionOptions::default(),
            Arc::new(move |model| {
                let resolved = offered.resolve(model).map(|_| ());
                resolved.map_err(|unknown| unknown.nearest)
            }),
        );
        let (drain, draining) = watch::channel(false);
        let worker = Worker::new(Arc::clone(&backend), providers, WorkerOptions::default());
        tokio::spawn(Arc::clone(&worker).heartbeat());
        tokio::spawn(worker.run(draining));
        let parts = Parts {
            hub: Hub::new(Arc::clone(&backend), HubOptions::default()),
            admission: Arc::new(admission),
            backend,
            models: vec!["scripted".to_owned()],
            runtime: Handle::current(),
        };
        let options = ServerOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..ServerOptions::default()
        };
        let running = start(options, parts).expect("a free port");
        Self { running, drain }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addr()
    }

    /// Ends the worker and the server.
    pub(crate) async fn stop(self) {
        self.drain.send_replace(true);
        self.running.stop().await;
    }
}
