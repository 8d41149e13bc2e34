//! A Redis Cluster of a test's own: three masters and a replica of each, ended with the test.

use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::{Redis, RedisOptions};
use livedraft::clock;
use livedraft::job::JobId;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::RedisServer;

/// How often a node may close a connection before it has answered.
const CLOSED_MAX: usize = 20;

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;
/// Looks within which something must have come about that takes the nodes a while.
const LOOKS_MAX: usize = 6_000;
/// No node is ever thought to have failed, however the clocks are put ahead, ms.
const NEVER_MS: &str = "1000000000000";

/// The Cluster: masters first, then the replica of each, in their order.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

/// Waits for what is found in a look.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

impl RedisCluster {
    /// One whose replicas take over after so long, ms.
    pub(crate) async fn start(node_timeout_ms: &str) -> Self {
        let nodes: Vec<RedisServer> = (0..2 * MASTERS).map(|_| node(node_timeout_ms)).collect();
        let cluster = Self { nodes };
        for (place, node) in cluster.nodes.iter().enumerate() {
            let () = say(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", place + 1));
            if place < MASTERS {
                let (from, to) = (place * SLOTS / MASTERS, (place + 1) * SLOTS / MASTERS - 1);
                let () = say(node, &format!("CLUSTER ADDSLOTSRANGE {from} {to}"));
            }
            if place > 0 {
                let (port, bus) = (node.port, bus_port(node));
                let () = say(&cluster.nodes[0], &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
            }
        }
        cluster
            .all_say("all know each other", "CLUSTER INFO", |told| {
                told.contains("cluster_known_nodes:6") && told.contains("cluster_state:ok")
            })
            .await;
        for place in 0..MASTERS {
            let id: String = say(&cluster.nodes[place], "CLUSTER MYID");
            let () = say(
                &cluster.nodes[MASTERS + place],
                &format!("CLUSTER REPLICATE {id}"),
            );
        }
        for replica in &cluster.nodes[MASTERS..] {
            until("replicas are in step", || {
                let told: String = say(replica, "INFO replication");
                told.contains("master_link_status:up").then_some(())
            })
            .await;
        }
        // Of each node that every node knows: its own line and those of the others.
        cluster
            .all_say("all know who follows whom", "CLUSTER NODES", |told| {
                told.lines().filter(|line| line.contains("slave")).count() == MASTERS
                    && !told.contains("handshake")
            })
            .await;
        cluster
    }

    /// The one that cases share which run at the same time; who has it has it alone.
    pub(crate) async fn shared() -> OwnedMutexGuard<Self> {
        static SHARED: Mutex<Weak<Mutex<RedisCluster>>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        let known = shared.upgrade();
        let cluster = match known {
            Some(cluster) => cluster,
            None => {
                let cluster = Self::start(NEVER_MS).await;
                cluster.nodes.iter().for_each(RedisServer::add_user_of_the_page);
                Arc::new(Mutex::new(cluster))
            }
        };
        *shared = Arc::downgrade(&cluster);
        drop(shared);
        let alone = cluster.lock_owned().await;
        alone.clear();
        alone
    }

    async fn all_say(&self, what: &str, command: &str, is_so: impl Fn(&str) -> bool) {
        for node in &self.nodes {
            until(what, || is_so(&say::<String>(node, command)).then_some(())).await;
        }
    }

    /// Two of its nodes are named; they know the others.
    pub(crate) fn url(&self) -> String {
        format!(
            "redis+cluster://{},{}",
            self.nodes[2].address(),
            self.nodes[5].address()
        )
    }

    /// An engine over it.
    pub(crate) async fn engine(&self, options: &RedisOptions, engine: EngineOptions) -> Redis {
        let url = self.url().parse().unwrap();
        Redis::open(&url, options, engine).await.unwrap()
    }

    /// What is written is published to all nodes from the first start on, as it is where one is older than 7.0.
    pub(crate) fn publish_to_all(&self) {
        let (place, _) = self.place_of("livedraft:meta");
        let _: u8 = say(&self.nodes[place], "HSET livedraft:meta reach all");
    }

    /// Lets time pass for all nodes.
    pub(crate) fn pass(&self, time: Duration) {
        self.nodes.iter().for_each(|node| node.pass(time));
    }

    /// Forgets all keys.
    pub(crate) fn clear(&self) {
        for master in &self.nodes[..MASTERS] {
            let () = say(master, "FLUSHALL");
        }
    }

    /// Gives a slot that holds nothing to another master.
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        let id: String = say(&self.nodes[to], "CLUSTER MYID");
        // Who gets it first: then nobody ever has none to ask.
        let order = [to].into_iter().chain((0..MASTERS).filter(|place| *place != to));
        for place in order {
            let () = say(&self.nodes[place], &format!("CLUSTER SETSLOT {slot} NODE {id}"));
        }
    }

    /// A slot begins to go from one master to another, and its keys stay for now.
    pub(crate) fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let [from_id, to_id] = [from, to].map(|place| say::<String>(&self.nodes[place], "CLUSTER MYID"));
        let () = say(
            &self.nodes[to],
            &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"),
        );
        let () = say(
            &self.nodes[from],
            &format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"),
        );
    }

    /// A key goes to another master.
    pub(crate) fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = self.nodes[to].port;
        let told: String = say(
            &self.nodes[from],
            &format!("MIGRATE 127.0.0.1 {port} {key} 0 30000"),
        );
        assert_eq!(told, "OK", "{key}");
    }

    /// A slot begins to go from one master to another, and all keys that it has now do.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        for key in self.keys_at(slot, from) {
            self.move_key(&key, from, to);
        }
    }

    /// The keys of a slot that a master has.
    pub(crate) fn keys_at(&self, slot: u16, place: usize) -> Vec<String> {
        let mut keys: Vec<String> = say(&self.nodes[place], &format!("CLUSTER GETKEYSINSLOT {slot} 10000"));
        keys.sort();
        keys
    }

    /// The place of the master that has a job, and its slot.
    pub(crate) fn place_of_job(&self, job: JobId) -> (usize, u16) {
        let mut found = self.nodes[..MASTERS]
            .iter()
            .flat_map(|node| say::<Vec<String>>(node, &format!("KEYS *:job:{job}")));
        self.place_of(&found.next().expect("a job that is there"))
    }

    /// The place of the master that holds the slot of a key, and the slot.
    pub(crate) fn place_of(&self, key: &str) -> (usize, u16) {
        let slot: u16 = say(&self.nodes[0], &format!("CLUSTER KEYSLOT {key}"));
        (usize::from(slot) * MASTERS / SLOTS, slot)
    }

    /// Everything that a master has been told is known to its replica, too.
    pub(crate) fn settle(&self, master: usize) {
        self.nodes[master].settle(1);
    }

    /// The replica of a master that is no more has taken its place.
    pub(crate) async fn until_replaced(&self, master: usize) {
        let heir = &self.nodes[MASTERS + master];
        until("the replica takes over", || {
            let told: String = say(heir, "INFO replication");
            told.contains("role:master").then_some(())
        })
        .await;
    }
}

fn node(node_timeout_ms: &str) -> RedisServer {
    let bus = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let bus = bus.to_string();
    let settings = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        node_timeout_ms,
    ];
    let mut settings = settings.to_vec();
    settings.extend([
        "--save",
        "",
        "--appendonly",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    RedisServer::start_with(&settings)
}

fn bus_port(node: &RedisServer) -> u16 {
    let told: Vec<String> = say(node, "CONFIG GET cluster-port");
    told[1].parse().unwrap()
}

pub(crate) fn say<T: redis::FromRedisValue>(node: &RedisServer, command: &str) -> T {
    let mut words = command.split(' ');
    let mut said = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        said.arg(word);
    });
    // A node whose part changes closes the connections it has.
    for _ in 0..CLOSED_MAX {
        let answer = node
            .connect()
            .and_then(|mut connection| said.query(&mut connection));
        match answer {
            Err(error) if error.is_io_error() => {}
            told => return told.unwrap(),
        }
    }
    panic!("{command}: the connection was closed {CLOSED_MAX} times");
}
