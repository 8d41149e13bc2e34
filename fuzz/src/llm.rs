//! The readers of models' answers, without the HTTP around them.

#![allow(
    dead_code,
    unused_imports,
    reason = "what providers are asked is not read here"
)]

#[path = "../../src/llm/anthropic/mod.rs"]
mod anthropic;
#[path = "../../src/llm/body.rs"]
mod body;
#[path = "../../src/llm/chunk.rs"]
mod chunk;
#[path = "../../src/llm/chunks.rs"]
mod chunks;
#[path = "../../src/llm/complaint.rs"]
mod complaint;
#[path = "../../src/llm/few.rs"]
mod few;
#[path = "../../src/llm/gathered.rs"]
mod gathered;
#[path = "../../src/llm/gemini/mod.rs"]
mod gemini;
#[path = "../../src/llm/kind.rs"]
mod kind;
#[path = "../../src/llm/lines.rs"]
mod lines;
#[path = "../../src/llm/ollama/mod.rs"]
mod ollama;
#[path = "../../src/llm/openai/mod.rs"]
mod openai;
#[path = "../../src/llm/reader.rs"]
mod reader;
#[path = "../../src/llm/request.rs"]
mod request;
#[path = "../../src/llm/responses/mod.rs"]
mod responses;
#[path = "../../src/llm/sse.rs"]
mod sse;
#[path = "../../src/llm/text.rs"]
mod text;
#[path = "../../src/llm/turns.rs"]
mod turns;

pub use chunk::{Chunk, LlmError};
pub use chunks::Chunks;
pub use kind::Kind;
pub use reader::{Reader, ReaderLimits};
