//! The wire formats of the vendors: what is read of their answers, what they are asked, and what their faults become.
#![allow(clippy::unwrap_used)]

mod asked;
mod fault_table;
mod faults;
mod fixtures;
mod jobs;
mod modes;
mod page;

use std::sync::Arc;

use livedraft::llm::{Kind, Provider, RemoteOptions};

use crate::llm_openai::server::{Act, Server, options, provider};

/// The head of a stream of this kind that ends by closing.
fn head(kind: Kind) -> String {
    let media = if kind == Kind::Ollama {
        "application/x-ndjson"
    } else {
        "text/event-stream; charset=utf-8"
    };
    format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\nconnection: close\r\n\r\n")
}

/// A server's whole answer.
fn stream_of(kind: Kind, body: &[u8]) -> Act {
    Act {
        pieces: vec![head(kind).into(), body.into()],
        hold: false,
    }
}

fn options_of(kind: Kind, server: &Server) -> RemoteOptions {
    RemoteOptions {
        kind,
        ..options(&server.base)
    }
}

fn provider_of(kind: Kind, server: &Server) -> Arc<Provider> {
    provider(options_of(kind, server))
}
