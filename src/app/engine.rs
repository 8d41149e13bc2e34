//! The engine of a node: embedded beside its data folder, or a Redis that a fleet shares.

use std::sync::Arc;

use super::{Options, StartError};
use crate::archive::Archive;
use crate::backend::embedded::Embedded;
use crate::backend::{Backend, Redis};
use crate::store::Store;

/// The engine, and what is kept beside it.
#[derive(Debug)]
pub(super) enum Engine {
    /// In this process.
    Embedded(Arc<Embedded>, Archive),
    /// In a server of its own.
    Redis(Arc<Redis>),
}

impl Engine {
    /// The one that the options name: Redis where it has a URL.
    pub(super) async fn open(options: &Options) -> Result<Self, StartError> {
        if let Some(url) = &options.redis.url {
            let redis = Redis::open(url, &options.redis, options.engine).await?;
            return Ok(Self::Redis(Arc::new(redis)));
        }
        let store = Arc::new(Store::open(&options.store).await?);
        let engine = Embedded::open(options.engine, Arc::clone(&store)).await?;
        Ok(Self::Embedded(
            Arc::new(engine),
            Archive::new(store, options.archive),
        ))
    }

    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Embedded(engine, _) => Arc::clone(engine) as Arc<dyn Backend>,
            Self::Redis(engine) => Arc::clone(engine) as Arc<dyn Backend>,
        }
    }

    /// Where it is shared with other nodes.
    pub(super) const fn fleet(&self) -> Option<&Arc<Redis>> {
        match self {
            Self::Embedded(..) => None,
            Self::Redis(engine) => Some(engine),
        }
    }

    /// Where jobs are found that the engine has let go of; in a fleet they are gone.
    pub(super) fn archive(&self) -> Option<Archive> {
        match self {
            Self::Embedded(_, archive) => Some(archive.clone()),
            Self::Redis(_) => None,
        }
    }

    /// Stores what is not stored yet.
    pub(super) async fn close(&self) {
        match self {
            Self::Embedded(engine, _) => engine.close().await,
            Self::Redis(_) => {}
        }
    }
}
