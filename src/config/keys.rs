//! The table of all keys: name, unit, bounds, places, meaning. A new option is one entry here.

use super::field::Bounds;
use super::key::Key;

/// The sections, in the order of their keys.
pub const SECTIONS: &[(&str, &str)] = &[
    ("server", "Sockets and HTTP."),
    (
        "keys.*",
        "An API key, by its id; `livedraft keys new` makes one. Without any, everyone may do everything.",
    ),
    ("limits", "What clients must keep to, as `welcome` tells it."),
    ("hub", "The fan-out to viewers."),
    (
        "lease",
        "The right to work on a job; the same for the engine and its workers.",
    ),
    ("store", "Where jobs are kept."),
    ("archive", "What is kept of jobs that have ended, for lists."),
    ("engine", "The queue and the logs."),
    (
        "tenants",
        "What a tenant may have of the engine. In a fleet the gateways say it for all, at their start and when they read their keys again.",
    ),
    (
        "tenants.*",
        "What one tenant may have, by its name, in the place of that.",
    ),
    (
        "redis",
        "The Redis that a fleet shares; without `redis.url` the engine is in this process.",
    ),
    (
        "durability",
        "In how many places what is promised is held before it is told, in a fleet.",
    ),
    ("worker", "The work on jobs."),
    (
        "compiler",
        "The compiling of schemas, for admission and the work.",
    ),
    ("admission", "What a request may ask for."),
    (
        "schema",
        "What a schema may cost, and how much is told about a value that breaks it.",
    ),
    (
        "draft",
        "What an answer may ask of the parser; passing one of them makes the answer invalid.",
    ),
    ("providers", "The models."),
    (
        "providers.*",
        "A provider over HTTP, by its name; they are asked in the order in which they are first named.",
    ),
    (
        "providers.*.prices.*",
        "What a million tokens of a provider's model cost; `*` is any model without a price of its own.",
    ),
    (
        "models.*",
        "A name that jobs may give for several models, which are asked one after the other.",
    ),
    (
        "breaker",
        "When a model that fails again and again is not asked for a while, by provider and model.",
    ),
    ("log", "What is logged, on stderr."),
];

const TYPE: Bounds = Bounds::Type;
const URL: Bounds = Bounds::Url;
const HOSTS: Bounds = Bounds::Hosts;
const ORIGINS: Bounds = Bounds::Origins;
const MODELS: Bounds = Bounds::Models;
const LEVELS: Bounds = Bounds::Levels;
const SECRET: Bounds = Bounds::Secret;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The longest of the times that are waited for, ms.
const HOUR: u64 = 3_600_000;
/// The longest of those that people take, ms.
const DAY: u64 = 24 * HOUR;

const fn number(from: u64, to: u64) -> Bounds {
    Bounds::Number(from, to)
}

/// The way to a field: of the named provider, of the log, or of the parts.
macro_rules! place {
    (key.$($field:ident).+) => { |config, name| &mut config.key(name).$($field).+ };
    (tenant.$($field:ident).+) => { |config, name| &mut config.tenant(name).$($field).+ };
    (provider.$($field:ident).+) => { |config, name| &mut config.provider(name).$($field).+ };
    (price.$($field:ident).+) => { |config, name| &mut config.price(name).$($field).+ };
    (chain.$($field:ident).+) => { |config, name| &mut config.chain(name).$($field).+ };
    (log.$($field:ident).+) => { |config, _| &mut config.log.$($field).+ };
    ($($field:ident).+) => { |config, _| &mut config.parts.$($field).+ };
}

/// The places of a key; what several parts share goes to each of them.
macro_rules! places {
    (schema.$field:ident) => { places!(compiler.limits.$field) };
    (lease.$field:ident) => { places!(engine.lease.$field, worker.lease.$field) };
    ($($($field:ident).+),+) => { &[$(place!($($field).+)),+] };
}

macro_rules! keys {
    ($($name:literal, $unit:literal, $bounds:expr, [$($places:tt)+], $meaning:literal;)*) => {
        /// Every key, section by section.
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            unit: $unit,
            meaning: $meaning,
            bounds: $bounds,
            places: places!($($places)+),
        }),*];
    };
}

keys! {
    "server.bind", "", TYPE, [server.bind],
        "Where to listen; port 0 takes a free one.";
    "server.status_bind", "", TYPE, [server.status_bind],
        "Where a worker of a fleet, which serves no clients, tells how it is: `/livez`, `/readyz` and `/metrics`, nothing else. Without it it listens nowhere.";
    "server.allow_public", "", TYPE, [server.allow_public],
        "Listen where others can reach it, although no keys are configured and nothing asks who they are.";
    "server.auth_timeout_ms", "ms", number(100, 600_000), [server.auth_timeout_ms],
        "How long a client may take to say who it is where the upgrade did not.";
    "server.allowed_origins", "", ORIGINS, [server.allowed_origins],
        "Origins of pages that may speak with this server beside its own.";
    "server.allowed_hosts", "", HOSTS, [server.allowed_hosts],
        "Hosts that requests may name beside loopback names and `server.bind`.";
    "server.trusted_proxies", "", TYPE, [server.trusted_proxies],
        "Proxies whose `X-Forwarded-For` is believed.";
    "server.http_workers", "threads", number(1, 256), [server.http_workers],
        "Threads that serve connections.";
    "server.heartbeat_ms", "ms", number(100, HOUR), [server.heartbeat_ms],
        "How long a silent client is let be before it is pinged, and again before it is given up.";
    "server.send_timeout_ms", "ms", number(100, HOUR), [server.send_timeout_ms],
        "How long a reader may leave no room to write before its socket is closed.";
    "server.close_timeout_ms", "ms", number(0, 60_000), [server.close_timeout_ms],
        "How long the peer of a socket that is closed here is waited for.";
    "server.drain_spread_ms", "ms", number(0, 600_000), [server.drain_spread_ms],
        "Clients that are sent away come back after a random time below this.";
    "server.body_bytes_max", "bytes", number(KIB, 64 * MIB), [server.body_bytes_max],
        "A request's body over HTTP.";
    "server.inline_bytes_max", "bytes", number(0, 64 * MIB), [server.inline_bytes_max],
        "Up to here a body or a message is read by the thread that serves its connection, and with it others; a longer one is read beside.";
    "server.readings_max", "texts", number(1, 256), [server.readings_max],
        "Those longer ones that are read at a time.";
    "server.body_timeout_ms", "ms", number(100, HOUR), [server.body_timeout_ms],
        "How long a request's body may take to come.";
    "server.head_timeout_ms", "ms", number(100, HOUR), [server.head_timeout_ms],
        "How long the head of a request may take to come.";
    "server.connections_max", "connections", number(1, 1_000_000), [server.connections_max],
        "Sockets and event streams that may be open.";
    "server.short_connections_max", "connections", number(16, 1_000_000), [server.short_connections_max],
        "Connections beyond those, for requests that come and go.";
    "server.accept_backlog", "connections", number(1, 65_535), [server.accept_backlog],
        "Connections that may wait to be accepted; the system may let fewer.";
    "server.connections_per_address_max", "connections", number(1, 1_000_000), [server.connections_per_address_max],
        "Sockets and event streams that one address may have open: an IPv4 address, or 64 bits of IPv6.";
    "server.upgrades_per_second_per_address", "connections", number(1, 1_000_000), [server.upgrades_per_second_per_address],
        "Sockets and event streams that one address may open a second, and keys that it may try in vain, as a mean; twice as many in a burst.";
    "server.limit_loopback", "", TYPE, [server.limit_loopback],
        "Hold clients on this machine to the two limits above; a proxy here that is not in `server.trusted_proxies` would be one client.";
    "server.addresses_max", "addresses", number(16, 10_000_000), [server.addresses_max],
        "Addresses, and tenants, whose pace is remembered at a time.";
    "server.submits_per_second_per_tenant", "jobs", number(1, 1_000_000), [server.submits_per_second_per_tenant],
        "Jobs that one tenant may submit a second, as a mean; twice as many in a burst.";
    "server.attaches_per_second_max", "attaches", number(1, 1_000_000), [server.attaches_per_second_max],
        "Attaches of one socket a second, as a mean; twice as many in a burst.";
    "server.fragments_max", "fragments", number(1, 1_000_000), [server.fragments_max],
        "Fragments that one message may come in.";
    "server.control_frames_per_second_max", "frames", number(1, 1_000_000), [server.control_frames_per_second_max],
        "Pings and pongs of one socket a second, as a mean; twice as many in a burst.";
    "server.take_bytes", "bytes", number(KIB, 16 * MIB), [server.take_bytes],
        "About how much a connection is given in one turn, and how much may wait in the kernel to be sent.";
    "server.lists_max", "lists", number(1, 10_000), [server.lists_max],
        "Lists of jobs that are made at a time.";
    "server.retry_after_ms", "ms", number(1, 600_000), [server.retry_after_ms],
        "When to ask again where the engine could not be asked or there was no room, as clients are told it.";
    "server.ready_timeout_ms", "ms", number(10, 60_000), [server.ready_timeout_ms],
        "How long the engine may take to answer before `/readyz` takes it for silent.";
    "server.sse_comment_ms", "ms", number(100, HOUR), [server.sse_comment_ms],
        "How long an event stream is silent before a comment keeps it alive.";
    "server.tenant", "", Bounds::Text(128), [server.tenant],
        "Whose jobs the clients' are, as long as no keys tell them apart.";

    "keys.*.sha256", "", TYPE, [key.sha256],
        "The SHA-256 of the key's secret; it need not be secret itself.";
    "keys.*.tenant", "", Bounds::Text(128), [key.tenant],
        "Whose jobs it submits and sees.";
    "keys.*.scopes", "", TYPE, [key.scopes],
        "What it may do; `admin` is for what speaks of the whole server.";
    "keys.*.expires", "", TYPE, [key.expires],
        "From when on it is known no longer; without it, never.";

    "limits.message_bytes_max", "bytes", number(KIB, 64 * MIB), [server.limits.message_bytes_max],
        "One message to the server, fragments together.";
    "limits.depth_max", "containers", number(8, 127), [server.limits.depth_max],
        "How deep a message to the server may nest.";
    "limits.values_max", "values", number(256, 10_000_000), [server.limits.values_max],
        "Values in a message to the server, or in a body; each costs some ten times its bytes to read.";
    "limits.viewers_max", "jobs", number(1, 10_000), [server.limits.viewers_max],
        "Jobs that one socket watches at a time.";
    "limits.pending_max", "requests", number(1, 10_000), [server.limits.pending_max],
        "Requests of one socket that wait for an answer.";
    "limits.messages_per_second_max", "messages", number(1, 1_000_000), [server.limits.messages_per_second_max],
        "Messages a second from one socket, as a mean; twice as many in a burst.";
    "limits.snapshot_part_bytes", "bytes", number(64, 16 * MIB), [server.limits.snapshot_part_bytes, hub.snapshot_part_bytes],
        "A snapshot's text in one message; a longer one comes in parts.";
    "limits.end_value_bytes", "bytes", number(0, 16 * MIB), [server.limits.end_value_bytes, hub.end_value_bytes],
        "Up to here an end carries the value to viewers of patches too, who else get its hash.";
    "limits.ref_bytes_max", "bytes", number(16, 4 * KIB), [server.limits.ref_bytes_max],
        "A `ref`.";
    "limits.idempotency_key_bytes_max", "bytes", number(36, 4 * KIB), [server.limits.idempotency_key_bytes_max],
        "An idempotency key.";

    "hub.backlog_bytes_max", "bytes", number(4 * KIB, GIB), [hub.backlog_bytes_max],
        "Recent frames kept per watched job; a viewer further behind gets a snapshot.";
    "hub.backlog_frames_max", "frames", number(16, 1_000_000), [hub.backlog_frames_max],
        "Recent frames kept per watched job.";
    "hub.poll_ms", "ms", number(100, HOUR), [hub.poll],
        "How often positions are compared with the log, against silent loss, at the most.";
    "hub.degraded_ms", "ms", number(100, HOUR), [hub.degraded],
        "How long the engine may not be asked for a watched job, or heard of it, before its viewers are told `degraded`.";
    "hub.watched_max", "jobs", number(1, 10_000_000), [hub.watched_max],
        "Jobs watched on this node at a time.";

    "lease.lease_ms", "ms", number(1_000, 600_000), [lease.lease_ms],
        "How long a lease is good without being extended.";
    "lease.extend_ms", "ms", number(100, 300_000), [lease.extend_ms],
        "How often it is extended; at most half as long as it is good.";
    "lease.cancel_grace_ms", "ms", number(100, 600_000), [lease.cancel_grace_ms],
        "How long a worker may take to end a cancelled job before the reaper ends it.";
    "lease.losses_max", "leases", number(1, 100), [lease.losses_max],
        "How many may be lost without progress before the job is poison.";

    "store.folder", "", Bounds::Text(4_096), [store.folder],
        "The data folder; it is made where it is not there.";
    "store.ephemeral", "", TYPE, [store.ephemeral],
        "Keep nothing: everything is in memory and ends with the process.";
    "store.sync_full", "", TYPE, [store.sync_full],
        "Let each commit wait for the disk, so that it survives the loss of power, too.";
    "store.reserve_bytes", "bytes", number(0, GIB), [store.reserve_bytes],
        "A file that is given up when the disk is full, so that jobs can still end; without it no jobs are taken.";
    "store.bytes_max", "bytes", number(0, 1_024 * GIB), [store.bytes_max],
        "What the database may take; 0 for as much as there is.";
    "store.busy_timeout_ms", "ms", number(1, 600_000), [store.busy_timeout_ms],
        "How long a statement waits for a lock of another program.";
    "store.acquire_timeout_ms", "ms", number(10, 600_000), [store.acquire_timeout_ms],
        "How long a statement waits for a connection.";
    "store.readers", "connections", number(1, 64), [store.readers],
        "Connections that read beside the writer.";

    "archive.retention_ms", "ms", number(1_000, 87_600 * HOUR), [archive.retention_ms],
        "How long an ended job is kept.";
    "archive.jobs_max", "jobs", number(1, 1_000_000_000), [archive.jobs_max],
        "How many ended jobs are kept.";
    "archive.page_max", "jobs", number(1, 1_000), [archive.page_max],
        "Jobs in one page of a list, at most.";
    "archive.looked_max", "jobs", number(1, 100_000), [archive.looked_max],
        "Jobs that have not ended which one page looks at, at most, where only those in one state are asked for.";
    "archive.outbox_ms", "ms", number(10, 60_000), [archive.outbox_ms],
        "How often what has happened to jobs is moved into the archive; a list has it moved, too.";
    "archive.forget_ms", "ms", number(100, HOUR), [archive.forget_ms],
        "How often what is past its retention is dropped.";
    "archive.batch_max", "jobs", number(1, 100_000), [archive.batch_max],
        "How many are moved in one transaction.";
    "archive.forget_max", "jobs", number(1, 100_000), [archive.forget_max],
        "How many are dropped in one transaction.";
    "archive.shrink_pages_max", "pages", number(0, 1_000_000), [archive.shrink_pages_max],
        "Free pages of 4 KiB that are given back to the disk each time that jobs are dropped.";

    "engine.queued_max", "jobs", number(1, 10_000_000), [engine.queued_max],
        "Jobs that may wait, in line or for their time.";
    "engine.line_wait_max_ms", "ms", number(0, 8_760 * HOUR), [engine.line_wait_max_ms],
        "Where jobs leave the line so slowly that another would wait longer than this, it is refused; 0: any time.";
    "engine.asked_bytes_max", "bytes", number(MIB, 1_024 * GIB), [engine.asked_bytes_max],
        "About how much the requests of jobs that have not ended may take.";
    "engine.wait_max_ms", "ms", number(1_000, 8_760 * HOUR), [engine.wait_max_ms],
        "How long a job that was put back may still wait at the start; more is so by a clock that was set back.";
    "engine.deliveries_max", "deliveries", number(1, 1_000), [engine.deliveries_max],
        "Deliveries of a job that may fail before it ends.";
    "engine.restarts_max", "ends", number(1, 1_000), [engine.restarts_max],
        "How often in a row the server may end while a job runs, without progress, before the job ends.";
    "engine.checkpoint_bytes", "bytes", number(1, GIB), [engine.checkpoint_bytes],
        "How much of a running job's log may be told before it is stored.";
    "engine.checkpoint_ms", "ms", number(10, 60_000), [engine.checkpoint_ms],
        "How long a change of a running job may be told before it is stored.";
    "engine.retention_ms", "ms", number(1_000, 8_760 * HOUR), [engine.retention_ms],
        "How long an ended job is kept, and its idempotency key with it.";
    "engine.retained_max", "jobs", number(1, 10_000_000), [engine.retained_max],
        "How many ended jobs are kept.";
    "engine.retained_bytes_max", "bytes", number(MIB, 1_024 * GIB), [engine.retained_bytes_max],
        "About how much of ended jobs is kept: their values and the tails of their logs.";

    "engine.dead_ms", "ms", number(1_000, 8_760 * HOUR), [engine.dead_ms],
        "How long a job that was given up is kept with what it asks for.";
    "engine.dead_max", "jobs", number(1, 1_000_000), [engine.dead_max],
        "How many of them are kept.";
    "engine.dead_bytes_max", "bytes", number(MIB, 1_024 * GIB), [engine.dead_bytes_max],
        "About how much of them is kept, their requests included.";

    "tenants.running_max", "jobs", number(0, 1_000_000), [tenants.running_max],
        "Jobs of one tenant that may run at a time; 0: any number. Over several shards, up to one less than there are shards more.";
    "tenants.queued_max", "jobs", number(0, 10_000_000), [tenants.queued_max],
        "Jobs of one tenant that may wait, in line or for their time; 0: as many as of all together.";

    "tenants.*.weight", "times", number(1, 1_000), [tenant.weight],
        "Its weight in the line: so many times as much as one of weight 1 it is served, where both have jobs in line.";
    "tenants.*.running_max", "jobs", number(0, 1_000_000), [tenant.running_max],
        "In the place of `tenants.running_max`; without it, that.";
    "tenants.*.queued_max", "jobs", number(0, 10_000_000), [tenant.queued_max],
        "In the place of `tenants.queued_max`; without it, that.";

    "redis.url", "", TYPE, [redis.url],
        "Where it is: `redis://` or, with TLS, `rediss://`, with user and password where it asks for them; `redis+cluster://` of any nodes of a Cluster, `redis+sentinel://` of Sentinels and their master. Its password is shown nowhere.";
    "redis.ca_file", "", Bounds::Text(4_096), [redis.ca_file],
        "A file of the certificates (PEM) that vouch for the server of a `rediss://` URL, in the place of the roots of the web.";
    "redis.prefix", "", Bounds::Word(64), [redis.prefix],
        "What every key and channel begins with; fleets that share a Redis have different ones.";
    "redis.shards", "shards", number(0, 1_024), [redis.shards],
        "Into how many parts the jobs are divided; 0: into one, over a Cluster into 16. Fixed with the first start. The bounds of `engine` are divided over them.";
    "redis.connect_ms", "ms", number(10, 60_000), [redis.connect],
        "How long connecting may take.";
    "redis.response_ms", "ms", number(10, 60_000), [redis.response],
        "How long a command may take before Redis counts as unreachable; less than `lease.extend_ms`.";
    "redis.waiting_max", "connections", number(1, 1_024), [redis.waiting_max],
        "Connections to a server for commands that wait; each worker that has nothing to do holds one, over a Cluster, and where replicas are waited for, one more for each shard.";
    "redis.probe_ms", "ms", number(100, HOUR), [redis.probe],
        "How often the connection of live messages is asked whether it is still there.";

    "durability.replicas", "replicas", number(0, 10), [redis.replicas],
        "Replicas of the Redis that hold a job before it is told to be accepted, and its end before that is told. All nodes of a fleet have the same.";
    "durability.wait_ms", "ms", number(1, 60_000), [redis.replicas_wait],
        "How long they are waited for; then it is told all the same, with `durable: false`. Who comes while others wait begins behind them: twice as long at most.";

    "worker.slots", "jobs", number(1, 100_000), [worker.slots],
        "Jobs worked on at a time.";
    "worker.reap_tick_ms", "ms", number(10, 60_000), [worker.reap_tick],
        "How often leases that ran out are looked for.";
    "worker.reap_max", "jobs", number(1, 100_000), [worker.reap_max],
        "Jobs that are taken back, or put in line again, in one step.";
    "worker.resend_ms", "ms", number(1, 60_000), [worker.resend],
        "The longest wait before a step that the engine did not answer is sent again.";
    "worker.tail_bytes", "bytes", number(256, 64 * MIB), [worker.tail_bytes],
        "A running job's state is stored when its log has outgrown this, and half the draft.";
    "worker.splice_places_max", "places", number(0, 256), [worker.splice_places_max],
        "Bad places of an answer that are asked for alone; where there are more, the whole is asked for again. 0: always the whole.";
    "worker.continuations_max", "attempts", number(0, 100), [worker.continuations_max],
        "Attempts of a job that go on from an answer that broke off. 0: such an answer ends the job.";
    "worker.attempt_seconds", "s", number(1, 86_400), [worker.attempt_seconds],
        "Time of one attempt; what has come by then is gone on with like any answer that broke off.";
    "worker.repeat_bytes_max", "bytes", number(0, 16 * MIB), [worker.repeat_bytes_max],
        "How much of the end of an answer may be one short text again and again, eight times at least, before it is stopped as a loop. 0: any.";
    "worker.string_bytes_max", "bytes", number(KIB, 256 * MIB), [worker.string_bytes_max],
        "A single string of an answer.";
    "worker.beside_bytes_max", "bytes", number(KIB, 256 * MIB), [worker.beside_bytes_max],
        "Prose that a model may say beside the calls that carry its answer.";
    "worker.flush_beat_ms", "ms", number(0, 1_000), [worker.flush_beat],
        "On which the ends of all jobs' windows (`flush_ms`) fall, so that their writes leave together; at most a quarter of a window. 0: each when it is its time, and providers are read all the time.";
    "worker.note_bytes_max", "bytes", number(0, 16 * MIB), [worker.note_bytes_max],
        "Notes that are gathered in one window, prose beside calls, and text behind the value; more is dropped, not of the value.";
    "worker.refusal_bytes_max", "bytes", number(0, 16 * MIB), [worker.refusal_bytes_max],
        "How much of a model's refusal is kept.";
    "worker.job_seconds", "s", number(1, 86_400), [worker.job_seconds],
        "Time of a job that asks for no bound of its own, from its first claim to its end, outages and waits included; at most `admission.seconds_max`.";
    "worker.rate_limit_wait_ms", "ms", number(10, 600_000), [worker.rate_limit_wait],
        "How long a job waits when a provider is busy and does not say how long.";
    "worker.rate_limit_wait_max_ms", "ms", number(10, HOUR), [worker.rate_limit_wait_max],
        "How long it waits at the most.";
    "worker.retries_max", "calls", number(0, 100), [worker.retries_max],
        "Calls that are made again within an attempt, after a fault of the provider's that may pass and before anything of the value was told.";
    "worker.retry_base_ms", "ms", number(1, 60_000), [worker.retry_base],
        "The longest wait before the first of them; it doubles with each, and any part of it is waited.";
    "worker.retry_wait_max_ms", "ms", number(1, 600_000), [worker.retry_wait_max],
        "The longest wait before any of them; where a provider asks for more, the job is put back.";
    "worker.drain_ms", "ms", number(0, HOUR), [worker.drain],
        "How long running jobs may go on once the server goes down.";

    "compiler.schema_wall_ms", "ms", number(1, 60_000), [compiler.schema_wall_ms],
        "How long a submitted schema may compile.";
    "compiler.schema_wait_ms", "ms", number(1, 600_000), [compiler.schema_wait_ms],
        "How long a submitted schema may wait for its turn.";
    "compiler.compiles_max", "schemas", number(1, 256), [compiler.compiles_max],
        "Schemas that compile at a time.";
    "compiler.cache_count_max", "schemas", number(0, 1_000_000), [compiler.cache_count_max],
        "Compiled schemas that are kept for the next job.";
    "compiler.cache_bytes_max", "bytes", number(0, 64 * GIB), [compiler.cache_bytes_max],
        "What they hold together, estimated from above.";
    "compiler.refused_count_max", "refusals", number(0, 1_000_000), [compiler.refused_count_max],
        "Refusals that are kept, so that a bad schema costs once.";
    "compiler.refused_bytes_max", "bytes", number(0, GIB), [compiler.refused_bytes_max],
        "What those refusals hold together.";

    "admission.messages_max", "messages", number(1, 100_000), [admission.spec.messages_max],
        "Messages of a conversation.";
    "admission.prompt_bytes_max", "bytes", number(1, 64 * MIB), [admission.spec.prompt_bytes_max],
        "All messages, or the input, together.";
    "admission.context_bytes_max", "bytes", number(2, 16 * MIB), [admission.spec.context_bytes_max],
        "`context` as compact JSON.";
    "admission.template_steps_max", "steps", number(1, 10_000_000), [admission.spec.template_steps_max],
        "Steps that the templates of a job may take together, where it has a `context`.";
    "admission.reasks_max", "re-asks", number(2, 100), [admission.spec.reasks_max],
        "Re-asks of a job; 2 is what a job gets that does not ask.";
    "admission.flush_ms_max", "ms", number(33, 60_000), [admission.spec.flush_ms_max],
        "The longest window in which changes are gathered; 33 is that of a job that does not ask.";
    "admission.tokens_max", "tokens", number(1, 10_000_000), [admission.spec.tokens_max],
        "Output tokens of an attempt.";
    "admission.answer_bytes_max", "bytes", number(KIB, 256 * MIB), [admission.spec.answer_bytes_max],
        "An answer, where the job asks for a bound of its own.";
    "admission.seconds_max", "s", number(1, 86_400), [admission.spec.seconds_max],
        "Time from a job's first claim to its end, outages and waits included, where the job asks for a bound of its own.";
    "admission.total_tokens_max", "tokens", number(1_000, 1_000_000_000_000), [admission.spec.total_tokens_max, worker.budget.total_tokens],
        "Tokens of all attempts of a job together, prompts included; also what a job may spend that asks for no bound of its own.";
    "admission.cost_max", "", TYPE, [admission.spec.cost_max, worker.budget.cost],
        "What all attempts of a job may cost together, where a price is known; also of a job that asks for no bound of its own. Without it, any.";
    "admission.attempts_max", "attempts", number(1, 1_000), [admission.spec.attempts_max, worker.budget.attempts],
        "Attempts of a job; also of one that asks for no bound of its own.";
    "admission.metadata_max", "entries", number(0, 1_024), [admission.spec.metadata_max],
        "Entries of `metadata`.";
    "admission.metadata_bytes_max", "bytes", number(1, 64 * KIB), [admission.spec.metadata_bytes_max],
        "A key or a value of `metadata`.";
    "admission.verdict_ms_max", "ms", number(1, DAY), [admission.spec.verdict_ms_max],
        "The longest wait of a valid value for a verdict from outside.";
    "admission.verdict_errors_max", "errors", number(1, 10_000), [admission.spec.verdict_errors_max],
        "Errors of a verdict that asks again.";
    "admission.verdict_error_bytes_max", "bytes", number(64, 64 * KIB), [admission.spec.verdict_error_bytes_max],
        "One of these errors: pointer, words and rule.";
    "admission.unviewed_ms_max", "ms", number(0, DAY), [admission.spec.unviewed_ms_max],
        "The longest time that a job goes on without viewers, where it does not go on to its end.";

    "schema.bytes_max", "bytes", number(KIB, 16 * MIB), [schema.bytes_max],
        "The schema as compact JSON.";
    "schema.depth_max", "containers", number(4, 100), [schema.depth_max],
        "How deep it nests; also how many applicators may follow each other on one value.";
    "schema.subschemas_max", "subschemas", number(1, 1_000_000), [schema.subschemas_max],
        "Subschemas, counted wherever a keyword takes one.";
    "schema.cost_max", "paths", number(1, 1_000_000_000), [schema.cost_max],
        "Paths from the root through subschemas and references, recursion entered once.";
    "schema.patterns_max", "patterns", number(0, 10_000), [schema.patterns_max],
        "`pattern`s and names in `patternProperties`.";
    "schema.pattern_bytes_max", "bytes", number(1, 64 * KIB), [schema.pattern_bytes_max],
        "One pattern.";
    "schema.pattern_compiled_bytes_max", "bytes", number(KIB, 64 * MIB), [schema.pattern_compiled_bytes_max],
        "One compiled pattern.";
    "schema.violations_max", "violations", number(1, 1_000), [schema.violations_max],
        "How many violations one judgement tells.";
    "schema.violation_value_bytes_max", "bytes", number(16, 64 * KIB), [schema.violation_value_bytes_max],
        "How much of an offending value a violation shows.";

    "draft.depth_max", "containers", number(4, 100), [worker.draft.depth_max],
        "How many may be open at once.";
    "draft.bytes_max", "bytes", number(KIB, 256 * MIB), [worker.draft.bytes_max],
        "The whole text, prose included, where the job asks for no bound of its own; at most `admission.answer_bytes_max`.";
    "draft.key_bytes_max", "bytes", number(16, MIB), [worker.draft.key_bytes_max],
        "One member name, decoded.";
    "draft.number_digits_max", "bytes", number(16, MIB), [worker.draft.number_digits_max],
        "One number as written.";
    "draft.blanks_max", "bytes", number(16, 16 * MIB), [worker.draft.blanks_max],
        "Consecutive blanks between two tokens.";

    "providers.scripted", "", TYPE, [providers.scripted],
        "Offer the built-in model `scripted` beside others; where there are none, it is always offered.";
    "providers.*.kind", "", TYPE, [provider.kind],
        "What it speaks: OpenAI's chat completions, as most do, Anthropic's Messages, Gemini's `streamGenerateContent`, Ollama's own chat, or OpenAI's Responses.";
    "providers.*.base_url", "", URL, [provider.base_url],
        "Where the paths of its API are appended, as `/chat/completions`. Kinds other than `openai` have one of their own, and so has the provider `openai`: `https://api.openai.com/v1`; any other must be given.";
    "providers.*.key", "", SECRET, [provider.key],
        "Sent in the header that its kind and host want, mostly as `Authorization: Bearer`; without it, nothing is. `key_file` names a file that holds it.";
    "providers.*.key_header", "", TYPE, [provider.key_header],
        "Which header that is, of kinds `openai` and `responses`; by host, it is `api-key` at Azure, or else `authorization`.";
    "providers.*.api_version", "", Bounds::Text(64), [provider.api_version],
        "The `api-version` in the query of each request, as Azure's addresses by deployment demand it; without it, there is none.";
    "providers.*.models", "", TYPE, [provider.models],
        "Which of its models may be asked for; an empty list: any.";
    "providers.*.dialect", "", TYPE, [provider.dialect],
        "What mode `auto` means for it; by host, it is what its kind and its host do best.";
    "providers.*.modes_refused_max", "modes", number(2, 100_000), [provider.modes_refused_max],
        "Modes refused by its models that are remembered, so that mode `auto` does not try them again.";
    "providers.*.modes_refused_ms", "ms", number(0, 24 * HOUR), [provider.modes_refused_ms],
        "How long they are.";
    "providers.*.max_tokens_field", "", TYPE, [provider.max_tokens_field],
        "How the limit on output tokens is called in its requests, of kind `openai`; by host, it is what OpenAI and Azure want, or else `max_tokens`.";
    "providers.*.prefill", "", TYPE, [provider.prefill],
        "How it is told to go on from the beginning of an answer that broke off: `continue_final_message` for vLLM, SGLang and llama.cpp, `prefix` for Mistral and DeepSeek's beta, `last_turn` for Anthropic's older models; `none`: not at all. By host, only who is known to do it is told to.";
    "providers.*.output_tokens", "tokens", number(1, 10_000_000), [provider.output_tokens],
        "Output tokens of an attempt, where the job names no limit and the kind demands one (`anthropic`).";
    "providers.*.connect_ms", "ms", number(10, 600_000), [provider.connect_ms],
        "Time for name, TCP and TLS.";
    "providers.*.first_byte_ms", "ms", number(10, HOUR), [provider.first_byte_ms],
        "From sending the request to the first byte of the answer's body.";
    "providers.*.idle_ms", "ms", number(10, HOUR), [provider.idle_ms],
        "Silence allowed later; any byte, also of a comment, ends it.";
    "providers.*.event_bytes_max", "bytes", number(KIB, 256 * MIB), [provider.event_bytes_max],
        "One event of the stream.";
    "providers.*.line_bytes_max", "bytes", number(KIB, 256 * MIB), [provider.line_bytes_max],
        "One line of the stream.";
    "providers.*.body_bytes_max", "bytes", number(KIB, 256 * MIB), [provider.body_bytes_max],
        "An answer that is not streamed.";
    "providers.*.body_error_bytes_max", "bytes", number(256, MIB), [provider.body_error_bytes_max],
        "How much of an error's body is read.";
    "providers.*.calls_max", "calls", number(1, 1_024), [provider.calls_max],
        "Parallel tool calls of one answer: under `wrap: iterable`, the items of the list.";
    "providers.*.after_finish_ms", "ms", number(0, 600_000), [provider.after_finish_ms],
        "How long usage may follow an answer's finish; later it is not waited for.";
    "providers.*.pool_idle_ms", "ms", number(0, 600_000), [provider.pool_idle_ms],
        "How long an unused connection is kept; keep it below the provider's own keep-alive.";

    "providers.*.prices.*.input", "", TYPE, [price.input],
        "Of the prompt, in any unit that is the same for all prices.";
    "providers.*.prices.*.cached_input", "", TYPE, [price.cached_input],
        "Of the prompt, where the provider had it cached; without it, as `input`.";
    "providers.*.prices.*.output", "", TYPE, [price.output],
        "Of the answer.";
    "providers.*.prices.*.reasoning", "", TYPE, [price.reasoning],
        "Of the answer, spent on reasoning; without it, as `output`.";

    "models.*.chain", "", MODELS, [chain.models],
        "1 to 8 models, each as a job may name it; the next is asked where the one before cannot be, fails, or broke off.";

    "breaker.window_ms", "ms", number(1_000, HOUR), [providers.breaker.window],
        "How far back calls count.";
    "breaker.calls_min", "calls", number(1, 1_000_000), [providers.breaker.calls_min],
        "Calls of a model within that time before their faults are weighed.";
    "breaker.faults_percent", "%", number(1, 100), [providers.breaker.faults_percent],
        "The share of them that must have failed.";
    "breaker.timeouts", "calls", number(1, 1_000_000), [providers.breaker.timeouts],
        "Calls one after the other whose first byte did not come in time: they are enough by themselves.";
    "breaker.open_ms", "ms", number(10, HOUR), [providers.breaker.open],
        "How long such a model is not asked; then one call finds out.";
    "breaker.models_max", "models", number(2, 1_000_000), [providers.breaker.models_max],
        "Models of a provider that are remembered as failing or as asked too often.";

    "log.level", "", LEVELS, [log.level],
        "Which of our own words are logged; filters such as `info,livedraft=debug` choose by target.";
    "log.format", "", TYPE, [log.format],
        "How the lines look: text for people, json for machines.";
}
