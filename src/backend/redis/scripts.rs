//! The steps: one script each, with the fragments it needs put in front. They are called by their digest, and sent
//! whole where the server does not know it.

use redis::Script;

/// All steps.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) read: Script,
    pub(super) submit: Script,
    pub(super) claim: Script,
    pub(super) extend: Script,
    pub(super) defer: Script,
    pub(super) fail: Script,
    pub(super) finish: Script,
    pub(super) cancel: Script,
    pub(super) overdue: Script,
    pub(super) reap: Script,
    pub(super) promote: Script,
    pub(super) stats: Script,
    pub(super) look: Script,
    pub(super) rule: Script,
    pub(super) viewed: Script,
    pub(super) unviewed: Script,
    pub(super) aside: Script,
    pub(super) dead: Script,
    pub(super) govern: Script,
    pub(super) pause: Script,
    pub(super) notice: Script,
    pub(super) notices: Script,
}

/// A step of its own file behind fragments.
macro_rules! step {
    ($($file:literal)+) => { Script::new(concat!($(include_str!(concat!("lua/", $file, ".lua")), "\n"),+)) };
}

pub(super) use step;

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: step!("log" "append"),
            read: step!("read"),
            submit: step!("log" "shard" "line" "submit"),
            claim: step!("log" "shard" "line" "claim"),
            extend: step!("log" "shard" "extend"),
            defer: step!("log" "shard" "line" "settle" "defer"),
            fail: step!("log" "shard" "line" "settle" "fail"),
            finish: step!("log" "shard" "line" "settle" "finish"),
            cancel: step!("log" "shard" "line" "settle" "cancel"),
            overdue: step!("log" "shard" "overdue"),
            reap: step!("log" "shard" "line" "settle" "reap"),
            promote: step!("log" "shard" "line" "promote"),
            stats: step!("log" "shard" "stats"),
            look: step!("log" "shard" "look"),
            rule: step!("log" "shard" "line" "settle" "rule"),
            viewed: step!("log" "shard" "viewed"),
            unviewed: step!("log" "shard" "unviewed"),
            aside: step!("log" "shard" "line" "aside"),
            dead: step!("log" "shard" "dead"),
            govern: step!("log" "shard" "line" "govern"),
            pause: step!("log" "shard" "line" "pause"),
            notice: step!("notice"),
            notices: step!("notices"),
        }
    }
}
