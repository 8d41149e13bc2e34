//! The floor under `livedraft parse --quiet --chunks`: reads the same lines, puts the chunks together, parses once.
//!
//! `cargo run --release --example one_shot < chunks.jsonl` says whether the text is JSON. What the filter does beside
//! it, a draft and its changes behind every chunk, is measured against this (docs/performance.md).

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut text = String::new();
    for line in io::stdin().lock().lines() {
        let chunk: String = serde_json::from_str(&line?)?;
        text.push_str(&chunk);
    }
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let kind = if value.is_object() {
        "an object"
    } else {
        "no object"
    };
    writeln!(io::stdout(), "{} bytes, {kind}", text.len())
}
