//! What the Markdown front end skipped, kept for viewers who ask for it.

/// What the Markdown front end skipped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// What it was.
    pub kind: NoteKind,
    /// The next piece of it, without the marks around it.
    pub text: String,
}

/// What was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoteKind {
    /// A think block.
    Reasoning,
    /// Prose, and code in other languages.
    Text,
}

/// Collects notes: pieces of one kind run on, blanks around them are dropped.
#[derive(Debug, Default)]
pub(super) struct Notes {
    whole: Vec<Note>,
    open: Option<NoteKind>,
    raw: Vec<u8>,
    /// How many of its first bytes are known as blanks that wait for what follows.
    blanks: usize,
}

impl Notes {
    pub(super) fn push(&mut self, kind: NoteKind, bytes: &[u8]) {
        if self.open.is_some_and(|open| open != kind) {
            self.seal();
        }
        if self.open.is_none() && bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.open = Some(kind);
        self.raw.extend_from_slice(bytes);
    }

    /// Ends the open note.
    pub(super) fn seal(&mut self) {
        let text = String::from_utf8_lossy(&self.raw).trim_end().to_owned();
        self.raw.clear();
        self.blanks = 0;
        let Some(kind) = self.open.take() else { return };
        if !text.is_empty() {
            self.whole.push(Note { kind, text });
        }
    }

    /// Everything collected since the last call; of a note that goes on, what is certain.
    pub(super) fn take(&mut self) -> Vec<Note> {
        let (certain, blanks) = certain(&self.raw[self.blanks..]);
        if let Some(kind) = self.open.filter(|_| certain > 0) {
            let certain = self.blanks + certain;
            let text = String::from_utf8_lossy(&self.raw[..certain]).into_owned();
            self.raw.drain(..certain);
            self.whole.push(Note { kind, text });
            self.blanks = 0;
        }
        self.blanks += blanks;
        std::mem::take(&mut self.whole)
    }
}

/// How many bytes of a note can be told, and how many behind them are blanks, which may turn out to be its last. A
/// sequence that was cut may still become whole, and is neither.
fn certain(raw: &[u8]) -> (usize, usize) {
    let Some(last) = raw.utf8_chunks().last() else {
        return (0, 0);
    };
    let rest = last.invalid();
    let is_cut = std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none());
    if !rest.is_empty() && !is_cut {
        return (raw.len(), 0);
    }
    let valid = last.valid();
    let blanks = valid.len() - valid.trim_end().len();
    (raw.len() - rest.len() - blanks, blanks)
}
