//! The names of all keys and channels. Nothing else makes one; the scripts get them from here.
//!
//! A shard's keys carry one hash tag, so that each step touches one slot. Which shard a job is in follows from its id.

use super::layout::LAYOUT;
use crate::job::JobId;

/// The names of one engine.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    shards: Vec<Vec<String>>,
    slots: Vec<u16>,
}

/// The keys of one job.
#[derive(Clone, Debug)]
pub(super) struct JobKeys {
    /// Hash: what is fixed, where it stands, where its log ends, record and snapshot.
    pub(super) job: String,
    /// String: the raw text of the running attempt.
    pub(super) raw: String,
    /// Stream: the entries behind the snapshot.
    pub(super) log: String,
    /// Channel: the entries as they are written.
    pub(super) live: String,
}

/// In the order in which the scripts take them apart (`lua/shard.lua`): keys of the shard, beginnings of others.
const NAMES: [&str; 31] = [
    "ready",
    "ring",
    "pace",
    "lease",
    "cancel",
    "wait",
    "ended",
    "sizes",
    "asked",
    WAKE,
    "unviewed",
    "given",
    "dead",
    "deadsizes",
    "back",
    "aside",
    "whose",
    "shares",
    PAUSED,
    "drain",
    "untold",
    "job:",
    "raw:",
    "log:",
    "line:",
    "name:",
    "live:",
    "view:",
    "left:",
    "run:",
    "own:",
];
const WAKE: &str = "wake";
const PAUSED: &str = "paused";
/// Slots of a Cluster.
pub(super) const SLOTS: u16 = 16_384;

impl Keys {
    pub(super) fn new(prefix: &str, shards: u32) -> Self {
        let names = |shard: u32| {
            let name = |name: &&str| format!("{{{prefix}:{shard}}}:{name}");
            NAMES.iter().map(name).collect()
        };
        let shards: Vec<Vec<String>> = (0..shards.max(1)).map(names).collect();
        let slot = |names: &Vec<String>| names.first().map_or(0, |name| slot_of(name));
        Self {
            prefix: prefix.to_owned(),
            slots: shards.iter().map(slot).collect(),
            shards,
        }
    }

    /// Hash: the version of this layout, and how many shards there are.
    pub(super) fn meta(prefix: &str) -> String {
        format!("{prefix}:meta")
    }

    /// Channel: hints to workers. Who hears it is a node of this layout.
    pub(super) fn control(&self) -> String {
        format!("{}:control:{LAYOUT}", self.prefix)
    }

    /// The same in the layout before.
    pub(super) fn control_before(prefix: &str) -> String {
        format!("{prefix}:control")
    }

    /// Zset, and channel of hints: words that hold for all nodes for a while.
    pub(super) fn notices(&self) -> String {
        format!("{{{}:notices}}", self.prefix)
    }

    /// Lists, and their slots: a token for each job that came into line.
    pub(super) fn wakes(&self) -> impl Iterator<Item = (u16, String)> {
        let name = |shard| format!("{{{}:{shard}}}:{WAKE}", self.prefix);
        (0..self.shards.len()).map(move |shard| (self.slots[shard], name(shard)))
    }

    /// The slot of a shard's keys.
    pub(super) fn slot(&self, shard: usize) -> u16 {
        self.slots[shard % self.slots.len()]
    }

    /// Set: tenants that are given no worker.
    pub(super) fn paused(&self, shard: usize) -> String {
        format!("{{{}:{shard}}}:{PAUSED}", self.prefix)
    }

    /// How many shards there are.
    pub(super) const fn count(&self) -> usize {
        self.shards.len()
    }

    /// A shard's part of a bound.
    pub(super) fn share(&self, all: usize) -> usize {
        all.div_ceil(self.count())
    }

    /// What the scripts of a shard are given.
    pub(super) fn shard(&self, shard: usize) -> &[String] {
        &self.shards[shard % self.shards.len()]
    }

    /// The shard of a job.
    pub(super) fn shard_of(&self, job: JobId) -> usize {
        self.place(&job.bits().to_be_bytes())
    }

    /// The shard of jobs with this idempotency key of a tenant: key and job must be in one.
    pub(super) fn shard_of_name(&self, tenant: &str, key: &str) -> usize {
        self.place(format!("{}:{tenant}:{key}", tenant.len()).as_bytes())
    }

    pub(super) fn job(&self, job: JobId) -> JobKeys {
        let (prefix, shard) = (&self.prefix, self.shard_of(job));
        let name = |kind: &str| format!("{{{prefix}:{shard}}}:{kind}:{job}");
        JobKeys {
            job: name("job"),
            raw: name("raw"),
            log: name("log"),
            live: name("live"),
        }
    }

    /// FNV-1a: the same in every version, for it decides where a job is found.
    fn place(&self, bytes: &[u8]) -> usize {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        usize::try_from(hash % self.shards.len() as u64).unwrap_or(0)
    }
}

/// The slot of a key in a Cluster: CRC-16 (XMODEM) of what is within its first braces, else of all of it.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag);
    let bytes = tag.filter(|tag| !tag.is_empty()).unwrap_or(key).bytes();
    let crc = bytes.fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// The job whose entries a channel carries.
pub(super) fn job_of(channel: &str) -> Option<JobId> {
    let (_, job) = channel.split_once("}:live:")?;
    job.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_callers_name_the_same_keys() -> Result<(), Box<dyn std::error::Error>> {
        let keys = Keys::new("p", 4);
        let id: JobId = "0193a4b2-7c31-7d5e-9a0f-3b1c5d7e9f02".parse()?;
        let names = keys.shard(keys.shard_of(id));
        let job = keys.job(id);
        assert_eq!(job.job, format!("{}{id}", names[21]));
        assert_eq!(job.raw, format!("{}{id}", names[22]));
        assert_eq!(job.log, format!("{}{id}", names[23]));
        assert_eq!(job.live, format!("{}{id}", names[26]));
        assert_eq!(keys.paused(keys.shard_of(id)), names[18]);
        let wake = keys.wakes().nth(keys.shard_of(id));
        assert_eq!(wake, Some((keys.slot(keys.shard_of(id)), names[9].clone())));
        assert_eq!(slot_of(&job.live), keys.slot(keys.shard_of(id)));
        assert_eq!(job_of(&job.live), Some(id));
        Ok(())
    }

    /// As the specification of Redis Cluster has them.
    #[test]
    fn slots_are_those_of_a_cluster() {
        let known = [
            ("123456789", 0x31c3),
            ("{user1000}.following", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
        ];
        for (key, slot) in known {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn where_a_job_is_never_changes() -> Result<(), Box<dyn std::error::Error>> {
        let keys = Keys::new("p", 16);
        let id: JobId = "0193a4b2-7c31-7d5e-9a0f-3b1c5d7e9f02".parse()?;
        assert_eq!((keys.shard_of(id), keys.shard_of_name("acme", "k")), (5, 14));
        Ok(())
    }
}
