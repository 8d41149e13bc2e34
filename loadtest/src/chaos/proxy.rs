//! A way that can be made bad: every connection to a process goes through one of these.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::push::Frames;
use crate::{Outcome, clock};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives.
    Good,
    /// It arrives so much later.
    Slow(Duration),
    /// It waits, and arrives once the way is good again.
    Frozen,
    /// It is swallowed; a connection that lost something is reset once the way is good again. New ones hang.
    BlackHole,
    /// Connections are closed in order, and new ones at once.
    Cut,
    /// Connections are reset, and new ones at once.
    Reset,
    /// The server hears that the client has nothing more to say; the client is heard no more.
    HalfClosed,
    /// Of what a Redis sends, live messages are swallowed; all else arrives.
    Deaf,
}

/// A listening address before a target that may move.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    way: watch::Sender<Way>,
    /// Bytes that were swallowed.
    swallowed: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens on a free port; what comes before there is a target is closed.
    pub(crate) async fn start() -> Outcome<Self> {
        Self::before(false).await
    }

    /// The same before a Redis, whose live messages may be swallowed.
    pub(crate) async fn start_to_redis() -> Outcome<Self> {
        Self::before(true).await
    }

    async fn before(redis: bool) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            target: watch::Sender::new(None),
            way: watch::Sender::new(Way::Good),
            swallowed: Arc::default(),
        };
        let (target, way, swallowed) = (
            proxy.target.subscribe(),
            proxy.way.subscribe(),
            Arc::clone(&proxy.swallowed),
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(target) = *target.borrow() else { continue };
                let frames = redis.then(Frames::default);
                tokio::spawn(carry(client, target, way.clone(), Arc::clone(&swallowed), frames));
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads there from now on; open connections go where they went.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }

    /// Makes the way so, for open connections too.
    pub(crate) fn make(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Bytes that never arrived.
    pub(crate) fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }
}

/// Carries both directions until one side ends, or the way does.
async fn carry(
    client: TcpStream,
    target: SocketAddr,
    mut way: watch::Receiver<Way>,
    swallowed: Arc<AtomicU64>,
    frames: Option<Frames>,
) {
    // Nobody is answered behind a black hole, nor while the way is frozen.
    let open = way.wait_for(|way| !matches!(way, Way::BlackHole | Way::Frozen));
    let begins = open.await.map_or(Way::Cut, |way| *way);
    if begins == Way::Reset {
        let _ = client.set_zero_linger();
    }
    if matches!(begins, Way::Cut | Way::Reset) {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Either end closes both; what is dropped unread or after a loss is reset.
    let end = tokio::select! {
        end = pump(from_client, to_server, Side::Client, way.clone(), &swallowed, None) => end,
        end = pump(from_server, to_client, Side::Server, way.clone(), &swallowed, frames) => end,
    };
    if let (End::Reset, Some(halves)) = end {
        let _ = halves.0.as_ref().set_zero_linger();
        let _ = halves.1.as_ref().set_zero_linger();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

type Halves = (OwnedReadHalf, OwnedWriteHalf);

/// Carries one direction; how it ended, and the halves, to reset them.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    side: Side,
    mut way: watch::Receiver<Way>,
    swallowed: &AtomicU64,
    mut frames: Option<Frames>,
) -> (End, Option<Halves>) {
    let (mut bytes, mut lost) = (vec![0; 16 << 10], false);
    let mut silenced = false;
    loop {
        let now = *way.borrow_and_update();
        match now {
            Way::Cut => return (End::Closed, None),
            Way::Reset => return (End::Reset, Some((from, to))),
            Way::Good | Way::Slow(_) if lost => return (End::Reset, Some((from, to))),
            Way::HalfClosed if side == Side::Client && !silenced => {
                let _ = to.shutdown().await;
                silenced = true;
            }
            _ => {}
        }
        let read = tokio::select! {
            changed = way.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return (End::Closed, None),
            },
            read = from.read(&mut bytes), if now != Way::Frozen => read.unwrap_or(0),
        };
        if read == 0 {
            let _ = to.shutdown().await;
            return (End::Closed, None);
        }
        if now == Way::BlackHole || silenced {
            lost |= now == Way::BlackHole;
            swallowed.fetch_add(read as u64, Ordering::Relaxed);
            continue;
        }
        if let Way::Slow(time) = now {
            clock::sleep(time).await;
        }
        let written = match &mut frames {
            None => to.write_all(&bytes[..read]).await,
            Some(frames) => {
                let (passed, eaten) = frames.pass(&bytes[..read], now == Way::Deaf);
                swallowed.fetch_add(eaten, Ordering::Relaxed);
                to.write_all(&passed).await
            }
        };
        if written.is_err() {
            return (End::Closed, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Proxy, Way};

    /// A proxy before a server that says again what it hears.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start().await.unwrap();
        proxy.lead_to(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        proxy
    }

    async fn said(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard).await.unwrap();
        String::from_utf8(heard).unwrap()
    }

    #[tokio::test]
    async fn a_good_way_carries_and_a_slow_one_too() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(said(&mut stream, "one").await, "one");
        proxy.make(Way::Slow(Duration::from_millis(2)));
        assert_eq!(said(&mut stream, "two").await, "two");
        assert_eq!(proxy.swallowed(), 0);
    }

    #[tokio::test]
    async fn what_waits_behind_a_frozen_way_arrives() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(said(&mut stream, "one").await, "one");
        proxy.make(Way::Frozen);
        stream.write_all(b"two").await.unwrap();
        proxy.make(Way::Good);
        let mut heard = [0; 3];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"two");
    }

    #[tokio::test]
    async fn a_connection_that_lost_something_never_goes_on() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(said(&mut stream, "one").await, "one");
        proxy.make(Way::BlackHole);
        stream.write_all(b"two").await.unwrap();
        while proxy.swallowed() < 3 {
            tokio::task::yield_now().await;
        }
        proxy.make(Way::Good);
        let mut heard = [0; 3];
        assert!(!matches!(stream.read(&mut heard).await, Ok(1..)));
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_open_and_what_comes() {
        for way in [Way::Cut, Way::Reset] {
            let proxy = echo().await;
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(said(&mut stream, "one").await, "one");
            proxy.make(way);
            let mut heard = [0; 3];
            assert!(!matches!(stream.read(&mut heard).await, Ok(1..)));
            if let Ok(mut next) = TcpStream::connect(proxy.address()).await {
                assert!(!matches!(next.read(&mut heard).await, Ok(1..)));
            }
        }
    }

    #[tokio::test]
    async fn who_is_half_closed_is_heard_no_more() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(said(&mut stream, "one").await, "one");
        proxy.make(Way::HalfClosed);
        let mut heard = [0; 3];
        assert!(
            !matches!(stream.read(&mut heard).await, Ok(1..)),
            "the echo ended with its input"
        );
    }
}
