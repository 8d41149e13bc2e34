//! Chunks that wait to be taken: their texts lie behind each other in one buffer that is used again.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::chunk::{Chunk, Finish};
use crate::job::Usage;

/// What the buffer keeps for the next chunks once all are taken; a large event does not hold its memory for long.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Chunks in the order of their coming.
#[derive(Debug, Default)]
pub struct Chunks {
    ready: VecDeque<Piece>,
    /// The texts of all that wait.
    text: String,
    /// How much of it was taken.
    taken: usize,
}

/// A chunk, its texts by their lengths.
#[derive(Debug)]
enum Piece {
    Said(Said, usize),
    Call {
        index: u32,
        id: Option<usize>,
        name: Option<usize>,
        arguments: usize,
    },
    Usage(Usage),
    Finish(Finish),
}

/// What is said beside calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Text,
    Reasoning,
    Refusal,
}

impl Chunks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Takes the first.
    pub fn take(&mut self) -> Option<Chunk<'_>> {
        let piece = self.ready.pop_front()?;
        let (text, taken) = (&self.text, &mut self.taken);
        let mut take = |length: usize| {
            let from = *taken;
            *taken += length;
            Cow::Borrowed(&text[from..*taken])
        };
        Some(match piece {
            Piece::Said(Said::Text, length) => Chunk::Text(take(length)),
            Piece::Said(Said::Reasoning, length) => Chunk::Reasoning(take(length)),
            Piece::Said(Said::Refusal, length) => Chunk::Refusal(take(length)),
            Piece::Call {
                index,
                id,
                name,
                arguments,
            } => Chunk::Call {
                index,
                id: id.map(&mut take),
                name: name.map(&mut take),
                arguments: take(arguments),
            },
            Piece::Usage(usage) => Chunk::Usage(usage),
            Piece::Finish(finish) => Chunk::Finish(finish),
        })
    }

    /// More that is said, as `write` writes it; nothing where that is empty.
    pub(super) fn said<E>(
        &mut self,
        what: Said,
        write: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.write(write)?;
        if length > 0 {
            self.ready.push_back(Piece::Said(what, length));
        }
        Ok(())
    }

    /// More of a call, its arguments as `write` writes them; nothing where nothing is told.
    pub(super) fn call<E>(
        &mut self,
        index: u32,
        id: Option<&str>,
        name: Option<&str>,
        write: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        self.forget_taken();
        let from = self.text.len();
        let mut told = |text: &str| {
            self.text.push_str(text);
            text.len()
        };
        let (id, name) = (id.map(&mut told), name.map(&mut told));
        let arguments = match self.write(write) {
            Ok(arguments) => arguments,
            Err(error) => {
                self.text.truncate(from);
                return Err(error);
            }
        };
        if id.is_some() || name.is_some() || arguments > 0 {
            self.ready.push_back(Piece::Call {
                index,
                id,
                name,
                arguments,
            });
        }
        Ok(())
    }

    /// What the answer cost.
    pub(super) fn usage(&mut self, usage: Usage) {
        self.ready.push_back(Piece::Usage(usage));
    }

    /// The answer is over.
    pub(super) fn finish(&mut self, finish: Finish) {
        self.ready.push_back(Piece::Finish(finish));
    }

    /// The length of what `write` appends; of what could not be written whole, nothing stays.
    fn write<E>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<usize, E> {
        self.forget_taken();
        let from = self.text.len();
        let written = write(&mut self.text);
        if written.is_err() {
            self.text.truncate(from);
        }
        written.map(|()| self.text.len() - from)
    }

    /// Begins the buffer anew once nothing in it waits.
    fn forget_taken(&mut self) {
        if self.taken == self.text.len() {
            self.text.clear();
            self.text.shrink_to(KEPT_BYTES_MAX);
            self.taken = 0;
        }
    }
}
