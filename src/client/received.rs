//! One message as it came.

use crate::wire::{ServerMessage, UnknownMessage};

/// A message of the server, and the text it was read from.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message.
    pub message: ServerMessage,
    /// The text frame; a patch is folded from it, and its length is what the viewer was sent.
    pub text: String,
}

impl Received {
    /// Reads a text frame.
    ///
    /// # Errors
    /// Text that is no message, or a `type` that this version does not know (clients skip it).
    pub fn read(text: impl Into<String>) -> Result<Self, UnknownMessage> {
        let text = text.into();
        let message = ServerMessage::decode(&text)?;
        Ok(Self { message, text })
    }

    /// Bytes of the text.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}
