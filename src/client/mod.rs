//! What the command line speaks with: a viewer of the protocol.
//!
//! [`Connection`] is one socket. [`Follower`] is what a viewer holds of one job: sans-IO, it folds the messages by the
//! house's one merge rule and counts what it saw. [`Following`] puts both together and comes back by itself, with
//! its position, when the socket is lost.

mod connection;
mod error;
mod follower;
mod following;
mod http;
mod received;
mod tally;

pub use connection::Connection;
pub use error::ClientError;
pub use follower::{FollowError, Follower, Took};
pub use following::{Client, Following, Patience, Update};
pub use received::Received;
pub use tally::Tally;
