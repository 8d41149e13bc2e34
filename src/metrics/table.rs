//! The one list of instruments. `docs/operations.md` shows the same table; a test holds the two together.

use prometheus_client::registry::Registry;

use super::instrument::{self, Count, Counts, Instrument, Level, Levels, Row, Times, TimesBy};

macro_rules! instruments {
    ($($field:ident: $type:ty = $name:literal, $unit:literal, [$($label:literal),*], $meaning:literal;)*) => {
        /// Every instrument.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $meaning] pub $field: $type,)*
        }

        /// Every instrument's row, in the order of the exposition.
        pub const TABLE: &[Row] = &[$(row::<$type>($name, $unit, &[$($label),*], $meaning),)*];

        impl Metrics {
            pub(super) fn new() -> Self {
                let mut registry = Registry::default();
                $(let $field = <$type as Instrument>::enter(
                    &row::<$type>($name, $unit, &[$($label),*], $meaning),
                    &mut registry,
                );)*
                Self { registry, $($field,)* }
            }
        }
    };
}

const fn row<T: Instrument>(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Row {
    Row {
        name,
        kind: T::KIND,
        unit,
        labels,
        meaning,
    }
}

instruments! {
    jobs: Levels<1> = "livedraft_jobs", "jobs", ["state"], "Jobs the engine holds, by state: queued (lost ones in line again included), running, waiting, ended (kept for their retention), dead (given up, and kept with their requests).";
    queue_age: Level = "livedraft_queue_oldest_seconds", "seconds", [], "How long ago the job was submitted that is in line for the longest time; 0 while none waits.";
    paused: Levels<1> = "livedraft_paused", "pauses", ["of"], "What is given no worker by somebody's word: queue (1 or 0), tenants (how many).";
    jobs_accepted: Count = "livedraft_jobs_accepted_total", "jobs", [], "Jobs that were kept.";
    submits: Counts<1> = "livedraft_submits_total", "requests", ["answer"], "Submissions by answer: accepted, existing (its idempotency key named it), or the code of the refusal.";
    submit_seconds: Times = "livedraft_submit_seconds", "seconds", [], "From a request that was read to its answer: checks, the schema, the engine's commit.";
    schema_compile_seconds: Times = "livedraft_schema_compile_seconds", "seconds", [], "What compiling a schema took; one that is kept from before is not compiled again.";
    claims: Count = "livedraft_claims_total", "deliveries", [], "Jobs given to a worker.";
    queue_seconds: Times = "livedraft_job_queue_seconds", "seconds", [], "From submission to the first claim, of jobs that have ended.";
    first_change_seconds: Times = "livedraft_job_first_change_seconds", "seconds", [], "From the first claim to the first change of the draft, of jobs that have ended.";
    total_seconds: Times = "livedraft_job_total_seconds", "seconds", [], "From submission to the end.";
    jobs_ended: Counts<2> = "livedraft_jobs_ended_total", "jobs", ["outcome", "code"], "Ends, by outcome and by the code of the end's error (empty for completed).";
    attempts: Counts<1> = "livedraft_attempts_total", "attempts", ["reason"], "Attempts that began, by reason; invalid is a re-ask.";
    attempt_ways: Counts<1> = "livedraft_attempt_ways_total", "attempts", ["way"], "Attempts that began, by what they make of the draft: whole (the first), splice (places that were wrong are asked for again), prefill (the model goes on with its own text), residual (it is asked for what is missing), restart (the draft is emptied).";
    attempt_seconds: Times = "livedraft_attempt_seconds", "seconds", [], "From asking the model to the last byte of its answer.";
    repairs: Count = "livedraft_repairs_total", "repairs", [], "Places of answers that lenient reading put right, of jobs that have ended.";
    tokens: Counts<1> = "livedraft_tokens_total", "tokens", ["direction"], "Tokens of jobs that have ended: in, out.";
    deferrals: Counts<1> = "livedraft_deferrals_total", "deliveries", ["reason"], "Deliveries that were put back without fault or after one of ours, by reason: rate_limited, overloaded, unavailable, drain, internal; and jobs whose value waits for a verdict.";
    verdicts: Counts<1> = "livedraft_verdicts_total", "verdicts", ["verdict"], "Verdicts on values that waited for one: accept, reask, silence.";
    leases_lost: Count = "livedraft_leases_lost_total", "leases", [], "Leases that ran out; the job goes on with another worker.";
    writes_answered: Counts<1> = "livedraft_writes_answered_total", "writes", ["answer"], "Writes of workers that were not simply taken, by what the engine answered: dup (it was taken before, and the answer was lost), rolled_back (the log has lost what stood before it), lost (the lease is another's), cancel.";
    unreadable: Count = "livedraft_unreadable_total", "jobs", [], "Times that a job over Redis, or its attempt record, could not be read and was set aside.";
    patches: Count = "livedraft_patches_total", "entries", [], "Patches written to logs.";
    patch_bytes: Count = "livedraft_patch_bytes_total", "bytes", [], "Bytes of the patches written to logs.";
    provider_opens: Counts<2> = "livedraft_provider_opens_total", "calls", ["provider", "outcome"], "Calls of a model, by what became of opening them: ok, the kind of the error, or dropped (cancel, time limit, drain).";
    provider_open_seconds: TimesBy<1> = "livedraft_provider_open_seconds", "seconds", ["provider"], "From sending a call to the head of its answer.";
    provider_answers: Counts<2> = "livedraft_provider_answers_total", "answers", ["provider", "outcome"], "Answers that began, by how they stopped: finish, aborted (by us: they could not have been valid), bad_text, the kind of the error, deadline, attempt_time, what was overrun (repetition, string_limit, beside_limit, behind_limit), astray, budget, cancelled, drain, or lost (the lease).";
    provider_retries: Counts<2> = "livedraft_provider_retries_total", "calls", ["provider", "fault"], "Calls that were made again within their attempt, by the kind of the error before them.";
    provider_fallbacks: Counts<1> = "livedraft_provider_fallbacks_total", "calls", ["provider"], "Times that the next model of a chain was asked instead, by the provider that was left.";
    provider_blocks: Counts<1> = "livedraft_provider_blocks_total", "blocks", ["provider"], "Times that a provider said that it is asked too often, so that this node left it alone for a while.";
    breakers_open: Levels<1> = "livedraft_breakers_open", "models", ["provider"], "Models that are not asked because they fail again and again, those with a probe on its way included.";
    cost: Counts<1> = "livedraft_cost_micros_total", "millionths", ["provider"], "What attempts of jobs that have ended cost, in millionths of the unit that prices are in, where a price is known.";
    connections: Levels<1> = "livedraft_connections", "connections", ["kind"], "Connections that are open: socket, events.";
    connections_opened: Counts<1> = "livedraft_connections_opened_total", "connections", ["kind"], "Connections that were opened: socket, events.";
    socket_closes: Counts<1> = "livedraft_socket_closes_total", "sockets", ["code"], "Sockets that we closed, by close code.";
    http_requests: Counts<2> = "livedraft_http_requests_total", "requests", ["route", "status"], "HTTP requests by route (other where there is none) and status.";
    errors: Counts<2> = "livedraft_errors_total", "errors", ["face", "code"], "Errors told to clients over socket and http, by code.";
    viewers: Level = "livedraft_viewers", "viewers", [], "Viewers of jobs on this node.";
    watched_jobs: Level = "livedraft_watched_jobs", "jobs", [], "Jobs that this node follows.";
    degraded_jobs: Level = "livedraft_degraded_jobs", "jobs", [], "Of these, those whose viewers were told that what they see may be late: the engine cannot be asked, or heard.";
    snapshots: Count = "livedraft_snapshots_total", "snapshots", [], "Snapshots given to viewers.";
    conflations: Count = "livedraft_conflations_total", "snapshots", [], "Of these, those that stood for a backlog that was dropped.";
    gaps: Count = "livedraft_gaps_total", "gaps", [], "Times that a live message showed that this node's copy of a job had missed something, which was then read.";
    resumes: Counts<1> = "livedraft_resumes_total", "viewers", ["by"], "Viewers that came back with a position, by how they go on: tail (what stands behind it), state (the whole, since the log has left that position or it is too far back).";
    frames_out: Count = "livedraft_frames_out_total", "frames", [], "Messages of jobs written to sockets and event streams.";
    bytes_out: Count = "livedraft_bytes_out_total", "bytes", [], "Bytes written to sockets and event streams.";
    draining: Level = "livedraft_draining", "flag", [], "1 while the node goes down.";
    process_memory: Level = "process_resident_memory_bytes", "bytes", [], "Memory of the process.";
    process_fds: Level = "process_open_fds", "descriptors", [], "File descriptors that are open.";
    process_fds_max: Level = "process_max_fds", "descriptors", [], "File descriptors that may be open.";
    process_threads: Level = "process_threads", "threads", [], "Threads of the process.";
}

impl Metrics {
    pub(super) fn text(&self) -> String {
        instrument::text(&self.registry)
    }
}
