//! The steps: one script each, with the fragments it needs put in front. They are called by their digest, and sent
//! whole where the server does not know it. By which word entries are published, and whether ends are
//! withheld, is put before them.

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
    pub(super) govern: Script,
    pub(super) pause: Script,
    pub(super) forward: Script,
    pub(super) mark: Script,
    pub(super) tell: Script,
    pub(super) untold: Script,
    pub(super) there: Script,
    pub(super) notice: Script,
    pub(super) notices: Script,
}

/// A step of its own file behind fragments.
macro_rules! step {
    ($head:expr, $($file:literal)+) => {
        Script::new(&format!("{}\n{}", $head, concat!($(include_str!(concat!("lua/", $file, ".lua")), "\n"),+)))
    };
}

impl Scripts {
    /// Steps of an engine whose entries are published so, and whose ends are withheld until they are held by others, or not.
    pub(super) fn new(reach: Reach, withheld: bool) -> Self {
        let word = match reach {
            Reach::All => "PUBLISH",
            Reach::Shard => "SPUBLISH",
        };
        let head = format!("local PUBLISH, WITHHELD = '{word}', {withheld}");
        Self {
            append: step!(head, "log" "append"),
            read: step!(head, "read"),
            submit: step!(head, "log" "shard" "line" "submit"),
            claim: step!(head, "log" "shard" "line" "claim"),
            extend: step!(head, "log" "shard" "extend"),
            defer: step!(head, "log" "shard" "line" "settle" "defer"),
            fail: step!(head, "log" "shard" "line" "settle" "fail"),
            finish: step!(head, "log" "shard" "line" "settle" "finish"),
            cancel: step!(head, "log" "shard" "line" "settle" "cancel"),
            overdue: step!(head, "log" "shard" "overdue"),
            reap: step!(head, "log" "shard" "line" "settle" "reap"),
            promote: step!(head, "log" "shard" "line" "promote"),
            stats: step!(head, "log" "shard" "stats"),
            look: step!(head, "log" "shard" "look"),
            rule: step!(head, "log" "shard" "line" "settle" "rule"),
            viewed: step!(head, "log" "shard" "viewed"),
            unviewed: step!(head, "log" "shard" "unviewed"),
            aside: step!(head, "log" "shard" "line" "aside"),
            dead: step!(head, "log" "shard" "dead"),
            govern: step!(head, "log" "shard" "line" "govern"),
            pause: step!(head, "log" "shard" "line" "pause"),
            forward: step!(head, "log" "shard" "line" "forward"),
            mark: step!(head, "log" "shard" "mark"),
            tell: step!(head, "log" "shard" "tell"),
            untold: step!(head, "log" "shard" "untold"),
            there: step!(head, "log" "shard" "there"),
            notice: step!(head, "notice"),
            notices: step!(head, "notices"),
        }
    }
}
