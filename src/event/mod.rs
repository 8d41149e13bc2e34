//! The log of a job: entries, positions, lineage, and the one merge rule.

mod codec;
mod end;
mod entry;
mod json_value;
mod lineage;
pub mod patch;
mod places;
mod position;
mod record;
mod snapshot;

pub use codec::{BadEntry, decode, encode};
pub(crate) use end::durable;
pub use end::{End, EndError, Timings};
pub use entry::{AttemptBegins, Entry, Event, Hook, HookKind, Note, NoteKind, StatusChange};
pub use lineage::{LINEAGE_MAX, Lineage, Opening, Resume};
pub use patch::PatchWriter;
pub use places::Places;
pub use position::{BadPosition, Epoch, Position};
pub use record::{Ended, LogEnd, Record};
pub use snapshot::{Fold, Unfoldable};
