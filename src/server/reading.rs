//! Long texts of clients are read beside the threads that serve connections, few at a time: a socket waits for its own
//! message and no other one for it.

use std::sync::Arc;

use super::ask::{Refusal, refusal};
use super::node::Node;
use crate::wire::Code;

/// Reads a text: here if it is short, else beside, in its turn.
pub(super) async fn read<T: Send + 'static>(
    node: &Node,
    text: String,
    read: impl FnOnce(&str) -> T + Send + 'static,
) -> Result<T, Refusal> {
    if is_short(node, &text) {
        return Ok(read(&text));
    }
    let lost = || refusal(Code::Internal, "the request could not be read");
    let turn = Arc::clone(&node.readings).acquire_owned().await;
    let turn = turn.map_err(|_| lost())?;
    let reading = node.parts.runtime.spawn_blocking(move || {
        let _turn = turn;
        read(&text)
    });
    reading.await.map_err(|error| {
        tracing::error!(%error, "a text could not be read");
        lost()
    })
}

/// Whether a text is read where it comes.
pub(super) fn is_short(node: &Node, text: &str) -> bool {
    text.len() <= node.options.inline_bytes_max
}
