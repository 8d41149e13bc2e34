//! A way to a server that can be led elsewhere, or fall silent, without being cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The way.
pub(crate) struct Way {
    to: Arc<Mutex<String>>,
    /// Connections older than this one are silent: what they are sent is taken, and nothing comes back.
    silent_before: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
    at: SocketAddr,
    _task: JoinSet<()>,
}

impl Way {
    /// A way to this `host:port`.
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(target.to_owned()));
        let (silent_before, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut task = JoinSet::new();
        let (target, silent, count) = (Arc::clone(&to), Arc::clone(&silent_before), Arc::clone(&made));
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let target = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
                connections.spawn(carry(client, target, number, Arc::clone(&silent)));
            }
        });
        Self {
            to,
            silent_before,
            made,
            at,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.at)
    }

    /// Connections that are made from now on lead there.
    pub(crate) fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.to.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All connections of now fall silent, and stay open.
    pub(crate) fn silence(&self) {
        self.silent_before
            .store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, target: String, number: u64, silent_before: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let pump = |mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf| {
        let silent_before = Arc::clone(&silent_before);
        async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read) = from.read(&mut buffer).await
                && read > 0
            {
                let silent = number < silent_before.load(Ordering::SeqCst);
                if !silent && to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::join!(pump(from_client, to_server), pump(from_server, to_client));
}
