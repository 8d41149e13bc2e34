//! A node that works and serves no clients.

use std::net::SocketAddr;

use super::work::Work;
use super::{Made, Options, StartError};
use crate::access::{ApiKey, Unchanged};
use crate::server::{self, Running};

/// A worker of a fleet, running: the role `worker`.
#[derive(Debug)]
pub struct WorkerNode {
    work: Work,
    /// Where it tells how it is, if it does.
    status: Option<Running>,
}

impl WorkerNode {
    /// Starts it on the runtime it is called on.
    ///
    /// # Errors
    /// There is no Redis that it could share with others, or it cannot be used; a provider that cannot work; an address that
    /// cannot be had, or a public one without permission.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if options.redis.url.is_none() {
            return Err(StartError::Alone);
        }
        let Made {
            engine,
            providers,
            compiler,
            parts,
        } = Made::of(&options).await?;
        let status = match options.server.status_bind {
            Some(at) => Some(server::start_status(at, options.server, parts)?),
            None => None,
        };
        let work = Work::begin(&engine, providers, compiler, options.worker).await?;
        if let Some(status) = &status {
            status.ready();
        }
        Ok(Self { work, status })
    }

    /// Where it tells how it is, if it does.
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(Running::addr)
    }

    /// Takes the API keys that a configuration has, for those who ask how it is.
    ///
    /// # Errors
    /// Keys that cannot be, or none at all where there are some.
    pub fn take(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        self.status.as_ref().map_or(Ok(()), |status| status.rekey(keys))
    }

    /// Nothing new is claimed; running jobs get their drain time, and the others are put back.
    pub async fn stop(self) {
        if let Some(status) = &self.status {
            status.begin_drain();
        }
        self.work.stop().await;
        if let Some(status) = self.status {
            status.stop().await;
        }
    }
}
