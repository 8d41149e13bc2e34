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
//! The defaults are those of the parts' own `Options`. A new option is one line in `keys`.

mod fault;
mod field;
mod file;
mod init;
mod key;
mod keys;
mod layers;
mod log;
mod rules;
mod variables;

use crate::app::Options;
use crate::llm::OpenAiOptions;

pub use self::fault::{Fault, Origin, Source};
pub use self::init::init;
pub use self::key::Key;
pub use self::keys::{KEYS, SECTIONS};
pub use self::layers::{FILE, FILE_VARIABLE, Layers, Loaded, Setting, load};
pub use self::log::LogOptions;

/// Where OpenAI itself is.
const OPENAI: (&str, &str) = ("openai", "https://api.openai.com/v1");

/// The options of the whole program.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Those of the parts.
    pub parts: Options,
    /// What is logged.
    pub log: LogOptions,
}

impl Config {
    /// The provider of this name, made with every default if it is not there.
    fn provider(&mut self, name: &str) -> &mut OpenAiOptions {
        let all = &mut self.parts.providers.openai;
        let at = all.iter().position(|one| one.name == name).unwrap_or_else(|| {
            let base_url = if name == OPENAI.0 { OPENAI.1 } else { "" };
            all.push(OpenAiOptions::new(name, base_url));
            all.len() - 1
        });
        &mut all[at]
    }
}
