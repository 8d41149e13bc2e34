//! The subcommands of `livedraft`, each a function over streams that are handed in.

mod chunk;
pub mod parse;
