//! The limits of a socket and its messages, as `welcome` tells them.

use serde::{Deserialize, Serialize};

/// The deepest that a message may be let nest: what the JSON reader takes.
pub const DEPTH_MAX: u32 = 127;

/// What a client must keep to, and what it is kept to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of one message to the server, fragments together.
    pub message_bytes_max: u64,
    /// Depth of nesting of a message to the server.
    pub depth_max: u32,
    /// Values in a message to the server; an empty list or object may count twice.
    pub values_max: u32,
    /// Jobs that one socket watches at a time.
    pub viewers_max: u32,
    /// Requests of one socket that wait for an answer.
    pub pending_max: u32,
    /// Messages a second from one socket, as a mean; twice as many in a burst.
    pub messages_per_second_max: u32,
    /// Bytes of a snapshot's text in one message; a longer one comes in parts.
    pub snapshot_part_bytes: u64,
    /// Bytes up to which an end carries the value to patch viewers too, who else get its hash.
    pub end_value_bytes: u64,
    /// Bytes of a `ref`.
    pub ref_bytes_max: u32,
    /// Bytes of an idempotency key.
    pub idempotency_key_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            depth_max: DEPTH_MAX,
            values_max: 65_536,
            viewers_max: 64,
            pending_max: 32,
            messages_per_second_max: 50,
            snapshot_part_bytes: 128 * 1024,
            end_value_bytes: 1024,
            ref_bytes_max: 128,
            idempotency_key_bytes_max: 256,
        }
    }
}
