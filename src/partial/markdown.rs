//! The Markdown front end: finds where the value begins among think blocks, prose and fences, byte by byte.
//!
//! It only finds the beginning. The value ends by its own bracket, never by a fence: fences inside strings are
//! data. A beginning that turns out to be none (a bracket in prose) is a false start, and its bytes are read again
//! as prose.

use super::notes::{NoteKind, Notes};
use super::options::RootKinds;

/// The marks around think blocks. The closing ones are also skipped where no block is open: some models leave the
/// opening one to their template.
const TAGS: [&[u8]; 4] = [b"<think>", b"<thinking>", b"</think>", b"</thinking>"];
/// Fences of these languages may hold the value; so may one that names none, and one with `json` anywhere in its name
/// (`application/json`, `jsonc`, `json:answer`).
const LANGUAGES: [&[u8]; 8] = [
    b"javascript",
    b"js",
    b"text",
    b"txt",
    b"plain",
    b"plaintext",
    b"output",
    b"response",
];
/// Bytes of a language's name that are looked at.
const LANGUAGE_BYTES_MAX: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Where a value may begin.
    Prose,
    /// In a run of backticks, or of tildes.
    Ticks(usize),
    /// Behind the marks that opened a fence: its language.
    Language,
    /// In a fence of another language, with so many marks of its end seen.
    Code(usize),
    /// In a think block.
    Think,
    /// In what may become a tag, of a think block's end or not.
    Tag {
        /// Whether a think block is open.
        thinking: bool,
    },
}

#[derive(Debug)]
pub(super) struct Markdown {
    kinds: RootKinds,
    place: Place,
    /// Marks that opened the fence; 0 outside of one.
    fence: usize,
    /// What they are, or those of the run that is read: a backtick or a tilde.
    mark: u8,
    /// Only blanks since the line began.
    line_is_bare: bool,
    /// The fence is still on the line where it was opened.
    on_first_line: bool,
    /// Whether the tag that is read began its line: one in a sentence only speaks of tags.
    tag_opens: bool,
    /// The tag or language so far.
    word: Vec<u8>,
    /// Only blanks since the text or the fence began.
    fresh: bool,
    /// How much of a byte order mark has come; past its length once something else did.
    order_mark: usize,
    pub(super) notes: Notes,
}

impl Markdown {
    pub(super) fn new(kinds: RootKinds) -> Self {
        Self {
            kinds,
            place: Place::Prose,
            fence: 0,
            mark: b'`',
            line_is_bare: true,
            on_first_line: false,
            tag_opens: true,
            word: Vec::new(),
            fresh: true,
            order_mark: 0,
            notes: Notes::default(),
        }
    }

    /// Skips to where a value may begin; gives how many bytes were skipped, all of them if none begins.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            // A byte that ends one place is looked at again in the next: at most four times.
            while !self.step(byte) {}
            if self.place == Place::Prose && self.begins(byte) {
                return at;
            }
            let place = self.place;
            self.pass(byte);
            self.follow_line(byte, place);
        }
        bytes.len()
    }

    /// Where the line stands behind a byte that was read in `place`; marks around think blocks count as blanks.
    fn follow_line(&mut self, byte: u8, place: Place) {
        if byte == b'\n' {
            self.line_is_bare = true;
            self.on_first_line = false;
        } else {
            // An order mark is none.
            let is_blank = byte.is_ascii_whitespace() || (self.fresh && place == Place::Prose);
            self.line_is_bare &= is_blank || matches!(place, Place::Tag { .. });
        }
    }

    /// The byte where a value seemed to begin is prose after all.
    pub(super) fn refuse(&mut self, byte: u8) {
        self.fresh = false;
        self.line_is_bare = false;
        self.notes.push(NoteKind::Text, &[byte]);
    }

    /// Whether what is read stands behind other text and in no fence.
    pub(super) fn is_in_prose(&self) -> bool {
        self.fence == 0 && !self.fresh
    }

    /// The text is over: what may have become a mark is none, and the open note is whole.
    pub(super) fn finish(&mut self) {
        match self.place {
            Place::Ticks(count) => self.end_ticks(count),
            Place::Tag { thinking } => {
                let kind = if thinking {
                    NoteKind::Reasoning
                } else {
                    NoteKind::Text
                };
                self.notes.push(kind, &std::mem::take(&mut self.word));
            }
            Place::Prose | Place::Language | Place::Code(_) | Place::Think => {}
        }
        self.notes.seal();
    }

    /// Whether a value that fits the root's types may begin with this byte here.
    fn begins(&self, byte: u8) -> bool {
        let kinds = &self.kinds;
        // A scalar is hard to tell from prose: it has to come first, alone or in a fence.
        let scalar = self.fresh && (self.fence > 0 || !(kinds.object || kinds.array));
        match byte {
            b'{' => kinds.object,
            b'[' => kinds.array,
            b'"' => scalar && kinds.string,
            b'-' | b'0'..=b'9' => scalar && kinds.number,
            b't' | b'f' => scalar && kinds.boolean,
            b'n' => scalar && kinds.null,
            _ => false,
        }
    }

    /// Moves to the place the byte belongs to; false if the byte must be looked at again from there.
    fn step(&mut self, byte: u8) -> bool {
        match self.place {
            Place::Prose if self.marks_fence(byte) => {
                self.mark = byte;
                self.place = Place::Ticks(0);
            }
            Place::Prose if byte == b'<' => self.begin_tag(false),
            Place::Think if byte == b'<' => self.begin_tag(true),
            Place::Prose | Place::Think => {}
            Place::Ticks(count) if byte != self.mark => {
                self.end_ticks(count);
                return false;
            }
            Place::Language if self.ends_language(byte) => {
                self.end_language();
                return false;
            }
            Place::Code(seen) if byte != self.mark && seen > 0 => {
                self.notes.push(NoteKind::Text, &[self.mark].repeat(seen));
                self.line_is_bare = false;
                self.place = Place::Code(0);
            }
            Place::Tag { thinking } if !self.extends_tag(byte) => {
                self.line_is_bare = false;
                let kind = if thinking {
                    NoteKind::Reasoning
                } else {
                    NoteKind::Text
                };
                self.fresh &= thinking;
                self.notes.push(kind, &std::mem::take(&mut self.word));
                self.place = if thinking { Place::Think } else { Place::Prose };
                return false;
            }
            Place::Ticks(_) | Place::Language | Place::Code(_) | Place::Tag { .. } => {}
        }
        true
    }

    /// Takes the byte in.
    fn pass(&mut self, byte: u8) {
        match self.place {
            Place::Prose => self.pass_prose(byte),
            Place::Ticks(count) => self.place = Place::Ticks(count + 1),
            // The name may stand behind blanks (CommonMark §4.5).
            Place::Language if self.word.len() == LANGUAGE_BYTES_MAX || byte.is_ascii_whitespace() => {}
            Place::Language => self.word.push(byte.to_ascii_lowercase()),
            Place::Code(seen)
                if byte == self.mark && (seen > 0 || self.line_is_bare || self.on_first_line) =>
            {
                self.place = if seen + 1 == self.fence {
                    self.fence = 0;
                    Place::Prose
                } else {
                    Place::Code(seen + 1)
                };
            }
            Place::Code(_) => self.notes.push(NoteKind::Text, &[byte]),
            Place::Think => self.notes.push(NoteKind::Reasoning, &[byte]),
            Place::Tag { thinking } => self.pass_tag(byte, thinking),
        }
    }

    fn pass_prose(&mut self, byte: u8) {
        if BYTE_ORDER_MARK.get(self.order_mark) == Some(&byte) {
            self.order_mark += 1;
            return;
        }
        self.order_mark = BYTE_ORDER_MARK.len();
        self.fresh &= byte.is_ascii_whitespace();
        self.notes.push(NoteKind::Text, &[byte]);
    }

    fn end_ticks(&mut self, count: usize) {
        self.order_mark = BYTE_ORDER_MARK.len();
        self.place = Place::Prose;
        if self.fence > 0 && count >= self.fence {
            self.fence = 0;
            self.fresh = false;
        } else if self.fence == 0 && count >= 3 {
            self.fence = count;
            self.on_first_line = true;
            self.word.clear();
            self.place = Place::Language;
        } else {
            self.fresh = false;
            self.line_is_bare = false;
            self.notes.push(NoteKind::Text, &[self.mark].repeat(count));
        }
    }

    fn end_language(&mut self) {
        let word = self.word.as_slice();
        let json = word.windows(4).any(|part| part == b"json");
        if word.is_empty() || json || LANGUAGES.contains(&word) {
            self.fresh = true;
            self.place = Place::Prose;
        } else {
            self.fresh = false;
            self.place = Place::Code(0);
        }
    }

    /// Outside of fences both kinds of marks may open one; inside, only its own may close it.
    fn marks_fence(&self, byte: u8) -> bool {
        match self.fence {
            0 => matches!(byte, b'`' | b'~'),
            _ => byte == self.mark,
        }
    }

    /// The name of a fence's language ends at a blank, or at what may begin a value or end the fence.
    fn ends_language(&self, byte: u8) -> bool {
        let blank = byte == b'\n' || (byte.is_ascii_whitespace() && !self.word.is_empty());
        blank || byte == self.mark || matches!(byte, b'{' | b'[' | b'"' | b'\'')
    }

    fn begin_tag(&mut self, thinking: bool) {
        self.order_mark = BYTE_ORDER_MARK.len();
        self.word.clear();
        self.tag_opens = self.line_is_bare;
        self.place = Place::Tag { thinking };
    }

    fn extends_tag(&self, byte: u8) -> bool {
        let (read, byte) = (self.word.len(), byte.to_ascii_lowercase());
        TAGS.iter().any(|tag| {
            let begun = tag
                .get(..read)
                .is_some_and(|begun| begun.eq_ignore_ascii_case(&self.word));
            begun && tag.get(read) == Some(&byte)
        })
    }

    fn pass_tag(&mut self, byte: u8, thinking: bool) {
        self.word.push(byte);
        if !TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(&self.word)) {
            return;
        }
        let closes = self.word.starts_with(b"</");
        if !closes && !thinking && !self.tag_opens {
            self.notes.push(NoteKind::Text, &std::mem::take(&mut self.word));
            self.place = Place::Prose;
            (self.fresh, self.line_is_bare) = (false, false);
            return;
        }
        self.word.clear();
        self.line_is_bare = true;
        self.place = if closes { Place::Prose } else { Place::Think };
        if closes || !thinking {
            self.notes.seal();
        }
    }
}
