//! Who may come in, as what, and how often: API keys with their tenants and scopes, token buckets, client addresses.
//!
//! Pure: the time and what a client showed go in, an answer comes out.

mod address;
mod door;
mod expiry;
mod key;
mod pace;
mod scope;

pub use self::address::{BadNetwork, Network, client, group};
pub use self::door::{Access, Identity, KeyFault, Unchanged, Unknown};
pub use self::expiry::{BadExpiry, Expiry};
pub use self::key::{ApiKey, BadHash, KeyHash, NewKey, TENANT_BYTES_MAX, TOKEN_BYTES_MAX, Token};
pub use self::pace::{Counts, Pace, Paces};
pub use self::scope::{BadScope, Scope, Scopes};
