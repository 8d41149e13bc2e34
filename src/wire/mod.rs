//! The protocol: client and server messages, codes, limits. `proto/PROTOCOL.md` is its home.

mod attempts;
mod client;
mod code;
mod limits;
pub mod proto;
mod query;
mod server;
mod snapshot;
mod strict;

pub use attempts::{AttemptNow, JobAttempts};
pub use client::{
    Auth, BadMessage, Bigints, ClientMessage, Deliver, EMPTY_KEY, Form, JobAccept, JobAttach, JobCreate,
    JobReask, Named, RulingError, Unseen, decode_accept, decode_reask, decode_request,
};
pub use code::{Close, Code, NO_SUCH_JOB};
pub use limits::{DEPTH_MAX, Limits};
pub use query::decode_events_query;
pub use server::{
    ErrorMessage, Goodbye, JobAccepted, JobAttached, JobCancelling, JobDegraded, JobDetached, JobEnd,
    JobEvent, JobPatch, JobRuled, JobSnapshot, JobStateNow, Patch, ServerMessage, UnknownMessage, Welcome,
};
pub use snapshot::{Assembly, BadParts, snapshot_parts};

/// The subprotocol of JSON text frames.
pub const SUBPROTOCOL_JSON: &str = "livedraft.v1.json";
