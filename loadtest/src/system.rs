//! The system under measurement: one process, or a fleet and its Redis.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Outcome;
use crate::node::Node;
use crate::process;
use crate::redis::Redis;
use crate::usage::Usage;

/// Jobs that may be worked on at a time, unless a case says otherwise; above what the others submit.
const SLOTS: u32 = 512;

/// What the system is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// One process, its queue and logs in itself.
    Embedded,
    /// One process over a Redis.
    Redis,
    /// A gateway and a worker over a Redis.
    Fleet,
}

impl Engine {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::Fleet => "fleet",
        }
    }
}

/// How a case wants its system.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The model server; without one the scripted model answers.
    pub(crate) base_url: Option<String>,
    /// The data folder of the embedded engine; without one nothing is kept.
    pub(crate) data: Option<PathBuf>,
    /// Jobs worked on at a time.
    pub(crate) slots: u32,
    /// Gateways and workers of a fleet.
    pub(crate) gateways: usize,
    pub(crate) workers: usize,
    /// Further settings, as `--set` takes them.
    pub(crate) set: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            base_url: None,
            data: None,
            slots: SLOTS,
            gateways: 1,
            workers: 1,
            set: Vec::new(),
        }
    }
}

impl Setup {
    /// The same with one setting more.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.set.push(setting.to_owned());
        self
    }

    /// Of a role in a fleet that is expected to fail now and then: it logs nothing.
    pub(crate) fn quiet_arguments(&self, role: &str, redis: SocketAddr) -> Vec<String> {
        let mut all = self.arguments(role, Some(redis));
        all[2] = "off".to_owned();
        all
    }

    /// The arguments of a process in a role; `redis` is where it finds it.
    pub(crate) fn arguments(&self, role: &str, redis: Option<SocketAddr>) -> Vec<String> {
        let mut all: Vec<String> = [role, "--log", "error"].map(str::to_owned).into();
        let mut add = |name: &str, value: &str| all.extend([name.to_owned(), value.to_owned()]);
        if role != "worker" {
            add("--bind", "127.0.0.1:0");
        }
        if role != "api" {
            add("--slots", &self.slots.to_string());
        }
        if let Some(redis) = redis {
            add("--redis", &format!("redis://{redis}"));
        } else if let Some(folder) = &self.data {
            add("--data", &folder.to_string_lossy());
        }
        if let Some(base_url) = &self.base_url {
            add("--base-url", base_url);
        }
        for setting in &self.set {
            add("--set", setting);
        }
        if redis.is_none() && self.data.is_none() {
            all.push("--ephemeral".to_owned());
        }
        all
    }
}

/// A running system; its processes are killed when dropped.
#[derive(Debug)]
pub(crate) struct System {
    binary: PathBuf,
    setup: Setup,
    /// Those that serve clients come first.
    nodes: Vec<Node>,
    redis: Option<Redis>,
}

impl System {
    /// Starts the processes on free ports of the loopback.
    pub(crate) async fn start(binary: &Path, engine: Engine, setup: &Setup) -> Outcome<Self> {
        let redis = match engine {
            Engine::Embedded => None,
            Engine::Redis | Engine::Fleet => Some(Redis::start(false).await?),
        };
        let mut system = Self {
            binary: binary.to_owned(),
            setup: setup.clone(),
            nodes: Vec::new(),
            redis,
        };
        if engine == Engine::Fleet {
            for number in 1..=setup.gateways {
                system.add("api", number)?;
            }
            for number in 1..=setup.workers {
                system.add("worker", number)?;
            }
        } else {
            system.add("serve", 1)?;
        }
        Ok(system)
    }

    /// Starts one process more, in a role.
    pub(crate) fn add(&mut self, role: &str, number: usize) -> Outcome<()> {
        let arguments = self
            .setup
            .arguments(role, self.redis.as_ref().map(Redis::address));
        let node = Node::start(&format!("{role} {number}"), &self.binary, &arguments)?;
        self.nodes.push(node);
        Ok(())
    }

    /// Kills all processes but Redis, and starts them again.
    pub(crate) fn restart(&mut self) -> Outcome<()> {
        let names: Vec<String> = self.nodes.iter().map(|node| node.name().to_owned()).collect();
        self.nodes.clear();
        for name in names {
            let (role, number) = name.split_once(' ').ok_or("a process without a number")?;
            self.add(role, number.parse()?)?;
        }
        Ok(())
    }

    /// Takes out the process of this name, to do with it what a case is about.
    pub(crate) fn take(&mut self, name: &str) -> Outcome<Node> {
        let at = self.nodes.iter().position(|node| node.name() == name);
        Ok(self.nodes.remove(at.ok_or_else(|| format!("no process {name}"))?))
    }

    /// Where the first that serves clients listens.
    pub(crate) fn address(&self) -> SocketAddr {
        // `start` has one, and `Node::start` demands its address.
        self.addresses()[0]
    }

    /// Where those that serve clients listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().filter_map(Node::address).collect()
    }

    /// Its Redis, if it has one.
    pub(crate) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// What all its processes have spent and hold.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        let mut usage = Usage::default();
        for node in &self.nodes {
            usage.add(node.name(), node.pid())?;
        }
        if let Some(redis) = &self.redis {
            usage.add("redis-server", redis.pid())?;
        }
        Ok(usage)
    }

    /// Bytes that its own processes hold in memory, without Redis.
    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        self.nodes
            .iter()
            .map(|node| process::resident_bytes(node.pid()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Setup;

    #[test]
    fn a_role_gets_what_it_takes() {
        let setup = Setup::default().with("hub.poll_ms=100");
        let line = |role: &str, redis: Option<u16>| {
            let redis = redis.map(|port| ([127, 0, 0, 1], port).into());
            setup.arguments(role, redis).join(" ")
        };
        assert_eq!(
            line("serve", None),
            "serve --log error --bind 127.0.0.1:0 --slots 512 --set hub.poll_ms=100 --ephemeral"
        );
        assert_eq!(
            line("api", Some(7)),
            "api --log error --bind 127.0.0.1:0 --redis redis://127.0.0.1:7 --set hub.poll_ms=100"
        );
        assert_eq!(
            line("worker", Some(7)),
            "worker --log error --slots 512 --redis redis://127.0.0.1:7 --set hub.poll_ms=100"
        );
    }
}
