//! The steps: one script each, with the fragments it needs put in front. They are called by their digest, and sent
//! whole where the server does not know it. By which word entries are published is put before them.

use redis::Script;

use super::live::Reach;

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
    pub(super) notice: Script,
    pub(super) notices: Script,
}

/// A step of its own file behind fragments.
macro_rules! step {
    ($word:expr, $($file:literal)+) => {
        Script::new(&format!("local PUBLISH = '{}'\n{}", $word, concat!($(include_str!(concat!("lua/", $file, ".lua")), "\n"),+)))
    };
}

impl Scripts {
    pub(super) fn new(reach: Reach) -> Self {
        let word = match reach {
            Reach::All => "PUBLISH",
            Reach::Shard => "SPUBLISH",
        };
        Self {
            append: step!(word, "log" "append"),
            read: step!(word, "read"),
            submit: step!(word, "log" "shard" "submit"),
            claim: step!(word, "log" "shard" "claim"),
            extend: step!(word, "log" "shard" "extend"),
            defer: step!(word, "log" "shard" "settle" "defer"),
            fail: step!(word, "log" "shard" "settle" "fail"),
            finish: step!(word, "log" "shard" "settle" "finish"),
            cancel: step!(word, "log" "shard" "settle" "cancel"),
            overdue: step!(word, "log" "shard" "overdue"),
            reap: step!(word, "log" "shard" "settle" "reap"),
            promote: step!(word, "log" "shard" "promote"),
            stats: step!(word, "log" "shard" "stats"),
            look: step!(word, "log" "shard" "look"),
            rule: step!(word, "log" "shard" "settle" "rule"),
            viewed: step!(word, "log" "shard" "viewed"),
            unviewed: step!(word, "log" "shard" "unviewed"),
            aside: step!(word, "log" "shard" "aside"),
            dead: step!(word, "log" "shard" "dead"),
            notice: step!(word, "notice"),
            notices: step!(word, "notices"),
        }
    }
}
