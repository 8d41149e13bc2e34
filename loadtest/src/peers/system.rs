//! The systems that are measured side by side: each with one gateway, one worker and one Redis that keeps nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::node::Node;
use crate::redis::Redis;
use crate::system::{Engine, Setup, System};
use crate::usage::Usage;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Livedraft,
    Instructor,
    AiSdk,
    AiSdkText,
    Relay,
}

/// How a socket of it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    Livedraft,
    WebSocket,
    SocketIo,
}

/// All of them, ours first: what others are is told in multiples of it.
pub(crate) const PEERS: [Peer; 5] = [
    Peer::Livedraft,
    Peer::Instructor,
    Peer::AiSdk,
    Peer::AiSdkText,
    Peer::Relay,
];

impl Peer {
    /// Its name, as in `loadtest/peers/README.md`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Livedraft => "livedraft",
            Self::Instructor => "instructor",
            Self::AiSdk => "ai-sdk",
            Self::AiSdkText => "ai-sdk-text",
            Self::Relay => "relay",
        }
    }

    pub(crate) fn talk(self) -> Talk {
        match self {
            Self::Livedraft => Talk::Livedraft,
            Self::Relay => Talk::SocketIo,
            Self::Instructor | Self::AiSdk | Self::AiSdkText => Talk::WebSocket,
        }
    }

    /// The programs, by role and arguments.
    fn programs(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Livedraft => &[],
            Self::Instructor => &[("api", &["python/api.py"]), ("worker", &["python/worker.py"])],
            Self::AiSdk => &[
                ("api", &["node/api.mjs"]),
                ("worker", &["node/worker.mjs", "snapshots"]),
            ],
            Self::AiSdkText => &[
                ("api", &["node/api.mjs"]),
                ("worker", &["node/worker.mjs", "deltas"]),
            ],
            Self::Relay => &[("relay", &["node/relay.mjs"])],
        }
    }
}

/// What the programs of others need, installed.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// The folder of them.
    pub(crate) peers: PathBuf,
    pub(crate) python: PathBuf,
    /// The product.
    pub(crate) server: PathBuf,
}

impl Installed {
    /// Installs what is missing.
    pub(crate) fn install(server: &Path) -> Outcome<Self> {
        let peers = PathBuf::from("loadtest/peers");
        let output = Command::new(peers.join("install")).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}/install: {said}", peers.display()).into());
        }
        let folder = String::from_utf8(output.stdout)?;
        Ok(Self {
            python: PathBuf::from(folder.trim()).join("bin/python"),
            peers,
            server: server.to_owned(),
        })
    }

    /// One of the programs, with what it reads.
    pub(crate) fn program(&self, arguments: &[&str], redis: &Redis, model_url: &str) -> Command {
        let is_python = arguments[0].starts_with("python/");
        let mut command = Command::new(if is_python {
            self.python.as_path()
        } else {
            Path::new("node")
        });
        command
            .arg(self.peers.join(arguments[0]))
            .args(&arguments[1..])
            .env("REDIS_URL", format!("redis://{}", redis.address()))
            .env("MODEL_URL", model_url)
            .env("NODE_ENV", "production")
            .env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// A running one; its processes are killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) talk: Talk,
    system: Kind,
}

#[derive(Debug)]
enum Kind {
    Ours(System),
    Others { nodes: Vec<Node>, redis: Redis },
}

impl Running {
    /// Starts all processes of one; the model server is there already.
    pub(crate) async fn start(peer: Peer, installed: &Installed, model_url: &str) -> Outcome<Self> {
        let talk = peer.talk();
        if peer == Peer::Livedraft {
            let setup = Setup {
                base_url: Some(model_url.to_owned()),
                ..Setup::default()
            };
            let system = System::start(&installed.server, Engine::Fleet, &setup).await?;
            return Ok(Self {
                talk,
                system: Kind::Ours(system),
            });
        }
        let redis = Redis::start(false).await?;
        let mut nodes = Vec::new();
        for (role, arguments) in peer.programs() {
            let mut command = installed.program(arguments, &redis, model_url);
            nodes.push(Node::start_other(role, &mut command)?);
        }
        Ok(Self {
            talk,
            system: Kind::Others { nodes, redis },
        })
    }

    /// Where its gateway listens.
    pub(crate) fn address(&self) -> Outcome<SocketAddr> {
        match &self.system {
            Kind::Ours(system) => Ok(system.address()),
            Kind::Others { nodes, .. } => {
                let address = nodes.iter().find_map(Node::address);
                address.ok_or_else(|| "nobody listens".into())
            }
        }
    }

    /// What all its processes have spent and hold.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        match &self.system {
            Kind::Ours(system) => system.usage(),
            Kind::Others { nodes, redis } => {
                let mut usage = Usage::default();
                for node in nodes {
                    usage.add(node.name(), node.pid())?;
                }
                usage.add("redis-server", redis.pid())?;
                Ok(usage)
            }
        }
    }
}
