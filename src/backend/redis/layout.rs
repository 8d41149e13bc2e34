//! The version of the layout of keys: written down with the first start, and taken forward, never back. With it what nodes
//! must agree on: into how many parts the jobs are divided, and over a Cluster how messages are published.
//!
//! Nodes of two layouts never work side by side. A node refuses a layout that is newer than its own. One that is older it
//! marks as its own first, so that no older node starts any more, and then takes forward in bounded steps, each of which may
//! be taken again; where older nodes are still there it takes the mark back and refuses. They are known by the channel of
//! hints, which has another name in each layout and which every node hears as long as it lives.

use redis::{RedisError, Script, Value};

use super::check::{RedisStartError, cause};
use super::keys::{Keys, slot_of};
use super::link::Link;
use super::live::Reach;
use super::options::RedisOptions;
use super::scripts::Scripts;
use super::step::Step;
use super::url::{RedisKind, RedisUrl};

/// The layout of this version; what changes in it changes this.
pub(super) const LAYOUT: u32 = 3;
/// The layout that can be taken forward.
const BEFORE: u32 = 2;
/// Jobs of one step.
const JOBS_MAX: usize = 500;
/// Takes the mark off where all has been taken forward, or back to a layout.
const UNMARK: &str = "if redis.call('HEXISTS', KEYS[1], 'from') == 0 then return 0 end \
    if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'layout', ARGV[1]) end \
    return redis.call('HDEL', KEYS[1], 'from')";

/// What nodes must agree on, as it is written down.
struct Held {
    layout: String,
    shards: String,
    /// Over a Cluster.
    reach: Option<String>,
    /// The layout from which all is being taken forward.
    from: Option<String>,
}

/// Whether the keys are of this layout; they are, afterwards, where they can be. Returns how messages are published.
pub(super) async fn agree(
    url: &RedisUrl,
    link: &Link,
    options: &RedisOptions,
    reach: Reach,
) -> Result<Reach, RedisStartError> {
    let broken = |error: RedisError| cause(url, &error);
    let shards = options.shards_of(url.kind());
    let held = held(url, link, options, reach).await.map_err(broken)?;
    let prefix = options.prefix.clone();
    let told = |layout: &str, shards: &str| format!("layout {layout} with {shards} shards");
    let number = held.layout.parse::<u32>().ok().filter(|number| *number <= LAYOUT);
    let Some(number) = number else {
        let layout = held.layout;
        return Err(RedisStartError::Newer { prefix, layout });
    };
    if held.shards != shards.to_string() || number < BEFORE {
        return Err(RedisStartError::Layout {
            prefix,
            held: told(&held.layout, &held.shards),
            wanted: told(&LAYOUT.to_string(), &shards.to_string()),
        });
    }
    let is_fixed = |reach: &Reach| held.reach.as_deref() == Some(word(*reach));
    let fixed = [Reach::All, Reach::Shard].into_iter().find(is_fixed);
    let reach = fixed.unwrap_or(reach);
    if number < LAYOUT || held.from.is_some() {
        forward(url, link, options, reach).await?;
    }
    Ok(reach)
}

async fn held(url: &RedisUrl, link: &Link, options: &RedisOptions, reach: Reach) -> Result<Held, RedisError> {
    let meta = Keys::meta(&options.prefix);
    // Of each field the first word holds, whoever says the others.
    let mut asked = redis::pipe();
    let mut fix = |field: &str, value: &str| {
        asked.cmd("HSETNX").arg(&meta).arg(field).arg(value);
    };
    fix("layout", &LAYOUT.to_string());
    fix("shards", &options.shards_of(url.kind()).to_string());
    if url.kind() == RedisKind::Cluster {
        fix("reach", word(reach));
    }
    asked
        .cmd("HMGET")
        .arg(&meta)
        .arg(&["layout", "shards", "reach", "from"]);
    let mut told: Vec<Value> = link.ask(slot_of(&meta), &asked).await?;
    let (layout, shards, reach, from) = redis::from_redis_value(told.pop().unwrap_or(Value::Nil))?;
    Ok(Held {
        layout,
        shards,
        reach,
        from,
    })
}

/// Takes the keys forward.
async fn forward(
    url: &RedisUrl,
    link: &Link,
    options: &RedisOptions,
    reach: Reach,
) -> Result<(), RedisStartError> {
    let broken = |error: RedisError| cause(url, &error);
    let meta = Keys::meta(&options.prefix);
    let mut mark = redis::pipe();
    mark.cmd("HSET")
        .arg(&meta)
        .arg(&["layout", &LAYOUT.to_string(), "from", &BEFORE.to_string()]);
    let (_,): (u64,) = link.ask(slot_of(&meta), &mark).await.map_err(broken)?;
    let unmark = Script::new(UNMARK);
    let in_use = |nodes| RedisStartError::InUse {
        prefix: options.prefix.clone(),
        nodes,
    };
    let older = older(link, &Keys::control_before(&options.prefix))
        .await
        .map_err(broken)?;
    if older > 0 {
        let mut back = Step::new(&unmark, &[&meta]);
        back.arg(BEFORE);
        take::<u8>(url, link, &back).await?;
        return Err(in_use(older));
    }
    tracing::info!(
        prefix = options.prefix,
        "the keys of layout {BEFORE} are taken forward to {LAYOUT}"
    );
    let keys = Keys::new(&options.prefix, options.shards_of(url.kind()));
    let scripts = Scripts::new(reach, options.replicas > 0);
    for shard in 0..keys.count() {
        for part in ["line", "ready", "lease", "wait"] {
            let mut next = Some(0_u64);
            while let Some(from) = next {
                let mut step = Step::new(&scripts.forward, keys.shard(shard));
                step.arg(part).arg(from).arg(JOBS_MAX);
                next = take(url, link, &step).await?;
            }
        }
    }
    let mut done = Step::new(&unmark, &[&meta]);
    done.arg("");
    take::<u8>(url, link, &done).await?;
    // Another node may have found an older one meanwhile.
    let held = held(url, link, options, reach).await.map_err(broken)?;
    match held.layout == LAYOUT.to_string() {
        true => Ok(()),
        false => Err(in_use(1)),
    }
}

async fn take<T: redis::FromRedisValue>(
    url: &RedisUrl,
    link: &Link,
    step: &Step<'_>,
) -> Result<T, RedisStartError> {
    link.step(step).await.map_err(|error| RedisStartError::Other {
        url: url.clone(),
        what: error.to_string(),
    })
}

/// How many hear a channel, on the server where most do: a node hears it on each that it has a wire to.
async fn older(link: &Link, channel: &str) -> Result<u64, RedisError> {
    let mut most = 0;
    for node in link.masters().await?.all() {
        let mut connection = node.connect().await?;
        let mut asked = redis::cmd("PUBSUB");
        asked.arg("NUMSUB").arg(channel);
        let (_, count): (String, u64) = node.within(asked.query_async(&mut connection)).await?;
        most = most.max(count);
    }
    Ok(most)
}

const fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::All => "all",
        Reach::Shard => "shard",
    }
}
