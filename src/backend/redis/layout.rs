//! The version of the layout of keys: written down with the first start, and taken forward, never back.
//!
//! Nodes of two layouts never work side by side. A node refuses a layout that is newer than its own. One that is older it
//! marks as its own first, so that no older node starts any more, and then takes forward in bounded steps, each of which may
//! be taken again; where older nodes are still there it takes the mark back and refuses. They are known by the channel of
//! hints, which has another name in each layout and which every node hears as long as it lives.

use redis::aio::ConnectionLike;
use redis::{RedisError, Script};

use super::check::RedisStartError;
use super::keys::Keys;
use super::options::RedisOptions;
use super::scripts::step;

/// The layout of this version; what changes in it changes this.
pub(super) const LAYOUT: u32 = 3;
/// The layout that can be taken forward.
const BEFORE: u32 = 2;
/// Jobs of one step.
const JOBS_MAX: usize = 500;
/// Takes the mark back, or off where all has been taken forward; says whether it was there.
const UNMARK: &str = "if redis.call('HEXISTS', KEYS[1], 'from') == 0 then return 0 end \
    if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'layout', ARGV[1]) end \
    return redis.call('HDEL', KEYS[1], 'from')";

/// What stands in the key of the layout.
type Held = (String, String, Option<String>);

/// Whether the keys are of this layout; they are, afterwards, where they can be.
pub(super) async fn agree(
    options: &RedisOptions,
    connection: &mut impl ConnectionLike,
) -> Result<Result<(), RedisStartError>, RedisError> {
    let (layout, shards, from) = held(options, connection).await?;
    let prefix = || options.prefix.clone();
    let told = |layout: &str, shards: &str| format!("layout {layout} with {shards} shards");
    let number = layout.parse::<u32>().ok();
    if number.is_none_or(|number| number > LAYOUT) {
        let prefix = prefix();
        return Ok(Err(RedisStartError::Newer { prefix, layout }));
    }
    if shards != options.shards.to_string() || number.is_none_or(|number| number < BEFORE) {
        return Ok(Err(RedisStartError::Layout {
            prefix: prefix(),
            held: told(&layout, &shards),
            wanted: told(&LAYOUT.to_string(), &options.shards.to_string()),
        }));
    }
    if number == Some(LAYOUT) && from.is_none() {
        return Ok(Ok(()));
    }
    let older = forward(options, connection).await?;
    let in_use = |nodes| RedisStartError::InUse {
        prefix: prefix(),
        nodes,
    };
    Ok(older.map_or(Ok(()), |nodes| Err(in_use(nodes))))
}

async fn held(options: &RedisOptions, connection: &mut impl ConnectionLike) -> Result<Held, RedisError> {
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
    asked.cmd("HMGET").arg(&meta).arg(&["layout", "shards", "from"]);
    let (held,): (Held,) = asked.query_async(connection).await?;
    Ok(held)
}

/// Takes the keys forward. What is told otherwise is how many older nodes are there.
async fn forward(
    options: &RedisOptions,
    connection: &mut impl ConnectionLike,
) -> Result<Option<u64>, RedisError> {
    let meta = Keys::meta(&options.prefix);
    let mut mark = redis::cmd("HSET");
    mark.arg(&meta).arg("layout").arg(LAYOUT).arg("from").arg(BEFORE);
    let () = mark.query_async(connection).await?;
    let unmark = Script::new(UNMARK);
    let older = listening(&Keys::control_before(&options.prefix), connection).await?;
    if older > 0 {
        let _: u8 = unmark.key(&meta).arg(BEFORE).invoke_async(connection).await?;
        return Ok(Some(older));
    }
    tracing::info!(
        prefix = options.prefix,
        "the keys of layout {BEFORE} are taken forward to {LAYOUT}"
    );
    let keys = Keys::new(&options.prefix, options.shards);
    let script = step!("log" "shard" "line" "forward");
    for shard in 0..keys.count() {
        for part in ["line", "ready", "lease", "wait"] {
            let mut next = Some(0);
            while let Some(from) = next {
                let mut step = script.prepare_invoke();
                step.key(keys.shard(shard)).arg(part).arg(from).arg(JOBS_MAX);
                next = step.invoke_async(connection).await?;
            }
        }
    }
    let _: u8 = unmark.key(&meta).arg("").invoke_async(connection).await?;
    // Another node may have found an older one meanwhile.
    let (layout, ..) = held(options, connection).await?;
    Ok((layout != LAYOUT.to_string()).then_some(1))
}

/// How many hear a channel.
async fn listening(channel: &str, connection: &mut impl ConnectionLike) -> Result<u64, RedisError> {
    let mut asked = redis::cmd("PUBSUB");
    asked.arg("NUMSUB").arg(channel);
    let (_, count): (String, u64) = asked.query_async(connection).await?;
    Ok(count)
}
