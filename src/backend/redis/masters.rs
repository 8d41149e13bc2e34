//! Which server takes what is written: the one that is named, the one that Sentinels know, or of a Cluster's masters the one
//! that holds a slot. Whoever knows is asked anew where an answer shows that it may be another one now.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates, Value};

use super::error::told;
use super::keys::SLOTS;
use super::node::Node;
use super::options::RedisOptions;
use super::reply::Parts;
use super::url::{RedisKind, RedisUrl};

/// Who is asked, and how servers are spoken to.
pub(super) struct Finder {
    kind: RedisKind,
    master: String,
    servers: Vec<ConnectionInfo>,
    options: RedisOptions,
}

/// The masters, and which of them holds which slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Masters {
    nodes: Vec<Arc<Node>>,
    /// The place of its node for each slot; empty where one holds them all.
    slots: Vec<Option<u16>>,
}

impl Masters {
    /// The one that holds a slot.
    pub(super) fn at(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = match self.slots.get(usize::from(slot)) {
            Some(place) => usize::from((*place)?),
            None => 0,
        };
        self.nodes.get(place)
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The same, but for a slot that is another's.
    pub(super) fn with(&self, slot: u16, node: Arc<Node>) -> Self {
        let mut next = self.clone();
        let known = next.nodes.iter().position(|known| known.name() == node.name());
        let place = known.unwrap_or_else(|| {
            next.nodes.push(node);
            next.nodes.len() - 1
        });
        if let Some(slot) = next.slots.get_mut(usize::from(slot)) {
            *slot = u16::try_from(place).ok();
        }
        next
    }

    /// How many slots nobody holds.
    pub(super) fn missing(&self) -> usize {
        self.slots.iter().filter(|place| place.is_none()).count()
    }
}

impl Finder {
    /// One that has asked nobody yet.
    pub(super) fn new(
        url: &RedisUrl,
        authority: Option<&[u8]>,
        options: &RedisOptions,
    ) -> Result<Self, RedisError> {
        let servers = url.servers()?.into_iter().map(|info| {
            let info = info.set_tcp_settings(tcp(options));
            trusting(info, authority)
        });
        let servers = servers.collect::<Result<_, _>>()?;
        let mut options = options.clone();
        // What is waited for by each part by itself, and all may be on one server: work over a Cluster, and replicas.
        let waits = usize::from(url.kind() == RedisKind::Cluster) + usize::from(options.replicas > 0);
        options.waiting_max += waits * usize::try_from(options.shards_of(url.kind())).unwrap_or(0);
        Ok(Self {
            kind: url.kind(),
            master: url.master().to_owned(),
            servers,
            options,
        })
    }

    pub(super) const fn kind(&self) -> RedisKind {
        self.kind
    }

    /// The masters now. Servers that are known are kept, with their connections.
    pub(super) async fn find(&self, known: &[Arc<Node>]) -> Result<Masters, RedisError> {
        match self.kind {
            RedisKind::Single => self.single(known),
            RedisKind::Sentinel => self.of_sentinels(known).await,
            RedisKind::Cluster => self.of_cluster(known).await,
        }
    }

    /// A server by its address: spoken to as those that are named are.
    pub(super) fn node(&self, host: &str, port: u16, known: &[Arc<Node>]) -> Result<Arc<Node>, RedisError> {
        let name = format!("{host}:{port}");
        if let Some(node) = known.iter().find(|node| node.name() == name) {
            return Ok(Arc::clone(node));
        }
        let like = self.servers.first().ok_or_else(|| told("no server is named"))?;
        let addr = match like.addr() {
            ConnectionAddr::TcpTls {
                insecure, tls_params, ..
            } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Node::new(like.clone().set_addr(addr), &self.options).map(Arc::new)
    }

    fn single(&self, known: &[Arc<Node>]) -> Result<Masters, RedisError> {
        let node = match (known.first(), self.servers.first()) {
            (Some(node), _) => Arc::clone(node),
            (None, Some(server)) => Arc::new(Node::new(server.clone(), &self.options)?),
            (None, None) => return Err(told("no server is named")),
        };
        Ok(Masters {
            nodes: vec![node],
            slots: Vec::new(),
        })
    }

    /// What the first of the Sentinels says that knows the master.
    async fn of_sentinels(&self, known: &[Arc<Node>]) -> Result<Masters, RedisError> {
        let asks = self.servers.iter().map(|server| async {
            let mut command = redis::cmd("SENTINEL");
            command.arg("get-master-addr-by-name").arg(&self.master);
            let asked = ask_anyhow(server, &self.options, &command).await?;
            let address: Option<(String, u16)> = redis::from_redis_value(asked)?;
            address.ok_or_else(|| told(&format!("the Sentinels know no master `{}`", self.master)))
        });
        let (host, port) = first(asks).await?;
        Ok(Masters {
            nodes: vec![self.node(&host, port, known)?],
            slots: Vec::new(),
        })
    }

    /// What the first of the nodes says that knows who holds each slot: those that are known to be masters are asked too, since
    /// the named ones may have gone by now.
    async fn of_cluster(&self, known: &[Arc<Node>]) -> Result<Masters, RedisError> {
        let mut all = Vec::new();
        for server in &self.servers {
            all.push(Arc::new(Node::new(server.clone(), &self.options)?));
        }
        all.extend(known.iter().cloned());
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let asks = all.iter().map(|node| async {
            let mut connection = node.connect().await?;
            let told: Value = node.within(slots.query_async(&mut connection)).await?;
            self.divided(node, told, known)
        });
        best(asks).await
    }

    /// The answer to `CLUSTER SLOTS`: first and last slot of a range, its master, its replicas.
    fn divided(&self, asked: &Node, answer: Value, known: &[Arc<Node>]) -> Result<Masters, RedisError> {
        let unreadable = |_| told("an answer to CLUSTER SLOTS that cannot be read");
        let ranges: Vec<Value> = redis::from_redis_value(answer)?;
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let mut slots = vec![None; usize::from(SLOTS)];
        let mut places = BTreeMap::new();
        for range in ranges {
            let mut parts = Parts::of(range).map_err(unreadable)?;
            let from: u16 = parts.next().map_err(unreadable)?;
            let to: u16 = parts.next().map_err(unreadable)?;
            let mut master = Parts::of(parts.next().map_err(unreadable)?).map_err(unreadable)?;
            let host: Option<String> = master.next().map_err(unreadable)?;
            let port: u16 = master.next().map_err(unreadable)?;
            // A node that does not know its own name is where it was asked.
            let own = asked.name().rsplit_once(':').map_or("", |(host, _)| host);
            let host = host.filter(|host| !host.is_empty() && host != "?");
            let node = self.node(host.as_deref().unwrap_or(own), port, known)?;
            let place = *places.entry(node.name().to_owned()).or_insert_with(|| {
                nodes.push(node);
                nodes.len() - 1
            });
            for slot in from..=to.min(SLOTS - 1) {
                slots[usize::from(slot)] = u16::try_from(place).ok();
            }
        }
        if nodes.is_empty() {
            return Err(told("a node that is in no Cluster, or holds no slot yet"));
        }
        Ok(Masters { nodes, slots })
    }
}

/// Asks a server that may want no password where others do, as Sentinels often do.
async fn ask_anyhow(
    server: &ConnectionInfo,
    options: &RedisOptions,
    command: &redis::Cmd,
) -> Result<Value, RedisError> {
    let ask = async |server: ConnectionInfo| {
        let node = Node::new(server, options)?;
        let mut connection = node.connect().await?;
        node.within(command.query_async(&mut connection)).await
    };
    let told = ask(without_db(server)).await;
    let is_known = server.redis_settings().password().is_some();
    match told {
        Err(error) if is_known && !error.is_io_error() && !error.is_timeout() => {
            let nobody = redis::RedisConnectionInfo::default();
            ask(server.clone().set_redis_settings(nobody))
                .await
                .map_err(|_| error)
        }
        told => told,
    }
}

/// A server without its number of a database: Sentinels have none.
fn without_db(server: &ConnectionInfo) -> ConnectionInfo {
    let settings = server.redis_settings().clone().set_db(0);
    server.clone().set_redis_settings(settings)
}

/// The first answer; where there is none, the last error.
async fn first<T, F: Future<Output = Result<T, RedisError>>>(
    asks: impl Iterator<Item = F>,
) -> Result<T, RedisError> {
    let mut asks: FuturesUnordered<F> = asks.collect();
    let mut last = told("no server is named");
    while let Some(answer) = asks.next().await {
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The first answer in which no slot is missing; where there is none, that in which the fewest are: one that has left the
/// Cluster, or is cut off from it, knows less than the others.
async fn best(
    asks: impl Iterator<Item = impl Future<Output = Result<Masters, RedisError>>>,
) -> Result<Masters, RedisError> {
    let mut asks: FuturesUnordered<_> = asks.collect();
    let mut best: Result<Masters, RedisError> = Err(told("no server is named"));
    while let Some(answer) = asks.next().await {
        match (answer, &best) {
            (Ok(one), _) if one.missing() == 0 => return Ok(one),
            (Ok(one), Ok(before)) if before.missing() <= one.missing() => {}
            (Err(_), Ok(_)) => {}
            (answer, _) => best = answer,
        }
    }
    best
}

/// A server that is trusted where the authority vouches for it, or the roots of the web.
fn trusting(info: ConnectionInfo, authority: Option<&[u8]>) -> Result<ConnectionInfo, RedisError> {
    let Some(authority) = authority else {
        return Ok(info);
    };
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(authority.to_vec()),
    };
    let client = Client::build_with_tls(info, certificates)?;
    Ok(client.get_connection_info().clone())
}

/// What is written goes out at once, and a peer that takes nothing of it any more is noticed.
fn tcp(options: &RedisOptions) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(options.response.saturating_mul(2));
    #[cfg(not(target_os = "linux"))]
    let _ = options;
    settings
}
