//! What is told beside the value, in the order of its coming, until it is written.

use std::collections::VecDeque;

use crate::event::{Note, NoteKind};
use crate::job::AttemptError;

/// Notes that wait to be written, pieces of one kind joined.
#[derive(Default)]
pub(super) struct Notes {
    /// Those that came before the changes which wait to be flushed.
    before: VecDeque<Note>,
    /// Those that came behind them.
    behind: VecDeque<Note>,
    /// Bytes of both together.
    bytes: usize,
}

impl Notes {
    /// Takes a note in; `behind` where changes of the draft wait that came before it. What is over the bound of
    /// `bytes_max` is dropped.
    pub(super) fn push(&mut self, kind: NoteKind, text: &str, behind: bool, bytes_max: usize) {
        let room = bytes_max.saturating_sub(self.bytes);
        let text = &text[..text.floor_char_boundary(room)];
        if text.is_empty() {
            return;
        }
        self.bytes += text.len();
        let queue = if behind {
            &mut self.behind
        } else {
            &mut self.before
        };
        match queue.back_mut() {
            Some(last) if last.kind == kind => last.text.push_str(text),
            _ => queue.push_back(Note {
                kind,
                text: text.to_owned(),
                errors: Vec::new(),
            }),
        }
    }

    /// Takes in what is wrong with something that has just closed, and is told behind it. What is over the bound of
    /// `bytes_max` is dropped: the judgement at the end finds it again.
    pub(super) fn invalid(&mut self, errors: Vec<AttemptError>, bytes_max: usize) {
        let line = |error: &AttemptError| format!("invalid: {} {}", error.path, error.message);
        let text = errors.iter().map(line).collect::<Vec<_>>().join("\n");
        if self.bytes + text.len() > bytes_max {
            return;
        }
        self.bytes += text.len();
        self.behind.push_back(Note {
            kind: NoteKind::Invalid,
            text,
            errors,
        });
    }

    /// The next note that comes before the draft's changes.
    pub(super) fn pop(&mut self) -> Option<Note> {
        let mut note = self.before.pop_front()?;
        self.bytes = self.bytes.saturating_sub(note.text.len());
        if note.kind == NoteKind::Warning {
            note.text.truncate(note.text.trim_end().len());
        }
        Some(note)
    }

    /// The draft's changes are on their way; whether notes follow them.
    pub(super) fn go_on(&mut self) -> bool {
        std::mem::swap(&mut self.before, &mut self.behind);
        !self.before.is_empty()
    }
}
