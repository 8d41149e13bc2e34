//! One configuration for the whole program.
//!
//! ```text
//!  defaults  <  file  <  environment  <  flags        sources, each a list of what it says (`Saying`)
//!      └────────┴───────────┴─────────────┘
//!                      ▼
//!      keys: one table of names, units, bounds and places
//!                      ▼
//!      Config (the parts' own options)  +  where each value came from  +  all faults at once
//! ```
//!
//! The defaults are those of the parts' own `Options`. A new option is one entry in `keys`.

mod fault;
mod field;
mod file;
mod init;
mod key;
mod keys;
mod layers;
mod list;
mod log;
mod money;
mod named;
mod rules;
mod secret;
mod variables;

use crate::app::Options;

pub use self::fault::{Fault, Origin, Source};
pub use self::init::init;
pub use self::key::Key;
pub use self::keys::{KEYS, SECTIONS};
pub use self::layers::{FILE, FILE_VARIABLE, Layers, Loaded, Setting, load};
pub use self::log::{LogFormat, LogOptions};

/// The options of the whole program.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Those of the parts.
    pub parts: Options,
    /// What is logged.
    pub log: LogOptions,
}
