//! The search for the value in Markdown: where it may begin it is read on trial, and a false start is dropped.

use super::error::ParseErrorKind;
use super::machine::{Machine, State};
use super::markdown::Markdown;
use super::notes::Note;
use super::options::RootKinds;
use super::value::Value;

/// The search for the beginning of the value.
pub(super) struct Search {
    markdown: Markdown,
    /// The bytes of a beginning that is not certain yet, and the offset of its first.
    begun: Vec<u8>,
    begun_at: usize,
    /// Whether the machine reads, surely or on trial.
    reads: bool,
    /// The beginning is certain: something of the value stands.
    pub(super) certain: bool,
    /// The first empty container that stood in prose. It is the value only if nothing else turns out to be one.
    empty: Option<Value>,
    /// Bytes that were read again as prose.
    reread: usize,
}

/// A piece of text that is read again as prose.
struct Again {
    base: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl Search {
    pub(super) fn new(kinds: RootKinds) -> Self {
        Self {
            markdown: Markdown::new(kinds),
            begun: Vec::new(),
            begun_at: 0,
            reads: false,
            certain: false,
            empty: None,
            reread: 0,
        }
    }

    /// What was skipped since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        self.markdown.notes.take()
    }

    /// The text is over, and with it the open note.
    pub(super) fn end_notes(&mut self) {
        self.markdown.finish();
    }

    /// The text is over: where no value has begun, an empty one that stood in prose was meant.
    pub(super) fn finish(&mut self, machine: &mut Machine) {
        self.end_notes();
        let nothing = !self.reads && machine.state != State::Failed;
        if let Some(empty) = self.empty.as_ref().filter(|_| nothing) {
            machine.take_whole(empty.clone());
        }
    }

    /// Reads on, skipping what is no value; a false start is dropped and its bytes are skipped, too.
    pub(super) fn read(&mut self, machine: &mut Machine, reread_max: usize, base: usize, bytes: &[u8]) {
        // A stack instead of recursion: a false start may hold further ones.
        let mut again: Vec<Again> = Vec::new();
        let mut at = 0;
        while machine.state != State::Failed {
            let false_start = match again.pop() {
                Some(piece) if piece.at == piece.bytes.len() => None,
                Some(mut piece) => {
                    let (read, false_start) =
                        self.read_some(machine, piece.base + piece.at, &piece.bytes[piece.at..]);
                    piece.at += read;
                    again.push(piece);
                    false_start
                }
                None if at == bytes.len() => return,
                None => {
                    let (read, false_start) = self.read_some(machine, base + at, &bytes[at..]);
                    at += read;
                    false_start
                }
            };
            let Some(piece) = false_start else { continue };
            self.reread += piece.bytes.len();
            if self.reread > reread_max {
                machine.fail(
                    ParseErrorKind::FalseStartsLimit,
                    None,
                    Some(reread_max),
                    piece.base,
                );
                return;
            }
            again.push(piece);
        }
    }

    /// Reads until the end of the slice or a false start; says how far it came.
    fn read_some(&mut self, machine: &mut Machine, base: usize, bytes: &[u8]) -> (usize, Option<Again>) {
        let mut at = 0;
        if !self.reads {
            at = self.markdown.skip(bytes);
            if at == bytes.len() {
                return (at, None);
            }
            self.reads = true;
            self.begun_at = base + at;
        }
        let read = at + machine.feed(base + at, &bytes[at..]);
        // `{}` in the middle of a sentence is more often an example than the answer.
        let empty = machine.empty_root().filter(|_| self.markdown.is_in_prose());
        self.certain = self.certain || (machine.is_certain() && empty.is_none());
        if self.certain {
            self.begun = Vec::new();
            return (bytes.len(), None);
        }
        self.begun.extend_from_slice(&bytes[at..read]);
        if machine.state != State::Failed && empty.is_none() {
            return (read, None);
        }
        if let Some(empty) = empty {
            self.empty.get_or_insert_with(|| empty.clone());
        }
        machine.restart();
        self.reads = false;
        let begun = std::mem::take(&mut self.begun);
        // A scalar may fail at its very first byte, which is then still to be read.
        let Some((first, rest)) = begun.split_first() else {
            self.markdown.refuse(bytes[at]);
            return (at + 1, None);
        };
        self.markdown.refuse(*first);
        let piece = Again {
            base: self.begun_at + 1,
            bytes: rest.to_vec(),
            at: 0,
        };
        (read, Some(piece))
    }
}
