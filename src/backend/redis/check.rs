//! What is looked at before anything is started: the server, its settings, and whether its keys are of this layout.

use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};

use super::keys::Keys;
use super::options::{RedisOptions, RedisUrl};

/// The version of the layout of keys; what changes in it changes this.
const LAYOUT: &str = "2";
/// The oldest Redis that has all that the steps use.
const OLDEST: (u32, u32) = (6, 2);

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
        "the Redis at {0} is a node of a Cluster, which this version does not speak to: use a single Redis"
    )]
    Cluster(RedisUrl),
    /// It takes no writes.
    #[error("the Redis at {0} is a replica, which takes no writes: give the URL of its master")]
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

/// Looks at the server, and writes down the layout where there is none yet.
pub(super) async fn check(
    url: &RedisUrl,
    client: &Client,
    options: &RedisOptions,
) -> Result<(), RedisStartError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect))
        .set_response_timeout(Some(options.response));
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(|error| cause(url, &error))?;
    let told = redis::cmd("INFO").query_async(&mut connection).await;
    let info = Info(told.map_err(|error| cause(url, &error))?);
    fit(url, &info)?;
    // Some that host a Redis refuse it; then nothing can be said of it.
    let saves: Result<Vec<String>, _> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("save")
        .query_async(&mut connection)
        .await;
    let snapshots = saves.map_or(true, |told| told.get(1).is_none_or(|times| !times.is_empty()));
    if info.get("aof_enabled") == Some("0") {
        let what = if snapshots {
            "jobs of the last minutes are lost with it"
        } else {
            "all jobs are lost with it"
        };
        tracing::warn!(%url, "Redis keeps no append-only file: when it ends, {what}; `appendonly yes` keeps them");
    }
    layout(options, &mut connection)
        .await
        .map_err(|error| cause(url, &error))?
}

/// Whether the engine can work there.
fn fit(url: &RedisUrl, info: &Info) -> Result<(), RedisStartError> {
    let version = info.get("redis_version").unwrap_or("unknown");
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        return Err(RedisStartError::TooOld(url.clone(), version.to_owned()));
    }
    if info.get("redis_mode") == Some("cluster") {
        return Err(RedisStartError::Cluster(url.clone()));
    }
    if info.get("role") == Some("slave") {
        return Err(RedisStartError::Replica(url.clone()));
    }
    match info.get("maxmemory_policy") {
        None | Some("noeviction") => Ok(()),
        // Only what has ended bears a time to live.
        Some(policy) if policy.starts_with("volatile-") => {
            tracing::warn!(%url, policy, "Redis may throw ended jobs away early; `maxmemory-policy noeviction` keeps them");
            Ok(())
        }
        Some(policy) => Err(RedisStartError::Evicts(url.clone(), policy.to_owned())),
    }
}

/// The layout is fixed with the first start.
async fn layout(
    options: &RedisOptions,
    connection: &mut redis::aio::MultiplexedConnection,
) -> Result<Result<(), RedisStartError>, RedisError> {
    let meta = Keys::meta(&options.prefix);
    let mut asked = redis::pipe();
    asked.atomic();
    asked.cmd("HSETNX").arg(&meta).arg("layout").arg(LAYOUT).ignore();
    asked
        .cmd("HSETNX")
        .arg(&meta)
        .arg("shards")
        .arg(options.shards)
        .ignore();
    asked.cmd("HMGET").arg(&meta).arg(&["layout", "shards"]);
    let ((layout, shards),): ((String, String),) = asked.query_async(connection).await?;
    let told = |layout: &str, shards: &str| format!("layout {layout} with {shards} shards");
    if layout == LAYOUT && shards == options.shards.to_string() {
        return Ok(Ok(()));
    }
    Ok(Err(RedisStartError::Layout {
        prefix: options.prefix.clone(),
        held: told(&layout, &shards),
        wanted: told(LAYOUT, &options.shards.to_string()),
    }))
}

/// An error in words that say the way out.
fn cause(url: &RedisUrl, error: &RedisError) -> RedisStartError {
    let (url, what) = (url.clone(), error.to_string());
    let lower = what.to_lowercase();
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
            RedisStartError::Password(url)
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
