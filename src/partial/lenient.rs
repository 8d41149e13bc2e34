//! Lenient reading: what is done where strict grammar gives up.
//!
//! Every repair is local and made in place, at the byte that strict grammar refused; what was built stays. The
//! states here exist only once something had to be repaired, so strict reading pays nothing for them.

use super::error::ParseErrorKind;
use super::machine::{Machine, State};
use super::number::NumberState;
use super::options::Lenient;
use super::repair::{Repair, RepairKind};
use super::spine::Leaf;
use super::text::{Quote, TextState};
use super::value::Value;

/// Repairs beyond these are counted, not listed.
const REPAIRS_LISTED_MAX: usize = 256;
/// No literal of any language that is known here is longer.
const WORD_BYTES_MAX: usize = 16;

/// What is read that strict grammar does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LooseState {
    /// A member name without quotes.
    BareKey,
    /// A word where a value has to stand.
    Word,
    /// Behind `/`: a comment if another mark follows.
    Slash,
    /// In a comment to the end of the line.
    LineComment,
    /// In a comment up to `*/`.
    BlockComment,
    /// Behind a `*` in it.
    BlockStar,
    /// Behind so many dots.
    Dots(u8),
    /// In a byte order mark at the very beginning.
    Mark,
    /// Behind so many bytes of a character of U+20xx: a typographic quote or an ellipsis.
    Typographic(u8),
    /// Behind a quote that may end the string, and blanks.
    Held,
    /// Behind so many of the three quotes that end the string.
    Triple(u8),
}

impl Machine {
    /// Repairs what strict grammar refused at `at`; gives where to read on, or `None` if there is no repair.
    pub(super) fn repair(&mut self, kind: ParseErrorKind, byte: u8, at: usize) -> Option<usize> {
        if self.lenient == Lenient::Off {
            return None;
        }
        let was_strict = std::mem::replace(&mut self.lenient, Lenient::On) == Lenient::Auto;
        match self.state {
            State::Text(state) => self.repair_text(state, kind, byte, at),
            State::Number(state) => self.repair_number(state, byte, at),
            State::Literal(literal, read) => {
                self.number.clear();
                let begun = &literal.text()[..read];
                self.number.extend(begun.iter().map(|byte| char::from(*byte)));
                self.loose_at = (self.base + at) - read;
                self.state = State::Loose(LooseState::Word);
                Some(at)
            }
            State::Rest if was_strict && self.behind_text && self.is_inner_quote(byte) => {
                self.reopen_text(byte, at)
            }
            State::Value | State::FirstItem | State::FirstKey | State::Key | State::Colon | State::Rest => {
                self.repair_structure(byte, at)
            }
            State::Loose(_) | State::Done | State::Failed => None,
        }
    }

    pub(super) fn note_repair(&mut self, kind: RepairKind, offset: usize) {
        self.repairs_made += 1;
        if self.repairs.len() < REPAIRS_LISTED_MAX {
            let path = self.place_path();
            self.repairs.push(Repair { offset, path, kind });
        }
    }

    fn repair_structure(&mut self, byte: u8, at: usize) -> Option<usize> {
        let offset = self.base + at;
        match byte {
            b'/' | b'#' | b'.' => {
                self.resume = self.state;
                self.loose_at = offset;
                self.state = State::Loose(match byte {
                    b'/' => LooseState::Slash,
                    b'#' => LooseState::LineComment,
                    _ => LooseState::Dots(1),
                });
                return Some(at + 1);
            }
            0xE2 => {
                self.resume = self.state;
                self.loose_at = offset;
                self.state = State::Loose(LooseState::Typographic(1));
                return Some(at + 1);
            }
            _ => {}
        }
        match self.state {
            State::FirstKey | State::Key => self.repair_key(byte, at),
            State::Colon => self.repair_colon(byte, at),
            State::Rest => self.repair_rest(byte, at),
            _ => self.repair_value(byte, at),
        }
    }

    fn repair_key(&mut self, byte: u8, at: usize) -> Option<usize> {
        let offset = self.base + at;
        match byte {
            b'}' => {
                self.note_repair(RepairKind::TrailingComma, offset);
                self.state = State::Rest;
                Some(at)
            }
            b',' => {
                self.note_repair(RepairKind::ExtraComma, offset);
                Some(at + 1)
            }
            b'\'' | b'`' => {
                self.open_foreign(Quote::of(byte), Leaf::Key, offset);
                Some(at + 1)
            }
            _ if is_word_byte(byte) => {
                self.note_repair(RepairKind::UnquotedKey, offset);
                self.spine.open_text(Leaf::Key);
                self.state = State::Loose(LooseState::BareKey);
                Some(at)
            }
            _ => None,
        }
    }

    fn repair_colon(&mut self, byte: u8, at: usize) -> Option<usize> {
        let begins = matches!(byte, b'"' | b'\'' | b'{' | b'[' | b'-' | b'0'..=b'9');
        if byte != b'=' && !begins {
            return None;
        }
        self.note_repair(RepairKind::MissingColon, self.base + at);
        // Of an arrow, the rest comes where the value is awaited.
        self.loose_at = self.base + at;
        self.state = State::Value;
        Some(if begins { at } else { at + 1 })
    }

    fn repair_rest(&mut self, byte: u8, at: usize) -> Option<usize> {
        let begins = matches!(byte, b'"' | b'\'' | b'`' | b'{' | b'[' | b'-') || is_word_byte(byte);
        if !begins {
            return None;
        }
        self.note_repair(RepairKind::MissingComma, self.base + at);
        self.state = if self.in_object() {
            State::Key
        } else {
            State::Value
        };
        Some(at)
    }

    fn repair_value(&mut self, byte: u8, at: usize) -> Option<usize> {
        let offset = self.base + at;
        let in_array = !self.spine.frames.is_empty() && !self.in_object();
        match byte {
            b']' if in_array => {
                self.note_repair(RepairKind::TrailingComma, offset);
                self.state = State::Rest;
                return Some(at);
            }
            b',' if in_array => self.note_repair(RepairKind::ExtraComma, offset),
            b'\'' | b'`' => {
                let leaf = self.leaf_kind();
                self.open_foreign(Quote::of(byte), leaf, offset);
            }
            b'+' => {
                self.note_repair(RepairKind::NumberForm, offset);
                self.number.clear();
                self.state = State::Number(NumberState::Start);
            }
            b'>' if self.in_object() && self.loose_at + 1 == offset => {}
            0xEF if offset == 0 => self.state = State::Loose(LooseState::Mark),
            _ if is_word_byte(byte) => {
                self.number.clear();
                self.loose_at = offset;
                self.state = State::Loose(LooseState::Word);
                return Some(at);
            }
            _ => return None,
        }
        Some(at + 1)
    }

    fn open_foreign(&mut self, quote: Quote, leaf: Leaf, offset: usize) {
        self.note_repair(RepairKind::ForeignQuotes, offset);
        self.spine.open_text(leaf);
        self.quote = quote;
        self.state = State::Text(TextState::Plain);
    }

    fn repair_number(&mut self, state: NumberState, byte: u8, at: usize) -> Option<usize> {
        let offset = self.base + at;
        match (state, byte) {
            (NumberState::Minus | NumberState::Start, b'I' | b'i') => {
                self.loose_at = offset - self.number.len();
                self.state = State::Loose(LooseState::Word);
                return Some(at);
            }
            (NumberState::Minus | NumberState::Start, b'.') => {
                self.number.push('0');
                self.state = State::Number(NumberState::Zero);
            }
            (NumberState::Zero, b'0'..=b'9') => {
                self.number.pop();
                let begun = self.number.is_empty();
                self.state = State::Number(if begun {
                    NumberState::Start
                } else {
                    NumberState::Minus
                });
            }
            (NumberState::Dot, _) => {
                self.number.push('0');
                self.state = State::Number(NumberState::Fraction);
            }
            _ => return None,
        }
        self.note_repair(RepairKind::NumberForm, offset);
        Some(at)
    }

    fn repair_text(&mut self, state: TextState, kind: ParseErrorKind, byte: u8, at: usize) -> Option<usize> {
        let offset = self.base + at;
        match (kind, state) {
            (ParseErrorKind::ControlCharacter, _) => {
                self.note_repair(RepairKind::ControlCharacter, offset);
                let mut buffer = [0; 4];
                self.push_text_at(char::from(byte).encode_utf8(&mut buffer), offset);
                Some(at + 1)
            }
            (_, TextState::Escape) => {
                self.note_repair(RepairKind::UnknownEscape, self.escape_at);
                self.state = State::Text(TextState::Plain);
                if !matches!(byte, b'\'' | b'`') {
                    self.push_text_at("\\", self.escape_at);
                    return Some(at);
                }
                // A quote of another language, escaped as there: no end, and no backslash meant.
                self.push_text_at(if byte == b'`' { "`" } else { "'" }, self.escape_at);
                Some(at + 1)
            }
            (_, TextState::Hex(read)) => {
                if std::mem::take(&mut self.high) != 0 {
                    self.note_repair(RepairKind::LoneSurrogate, self.high_at);
                    self.push_text_at("\u{FFFD}", self.high_at);
                }
                self.note_repair(RepairKind::UnknownEscape, self.escape_at);
                self.state = State::Text(TextState::Plain);
                let kept = match read {
                    0 => "\\u".to_owned(),
                    _ => format!("\\u{:0width$x}", self.unit, width = usize::from(read)),
                };
                self.push_text_at(&kept, self.escape_at);
                Some(at)
            }
            _ => None,
        }
    }

    /// Bytes that are no UTF-8, at an offset of the model's text: false if they end the text.
    pub(super) fn repair_utf8(&mut self, offset: usize) -> bool {
        if self.lenient == Lenient::Off {
            return false;
        }
        self.lenient = Lenient::On;
        self.note_repair(RepairKind::InvalidUtf8, offset);
        self.push_text_at("\u{FFFD}", offset);
        true
    }

    /// Half of a surrogate pair, at an offset of the model's text: false if it ends the text.
    pub(super) fn repair_surrogate(&mut self, offset: usize) -> bool {
        if self.lenient == Lenient::Off {
            return false;
        }
        self.lenient = Lenient::On;
        self.note_repair(RepairKind::LoneSurrogate, offset);
        self.push_text_at("\u{FFFD}", offset);
        true
    }

    /// Whether a quote that looked like the end was meant as part of the string, by the next byte that is no blank.
    fn is_inner_quote(&self, byte: u8) -> bool {
        let apart = !self.gap.is_empty();
        match byte {
            b',' | b'}' | b']' => false,
            b'"' | b'/' | b'#' => !apart,
            _ => !(apart && Some(byte) == self.quote.byte()),
        }
    }

    /// The string that has just closed goes on: its last quote was part of it.
    fn reopen_text(&mut self, byte: u8, at: usize) -> Option<usize> {
        let quote_at = (self.base + at) - self.gap.len() - 1;
        if !self.spine.reopen_text() {
            return None;
        }
        self.tell_dropped();
        self.quote = Quote::Double;
        self.go_on_behind_quote(byte, quote_at);
        Some(at)
    }

    /// Reads on in the open string, behind a quote that was none: of a triple, or an inner one.
    fn go_on_behind_quote(&mut self, byte: u8, quote_at: usize) {
        self.state = State::Text(TextState::Plain);
        let own = self.quote.byte();
        if self.spine.text.is_empty() && self.gap.is_empty() && Some(byte) == own {
            self.note_repair(RepairKind::ForeignQuotes, quote_at);
            self.quote = self.quote.tripled();
            self.state = State::Loose(LooseState::Triple(0));
            return;
        }
        self.note_repair(RepairKind::InnerQuote, quote_at);
        let mut held = String::new();
        held.extend(own.map(char::from));
        held.push_str(&self.gap);
        self.gap.clear();
        self.push_text_at(&held, quote_at);
    }

    /// A quote that may end the open string. Member names, roots and typographic quotes leave no doubt. Before the
    /// first repair a string that was seen growing can go on behind its quote; one that appears whole cannot (rule V5),
    /// so its quote waits.
    pub(super) fn hold_quote(&mut self, at: usize) {
        let certain = self.spine.leaf == Leaf::Key || self.spine.frames.is_empty();
        let waits = match self.lenient {
            Lenient::Off => false,
            Lenient::On => true,
            Lenient::Auto => self.spine.leaf == Leaf::Hidden,
        };
        if certain || !waits {
            self.close_text();
            return;
        }
        self.gap.clear();
        self.loose_at = self.base + at;
        self.state = State::Loose(LooseState::Held);
    }

    /// Reads one byte of what strict grammar does not know.
    pub(super) fn loose(&mut self, state: LooseState, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        match state {
            LooseState::BareKey if is_word_byte(byte) || byte == b'-' => {
                let mut buffer = [0; 4];
                self.push_text_at(char::from(byte).encode_utf8(&mut buffer), self.base + at);
                at + 1
            }
            LooseState::BareKey => {
                self.close_text();
                at
            }
            LooseState::Word if is_word_byte(byte) && self.number.len() < WORD_BYTES_MAX => {
                self.number.push(char::from(byte));
                at + 1
            }
            LooseState::Word => self.close_word(at),
            LooseState::Slash
            | LooseState::LineComment
            | LooseState::BlockComment
            | LooseState::BlockStar => self.comment(state, byte, at),
            LooseState::Dots(count) => self.dots(count, byte, at),
            LooseState::Mark => self.mark(byte, at),
            LooseState::Typographic(count) => self.typographic(count, byte, at),
            LooseState::Held => self.held(byte, at),
            LooseState::Triple(count) => self.triple(count, byte, at),
        }
    }

    /// A word is whole: a literal of another language, or no value.
    pub(super) fn close_word(&mut self, at: usize) -> usize {
        let (value, kind) = match self.number.as_str() {
            "True" | "TRUE" | "true" => (Value::Bool(true), RepairKind::ForeignLiteral),
            "False" | "FALSE" | "false" => (Value::Bool(false), RepairKind::ForeignLiteral),
            "None" | "none" | "Null" | "NULL" | "null" | "nil" | "undefined" => {
                (Value::Null, RepairKind::ForeignLiteral)
            }
            "NaN" | "nan" | "Infinity" | "-Infinity" | "inf" | "-inf" | "Inf" | "-Inf" => {
                (Value::Null, RepairKind::NotANumber)
            }
            word => {
                let found = word.bytes().next();
                self.fail(ParseErrorKind::ExpectedValue, found, None, self.loose_at);
                return at;
            }
        };
        self.note_repair(kind, self.loose_at);
        self.place_scalar(value);
        self.after_value();
        at
    }

    fn comment(&mut self, state: LooseState, byte: u8, at: usize) -> usize {
        let next = match (state, byte) {
            (LooseState::Slash, b'/') => LooseState::LineComment,
            (LooseState::Slash, b'*') => LooseState::BlockComment,
            (LooseState::Slash, _) => {
                self.state = self.resume;
                self.fail(self.expectation(), Some(b'/'), None, self.loose_at);
                return at;
            }
            (LooseState::LineComment, b'\n') | (LooseState::BlockStar, b'/') => {
                self.state = self.resume;
                self.note_repair(RepairKind::Comment, self.loose_at);
                return at + 1;
            }
            (LooseState::LineComment, _) => LooseState::LineComment,
            (_, b'*') => LooseState::BlockStar,
            _ => LooseState::BlockComment,
        };
        self.state = State::Loose(next);
        at + 1
    }

    fn dots(&mut self, count: u8, byte: u8, at: usize) -> usize {
        let wants_value = matches!(self.resume, State::Value | State::FirstItem);
        match (count, byte) {
            (1, b'.') => self.state = State::Loose(LooseState::Dots(2)),
            (2, b'.') => {
                self.state = self.resume;
                self.note_repair(RepairKind::Ellipsis, self.loose_at);
            }
            (1, b'0'..=b'9') if wants_value => {
                self.state = self.resume;
                self.note_repair(RepairKind::NumberForm, self.loose_at);
                self.number.clear();
                self.number.push_str("0.");
                self.state = State::Number(NumberState::Dot);
                return at;
            }
            _ => {
                self.state = self.resume;
                self.fail(self.expectation(), Some(b'.'), None, self.loose_at);
                return at;
            }
        }
        at + 1
    }

    /// U+FEFF is EF BB BF.
    fn mark(&mut self, byte: u8, at: usize) -> usize {
        match (self.base + at, byte) {
            (1, 0xBB) => {}
            (2, 0xBF) => {
                self.state = State::Value;
                self.note_repair(RepairKind::ByteOrderMark, 0);
            }
            _ => {
                self.fail(ParseErrorKind::ExpectedValue, Some(0xEF), None, 0);
                return at;
            }
        }
        at + 1
    }

    /// U+2018…U+201F are quotes, U+2026 is an ellipsis; all are E2 80 and one byte more.
    fn typographic(&mut self, count: u8, byte: u8, at: usize) -> usize {
        let leaf = match self.resume {
            State::FirstKey | State::Key => Some(Leaf::Key),
            State::Value | State::FirstItem => Some(self.leaf_kind()),
            _ => None,
        };
        match (count, byte, leaf) {
            (1, 0x80, _) => self.state = State::Loose(LooseState::Typographic(2)),
            (2, 0x98..=0x9F, Some(leaf)) => {
                self.state = self.resume;
                self.open_foreign(Quote::Typographic, leaf, self.loose_at);
            }
            (2, 0x98..=0x9F, None) if self.resume == State::Rest => {
                self.state = State::Rest;
                self.note_repair(RepairKind::MissingComma, self.loose_at);
                let leaf = if self.in_object() {
                    Leaf::Key
                } else {
                    self.leaf_kind()
                };
                self.open_foreign(Quote::Typographic, leaf, self.loose_at);
            }
            (2, 0xA6, _) => {
                self.state = self.resume;
                self.note_repair(RepairKind::Ellipsis, self.loose_at);
            }
            _ => {
                self.state = self.resume;
                self.fail(self.expectation(), Some(0xE2), None, self.loose_at);
                return at;
            }
        }
        at + 1
    }

    fn held(&mut self, byte: u8, at: usize) -> usize {
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            if self.gap.len() >= self.limits.blanks_max {
                return self.fail_limit(ParseErrorKind::BlanksLimit, self.limits.blanks_max, at);
            }
            self.gap.push(char::from(byte));
            return at + 1;
        }
        if self.is_inner_quote(byte) {
            self.lenient = Lenient::On;
            self.go_on_behind_quote(byte, self.loose_at);
        } else {
            self.close_text();
        }
        at
    }

    fn triple(&mut self, count: u8, byte: u8, at: usize) -> usize {
        // The third of the opening quotes is still to be read when the state is entered with 0 behind a held one.
        let own = self.quote.byte();
        if Some(byte) != own {
            let quotes = own.map(|quote| char::from(quote).to_string().repeat(usize::from(count)));
            self.state = State::Text(TextState::Plain);
            self.push_text_at(&quotes.unwrap_or_default(), self.base + at - usize::from(count));
            return at;
        }
        match count {
            0 => self.state = State::Text(TextState::Plain),
            1 => self.state = State::Loose(LooseState::Triple(2)),
            _ => self.close_text(),
        }
        at + 1
    }
}

/// Bytes of names and words in the languages that models mix up with JSON.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}
