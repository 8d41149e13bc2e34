//! What is looked at before anything is started: the server, its settings, and whether its keys are of this layout.

use redis::{ErrorKind, RedisError};

use super::keys::{Keys, slot_of};
use super::link::Link;
use super::live::Reach;
use super::node::Node;
use super::options::RedisOptions;
use super::url::{RedisKind, RedisUrl};

/// The version of the layout of keys; what changes in it changes this.
const LAYOUT: &str = "2";
/// The oldest Redis that has all that the steps use.
const OLDEST: (u32, u32) = (6, 2);
/// The first Redis whose servers publish what is their own, and not to all of a Cluster.
const SHARDED: (u32, u32) = (7, 0);

/// Why the Redis engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    /// Nobody answers there.
    #[error("no Redis answers at {url}: {what}. Is it running, and may this machine reach it?")]
    Unreachable {
        /// Where, without password.
        url: RedisUrl,
        /// What the system said.
        what: String,
    },
    /// It wants a password, or another one.
    #[error(
        "the Redis at {0} does not take this user and password: put them into the URL, as `redis://USER:PASSWORD@HOST`"
    )]
    Password(RedisUrl),
    /// One side speaks TLS, the other does not.
    #[error(
        "the Redis at {url} cannot be spoken to by TLS: {what}. Without TLS its URL begins with `redis://`"
    )]
    Tls {
        /// Where.
        url: RedisUrl,
        /// What the handshake said.
        what: String,
    },
    /// The certificates that vouch for it cannot be had.
    #[error("`redis.ca_file` is {path:?}: {what}")]
    Authority {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The user may not do what the engine does.
    #[error(
        "the user of the Redis at {url} may not do what is needed: {what}. docs/redis.md has the ACL line"
    )]
    Forbidden {
        /// Where.
        url: RedisUrl,
        /// What it was refused.
        what: String,
    },
    /// It is too old.
    #[error("the Redis at {0} is version {1}; 6.2 or later is needed")]
    TooOld(RedisUrl, String),
    /// It is a node of a Cluster.
    #[error(
        "the Redis at {0} is a node of a Cluster: its URL begins with `redis+cluster://` or `rediss+cluster://`"
    )]
    Cluster(RedisUrl),
    /// It is no Cluster.
    #[error("the Redis at {0} is no Cluster: the URL of a single one begins with `redis://` or `rediss://`")]
    NoCluster(RedisUrl),
    /// Not every slot has a server.
    #[error(
        "of the Cluster at {url} {missing} slots are held by nobody: `redis-cli --cluster check` says which"
    )]
    Incomplete {
        /// Where.
        url: RedisUrl,
        /// How many.
        missing: usize,
    },
    /// It is no Sentinel, or is one where none is meant.
    #[error(
        "the servers at {0} are {1}: `redis+sentinel://HOST:PORT,HOST:PORT/MASTER` names Sentinels, `redis://HOST:PORT` the Redis itself"
    )]
    Sentinel(RedisUrl, &'static str),
    /// It takes no writes.
    #[error(
        "the Redis at {0} is a replica, which takes no writes: give the URL of its master, or of Sentinels"
    )]
    Replica(RedisUrl),
    /// It may throw running jobs away.
    #[error(
        "the Redis at {0} has `maxmemory-policy {1}`, which throws jobs away when memory is full: set it to `noeviction`"
    )]
    Evicts(RedisUrl, String),
    /// It holds another layout.
    #[error(
        "the keys `{prefix}:*` are of {held}, and this is {wanted}: use another `redis.prefix`, or set back `redis.shards`"
    )]
    Layout {
        /// What the keys begin with.
        prefix: String,
        /// What is there.
        held: String,
        /// What this binary and its settings would make.
        wanted: String,
    },
    /// Something else.
    #[error("the Redis at {url} cannot be used: {what}")]
    Other {
        /// Where.
        url: RedisUrl,
        /// What it said.
        what: String,
    },
}

/// What the server says of itself, as `name:value` lines.
struct Info(String);

impl Info {
    fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.trim())
    }
}

/// The certificates that vouch for the server, where they are not the roots of the web.
pub(super) fn authority(url: &RedisUrl, options: &RedisOptions) -> Result<Option<Vec<u8>>, RedisStartError> {
    let path = options.ca_file.clone();
    if path.is_empty() {
        return Ok(None);
    }
    let unfit = |what: String| RedisStartError::Authority {
        path: path.clone(),
        what,
    };
    if !url.is_tls() {
        return Err(unfit(format!(
            "{url} does not speak TLS; it would begin with `rediss://`"
        )));
    }
    let pem = std::fs::read(&path).map_err(|error| unfit(error.to_string()))?;
    match String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(Some(pem)),
        false => Err(unfit("it holds no certificate in PEM".to_owned())),
    }
}

/// Looks at the servers, and writes down the layout where there is none yet. Returns how messages are published.
pub(super) async fn check(
    url: &RedisUrl,
    link: &Link,
    options: &RedisOptions,
) -> Result<Reach, RedisStartError> {
    let masters = link.masters().await.map_err(|error| cause(url, &error))?;
    if masters.missing() > 0 {
        return Err(RedisStartError::Incomplete {
            url: url.clone(),
            missing: masters.missing(),
        });
    }
    let mut oldest = None;
    for node in masters.all() {
        let version = look(url, node, options.replicas)
            .await
            .map_err(|error| cause(url, &error))??;
        oldest = oldest.into_iter().chain([version]).min();
    }
    let reach = match url.kind() {
        RedisKind::Cluster if oldest >= Some(SHARDED) => Reach::Shard,
        RedisKind::Cluster | RedisKind::Single | RedisKind::Sentinel => Reach::All,
    };
    let shards = options.shards_of(url.kind());
    let reach = layout(url, link, options, reach)
        .await
        .map_err(|error| cause(url, &error))??;
    if url.kind() != RedisKind::Single {
        let masters: Vec<&str> = masters.all().iter().map(|node| node.name()).collect();
        tracing::info!(%url, ?masters, ?oldest, shards, ?reach, "what takes what is written");
    }
    Ok(reach)
}

/// Looks at one server; its version.
async fn look(
    url: &RedisUrl,
    node: &Node,
    replicas: u32,
) -> Result<Result<(u32, u32), RedisStartError>, RedisError> {
    let mut connection = node.connect().await?;
    let info = Info(
        node.within(redis::cmd("INFO").query_async(&mut connection))
            .await?,
    );
    let version = match fit(url, &info) {
        Ok(version) => version,
        Err(error) => return Ok(Err(error)),
    };
    // Some that host a Redis refuse it; then nothing can be said of it.
    let mut asked = redis::cmd("CONFIG");
    asked.arg("GET").arg("save");
    let saves: Result<Vec<String>, _> = node.within(asked.query_async(&mut connection)).await;
    let snapshots = saves.map_or(true, |told| told.get(1).is_none_or(|times| !times.is_empty()));
    if info.get("aof_enabled") == Some("0") {
        let what = if snapshots {
            "jobs of the last minutes are lost with it"
        } else {
            "all jobs are lost with it"
        };
        let server = node.name();
        tracing::warn!(%url, server, "Redis keeps no append-only file: when it ends, {what}; `appendonly yes` keeps them");
    }
    let has = info
        .get("connected_slaves")
        .and_then(|count| count.parse::<u32>().ok());
    if has.is_some_and(|has| has < replicas) {
        let server = node.name();
        tracing::warn!(%url, server, has, replicas, "fewer replicas than `durability.replicas` asks for: what is promised is told late, with `durable: false`");
    }
    Ok(Ok(version))
}

/// Whether the engine can work there; the version.
fn fit(url: &RedisUrl, info: &Info) -> Result<(u32, u32), RedisStartError> {
    let version = info.get("redis_version").unwrap_or("unknown");
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        return Err(RedisStartError::TooOld(url.clone(), version.to_owned()));
    }
    match (info.get("redis_mode"), url.kind()) {
        (Some("cluster"), RedisKind::Single | RedisKind::Sentinel) => {
            return Err(RedisStartError::Cluster(url.clone()));
        }
        (Some("standalone"), RedisKind::Cluster) => return Err(RedisStartError::NoCluster(url.clone())),
        (Some("sentinel"), _) => return Err(RedisStartError::Sentinel(url.clone(), "Sentinels")),
        _ => {}
    }
    if info.get("role") == Some("slave") {
        return Err(RedisStartError::Replica(url.clone()));
    }
    match info.get("maxmemory_policy") {
        None | Some("noeviction") => Ok((major, minor)),
        // Only what has ended bears a time to live.
        Some(policy) if policy.starts_with("volatile-") => {
            tracing::warn!(%url, policy, "Redis may throw ended jobs away early; `maxmemory-policy noeviction` keeps them");
            Ok((major, minor))
        }
        Some(policy) => Err(RedisStartError::Evicts(url.clone(), policy.to_owned())),
    }
}

/// The layout is fixed with the first start, and over a Cluster how messages are published, too: nodes must agree.
async fn layout(
    url: &RedisUrl,
    link: &Link,
    options: &RedisOptions,
    reach: Reach,
) -> Result<Result<Reach, RedisStartError>, RedisError> {
    let meta = Keys::meta(&options.prefix);
    let shards = options.shards_of(url.kind());
    let mut asked = redis::pipe();
    asked.atomic();
    let mut fix = |field: &str, value: &str| {
        asked.cmd("HSETNX").arg(&meta).arg(field).arg(value).ignore();
    };
    fix("layout", LAYOUT);
    fix("shards", &shards.to_string());
    if url.kind() == RedisKind::Cluster {
        fix("reach", word(reach));
    }
    asked.cmd("HMGET").arg(&meta).arg(&["layout", "shards", "reach"]);
    let ((layout, held, fixed),): ((String, String, Option<String>),) =
        link.ask(slot_of(&meta), &asked).await?;
    let told = |layout: &str, shards: &str| format!("layout {layout} with {shards} shards");
    if layout == LAYOUT && held == shards.to_string() {
        let is_fixed = |reach: &Reach| fixed.as_deref() == Some(word(*reach));
        let fixed = [Reach::All, Reach::Shard].into_iter().find(is_fixed);
        return Ok(Ok(fixed.unwrap_or(reach)));
    }
    Ok(Err(RedisStartError::Layout {
        prefix: options.prefix.clone(),
        held: told(&layout, &held),
        wanted: told(LAYOUT, &shards.to_string()),
    }))
}

const fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::All => "all",
        Reach::Shard => "shard",
    }
}

/// An error in words that say the way out.
fn cause(url: &RedisUrl, error: &RedisError) -> RedisStartError {
    let (url, what) = (url.clone(), error.to_string());
    let lower = what.to_lowercase();
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
            RedisStartError::Password(url)
        }
        _ if lower.contains("cluster support disabled") => RedisStartError::NoCluster(url),
        _ if lower.contains("unknown command") && lower.contains("sentinel") => {
            RedisStartError::Sentinel(url, "no Sentinels")
        }
        (_, Some("NOPERM")) => RedisStartError::Forbidden { url, what },
        _ if url.is_tls()
            && (lower.contains("tls")
                || lower.contains("certificate")
                || lower.contains("corrupt message")) =>
        {
            RedisStartError::Tls { url, what }
        }
        // A server without TLS may wait for the end of what it takes for a line.
        _ if url.is_tls() && error.is_timeout() => RedisStartError::Tls {
            url,
            what: "nobody has answered the handshake".to_owned(),
        },
        _ if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
            RedisStartError::Unreachable { url, what }
        }
        _ => RedisStartError::Other { url, what },
    }
}
