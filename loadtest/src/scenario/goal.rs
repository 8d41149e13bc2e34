//! What each scenario is about, which columns name its rows, and what they must keep to on an idle machine of two cores.

use super::Scenario;
use crate::report::Budget;

/// How a scenario's table is read and judged.
pub(super) struct Goal {
    pub(super) about: &'static str,
    pub(super) keys: &'static [&'static str],
    pub(super) budgets: &'static [Budget],
}

/// The one of a scenario.
pub(super) fn of(scenario: Scenario) -> Goal {
    let (about, keys, budgets) = match scenario {
        Scenario::Latency | Scenario::All => LATENCY,
        Scenario::Idle => IDLE,
        Scenario::Fanout => FANOUT,
        Scenario::Document => DOCUMENT,
        Scenario::Accepted => ACCEPTED,
        Scenario::Restart => RESTART,
        Scenario::Stalled => STALLED,
        Scenario::Cancel => CANCEL,
        Scenario::Saturation => SATURATION,
        Scenario::Late => LATE,
        Scenario::Storm => STORM,
        Scenario::Burst => BURST,
        Scenario::Tenants => TENANTS,
        Scenario::Takeover => TAKEOVER,
        Scenario::Rolling => ROLLING,
        Scenario::Commands => COMMANDS,
        Scenario::Engine => ENGINE,
        Scenario::Soak => SOAK,
    };
    Goal { about, keys, budgets }
}

type Row = (&'static str, &'static [&'static str], &'static [Budget]);

const LATENCY: Row = (
    "From writing a token at the model to having its frame at the socket, 100 tokens/s a job.",
    &["engine", "jobs"],
    &[
        Budget::most("p50 ms", 1.0, &[("jobs", "1")]),
        Budget::most("p99 ms", 3.0, &[("jobs", "1")]),
        Budget::most("tokens missing", 0.0, &[]),
    ],
);
const IDLE: Row = (
    "Sockets that were welcomed and say nothing.",
    &["engine", "store", "sockets"],
    &[
        Budget::most("KiB per socket", 18.0, &[]),
        Budget::most("sockets lost", 0.0, &[]),
    ],
);
const FANOUT: Row = (
    "One job at 50 tokens/s, watched by many: from writing a token at the model to each socket.",
    &["engine", "sockets"],
    &[
        Budget::most("p99 ms", 50.0, &[("sockets", "1000")]),
        Budget::most("conflated %", 1.0, &[("sockets", "1000")]),
        Budget::most("tokens missing", 0.0, &[("sockets", "1")]),
    ],
);
const DOCUMENT: Row = (
    "Whole documents in tokens of four bytes: CPU of all processes, growth, bytes to a viewer.",
    &["engine", "document KiB", "tokens/s", "flush_ms"],
    &[
        Budget::most("CPU s", 0.2, &[("document KiB", "20"), ("tokens/s", "flat out")]),
        Budget::most(
            "CPU over 20 KiB",
            10.5,
            &[("document KiB", "200"), ("tokens/s", "flat out")],
        ),
        Budget::most("bytes over document", 10.0, &[]),
        Budget::most("bytes over document", 4.0, &[("flush_ms", "4")]),
    ],
);
const ACCEPTED: Row = (
    "From the moment a submission was due to its acceptance; the jobs run and end meanwhile.",
    &["engine", "store", "submits/s"],
    &[
        Budget::most("p99 ms", 10.0, &[("submits/s", "200")]),
        Budget::most("not completed", 0.0, &[]),
    ],
);
const RESTART: Row = (
    "10,000 stored jobs, `kill -9`, and the time from starting the process to the first 200 of `/readyz`.",
    &["engine", "kill"],
    &[Budget::most("ms to ready", 2_000.0, &[])],
);
const STALLED: Row = (
    "A reader that keeps up, alone and beside many that never read again; memory over time.",
    &["engine", "stalled readers", "after s"],
    &[Budget::most("KiB per reader", 64.0, &[])],
);
const CANCEL: Row = (
    "From sending a cancel to the close of the provider's connection, 200 live jobs.",
    &["engine", "cancelled", "live jobs"],
    &[Budget::most("p99 ms", 1_000.0, &[])],
);
const SATURATION: Row = (
    "Live jobs at so many tokens/s each in the usual window, a socket to each, more and more of them.",
    &["engine", "jobs", "tokens/s"],
    &[
        Budget::least("jobs per core", 250.0, &[("jobs", "200"), ("tokens/s", "100")]),
        Budget::most("tokens missing", 0.0, &[]),
    ],
);
const LATE: Row = (
    "A draft of 20 KB, and viewers that attach to it at 200 a second: from the moment one was due to its whole state.",
    &["engine", "joiners"],
    &[
        Budget::most("messages until the state", 2.0, &[]),
        Budget::most("Redis commands each", 0.01, &[("engine", "redis")]),
        Budget::most("Redis commands each", 0.01, &[("engine", "fleet")]),
    ],
);
const STORM: Row = (
    "Sockets that watch one job, all broken and coming back at once with their positions.",
    &["engine", "sockets"],
    &[Budget::most("not back", 0.0, &[])],
);
const BURST: Row = (
    "4,000 submissions in a second, room for 500 in line and 16 at work.",
    &["engine", "submissions"],
    &[
        Budget::most("accepted and not completed", 0.0, &[]),
        Budget::most("refused without a time to come again", 0.0, &[]),
    ],
);
const TENANTS: Row = (
    "A tenant with 600 jobs in line, and three that come behind it with 60 each; eight slots.",
    &["engine", "tenant", "jobs"],
    &[Budget::least("fairness index", 0.9, &[])],
);
const TAKEOVER: Row = (
    "A worker killed with a free one beside it: from the kill to the next change of the draft.",
    &["engine", "lease ms"],
    &[
        Budget::most("beyond the lease ms", 2_000.0, &[]),
        Budget::least("draft kept", 0.9, &[]),
    ],
);
const ROLLING: Row = (
    "Two gateways and two workers, each told to go and replaced, while jobs run and are watched.",
    &["engine", "jobs at a time"],
    &[
        Budget::most("lost", 0.0, &[]),
        Budget::most("other rules broken", 0.0, &[]),
    ],
);
const COMMANDS: Row = (
    "Commands that clients send to Redis for a token, heartbeats and polls included.",
    &["engine", "jobs", "tokens/s", "flush_ms"],
    &[
        Budget::most(
            "commands per token",
            0.35,
            &[("tokens/s", "100"), ("flush_ms", "33")],
        ),
        Budget::most(
            "commands per token",
            0.2,
            &[("tokens/s", "200"), ("flush_ms", "33")],
        ),
    ],
);
const ENGINE: Row = (
    "Queue and log alone, this process against Redis: so many jobs or logs at the same time.",
    &["engine", "what", "at a time"],
    &[Budget::least(
        "per Redis CPU s",
        20_000.0,
        &[("what", "fenced append"), ("at a time", "128")],
    )],
);
/// The version of the layout, and what tenants may have: there before the first job, too.
const LASTING_KEYS: f64 = 2.0;
const SOAK: Row = (
    "Jobs at a steady pace, forgotten soon behind their ends: memory and keys over time.",
    &["engine", "after s", "when"],
    &[
        Budget::most("not completed", 0.0, &[("when", "under load")]),
        Budget::most(
            "keys without an expiry",
            LASTING_KEYS,
            &[("when", "all forgotten"), ("engine", "redis")],
        ),
        Budget::most(
            "keys without an expiry",
            LASTING_KEYS,
            &[("when", "all forgotten"), ("engine", "fleet")],
        ),
    ],
);
