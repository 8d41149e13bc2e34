//! The inside of strings: plain runs, escapes, surrogate pairs, and UTF-8 sequences that the cut went through.

use super::error::ParseErrorKind;
use super::lenient::LooseState;
use super::machine::{Machine, State};
use super::spine::Leaf;

/// Where in a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextState {
    /// Between escapes.
    Plain,
    /// Behind a backslash.
    Escape,
    /// Behind `\u`, with so many digits read.
    Hex(u8),
    /// Behind the first half of a pair: `\` has to come.
    PairMark,
    /// Behind the backslash after the first half of a pair: `u` has to come.
    PairU,
}

/// What ends a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quote {
    Double,
    Single,
    Back,
    TripleDouble,
    TripleSingle,
    /// Any of U+2018…U+201F.
    Typographic,
}

impl Quote {
    pub(super) fn of(byte: u8) -> Self {
        match byte {
            b'\'' => Self::Single,
            b'`' => Self::Back,
            _ => Self::Double,
        }
    }

    pub(super) fn byte(self) -> Option<u8> {
        match self {
            Self::Double | Self::TripleDouble => Some(b'"'),
            Self::Single | Self::TripleSingle => Some(b'\''),
            Self::Back => Some(b'`'),
            Self::Typographic => None,
        }
    }

    pub(super) fn tripled(self) -> Self {
        match self {
            Self::Single => Self::TripleSingle,
            _ => Self::TripleDouble,
        }
    }
}

const PLAIN: State = State::Text(TextState::Plain);

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the quotes, backslashes and control characters among eight bytes. A borrow may mark a byte above the first
/// hit, never one below it.
fn specials(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let quotes = zero_bytes(word ^ (ONES * u64::from(b'"')));
    let slashes = zero_bytes(word ^ (ONES * u64::from(b'\\')));
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    quotes | slashes | controls
}

/// Whether there are at most eight bytes, all ASCII, none of them special.
#[inline]
pub(super) fn is_short_and_plain(bytes: &[u8]) -> bool {
    match overlapping_halves(bytes) {
        Some(word) => specials(word) | (word & HIGHS) == 0,
        None if bytes.len() < 4 => {
            let mut each = bytes.iter();
            each.all(|byte| byte.is_ascii() && IS_PLAIN[usize::from(*byte)])
        }
        None => false,
    }
}

/// Adds a little ASCII: cheaper than a copy of unknown length.
#[inline]
pub(super) fn push_ascii(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(*byte));
    }
}

/// How many of the first bytes need no look: no quote, no backslash, no control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some((eight, _)) = bytes[run..].split_first_chunk::<8>() {
        let special = specials(u64::from_le_bytes(*eight));
        if special != 0 {
            return run + special.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let rest = &bytes[run..];
    let Some(word) = overlapping_halves(rest) else {
        return run
            + rest
                .iter()
                .take_while(|byte| IS_PLAIN[usize::from(**byte)])
                .count();
    };
    match specials(word).trailing_zeros() as usize / 8 {
        hit @ 0..4 => run + hit,
        hit @ 4..8 => bytes.len() + hit - 8,
        _ => bytes.len(),
    }
}

/// Four to eight bytes as one word: the first four and the last four, which overlap where there are fewer than
/// eight, so that no byte is left out.
fn overlapping_halves(bytes: &[u8]) -> Option<u64> {
    let (first, last) = (bytes.first_chunk::<4>()?, bytes.last_chunk::<4>()?);
    let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    (bytes.len() <= 8).then_some(word)
}

const IS_PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

fn is_typographic(letter: char) -> bool {
    ('\u{2018}'..='\u{201F}').contains(&letter)
}

impl Machine {
    /// The path of most tokens: a little plain ASCII inside a string that is seen growing, taken over whole; false
    /// if it is anything else.
    #[inline]
    pub(super) fn feed_plain(&mut self, bytes: &[u8]) -> bool {
        let grows = self.spine.leaf == Leaf::Shown && matches!(self.state, PLAIN) && self.carried == 0;
        if !grows || self.quote != Quote::Double || !is_short_and_plain(bytes) {
            return false;
        }
        push_ascii(&mut self.spine.text, bytes);
        true
    }

    /// Reads a plain run and the byte that ends it.
    pub(super) fn plain_text(&mut self, bytes: &[u8], at: usize) -> usize {
        if self.carried > 0 {
            return self.carry_on(bytes, at);
        }
        let mut end = at + plain_run(&bytes[at..]);
        if self.quote != Quote::Double
            && let Some(quote) = self.quote.byte()
            && let Some(found) = bytes[at..end].iter().position(|byte| *byte == quote)
        {
            end = at + found;
        }
        if end > at {
            let read = self.push_run(bytes, at, end);
            if read < end || !matches!(self.state, PLAIN) {
                return self.stopped_at(bytes, read);
            }
        }
        let Some(&byte) = bytes.get(end) else { return end };
        match byte {
            b'"' if self.quote == Quote::Double => {
                self.hold_quote(end);
                // Most often the colon follows a name at once.
                if self.state == State::Colon && bytes.get(end + 1) == Some(&b':') {
                    self.state = State::Value;
                    return end + 2;
                }
            }
            _ if Some(byte) == self.quote.byte() => self.end_quote(end),
            b'"' => self.push_text_at("\"", self.base + end),
            b'\\' => {
                self.escape_at = self.base + end;
                self.state = State::Text(TextState::Escape);
            }
            _ => return self.fault(ParseErrorKind::ControlCharacter, byte, end),
        }
        end + 1
    }

    /// How far a run was read that did not end as plain text: a name that grew too long is left behind the character
    /// that was too much, wherever the slice ends.
    #[cold]
    fn stopped_at(&self, bytes: &[u8], read: usize) -> usize {
        match &self.error {
            Some(error) if error.kind == ParseErrorKind::KeyLimit => {
                // A replacement may pass the limit by more bytes than it stands for.
                let over = (error.offset + 1).saturating_sub(self.base).min(read);
                let rest = bytes.get(over..read).unwrap_or_default();
                over + rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count()
            }
            _ => read,
        }
    }

    /// Takes over the bytes of a run; fewer than all only at an error.
    fn push_run(&mut self, bytes: &[u8], at: usize, end: usize) -> usize {
        let run = &bytes[at..end];
        // Of a run that a token holds, nothing need be looked at twice.
        let room =
            self.spine.leaf != Leaf::Key || self.spine.text.len() + run.len() <= self.limits.key_bytes_max;
        if room && self.quote == Quote::Double && is_short_and_plain(run) {
            push_ascii(&mut self.spine.text, run);
            return end;
        }
        let error = match std::str::from_utf8(run) {
            Ok(text) => return self.push_text(text, at, end),
            Err(error) => error,
        };
        let valid = error.valid_up_to();
        let text = std::str::from_utf8(&run[..valid]).unwrap_or_default();
        let read = self.push_text(text, at, at + valid);
        if self.state != PLAIN {
            return read;
        }
        let cut = &run[valid..];
        let refused = error.error_len().unwrap_or(cut.len());
        if error.error_len().is_none() && end == bytes.len() {
            self.carry[..cut.len()].copy_from_slice(cut);
            self.carried = cut.len();
            return end;
        }
        self.refuse_utf8(cut[0], self.base + at + valid, at + valid + refused)
    }

    /// Bytes that are no UTF-8 begin with `byte` at an offset of the model's text; gives where to read on.
    fn refuse_utf8(&mut self, byte: u8, offset: usize, next: usize) -> usize {
        if !self.repair_utf8(offset) {
            self.fail(ParseErrorKind::InvalidUtf8, Some(byte), None, offset);
        }
        next
    }

    /// Adds the next byte to a sequence that was cut.
    fn carry_on(&mut self, bytes: &[u8], at: usize) -> usize {
        let begin = (self.base + at) - self.carried;
        self.carry[self.carried] = bytes[at];
        let sequence = self.carry;
        match std::str::from_utf8(&sequence[..=self.carried]) {
            Ok(text) => {
                self.carried = 0;
                if self.quote == Quote::Typographic && text.contains(is_typographic) {
                    self.end_quote(at);
                } else {
                    self.push_text_at(text, begin);
                }
                at + 1
            }
            Err(error) if error.error_len().is_none() => {
                self.carried += 1;
                at + 1
            }
            Err(_) => {
                self.carried = 0;
                self.refuse_utf8(sequence[0], begin, at)
            }
        }
    }

    /// The quote at `at` ends the string, or may.
    fn end_quote(&mut self, at: usize) {
        match self.quote {
            Quote::TripleDouble | Quote::TripleSingle => {
                self.state = State::Loose(LooseState::Triple(1));
            }
            Quote::Typographic => self.close_text(),
            Quote::Double | Quote::Single | Quote::Back => self.hold_quote(at),
        }
    }

    #[inline]
    fn push_text(&mut self, text: &str, at: usize, end: usize) -> usize {
        if self.quote == Quote::Typographic
            && let Some((before, quote)) = text.match_indices(is_typographic).next()
        {
            self.push_text_at(&text[..before], self.base + at);
            if self.state == PLAIN {
                self.end_quote(at + before);
            }
            return at + before + quote.len();
        }
        self.push_text_at(text, self.base + at);
        end
    }

    /// Adds decoded text that stands at an offset of the model's text, minding the limit of member names.
    #[inline]
    pub(super) fn push_text_at(&mut self, text: &str, offset: usize) {
        let before = self.spine.text.len();
        self.spine.text.push_str(text);
        let max = self.limits.key_bytes_max;
        if self.spine.leaf == Leaf::Key && self.spine.text.len() > max {
            let over = offset + max.saturating_sub(before);
            self.fail(ParseErrorKind::KeyLimit, None, Some(max), over);
        }
    }

    pub(super) fn close_text(&mut self) {
        self.gap.clear();
        if self.spine.leaf == Leaf::Key {
            let replaced = self.spine.duplicate_keys;
            self.spine.close_key();
            if self.spine.duplicate_keys > replaced {
                self.tell_dropped();
            }
            self.state = State::Colon;
        } else {
            self.spine.close_text();
            self.tell_closed(self.text_node);
            self.after_value();
            self.behind_text = true;
        }
    }

    /// Reads one byte of an escape.
    pub(super) fn escaped_text(&mut self, state: TextState, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        match state {
            TextState::Plain => return self.plain_text(bytes, at),
            TextState::Escape => return self.escape(byte, at),
            TextState::Hex(read) => return self.hex(read, byte, at),
            TextState::PairMark if byte == b'\\' => {
                self.escape_at = self.base + at;
                self.state = State::Text(TextState::PairU);
            }
            TextState::PairU if byte == b'u' => {
                self.unit = 0;
                self.state = State::Text(TextState::Hex(0));
            }
            TextState::PairMark | TextState::PairU => {
                self.high = 0;
                if self.lone_surrogate(self.high_at) {
                    let read = if state == TextState::PairU {
                        TextState::Escape
                    } else {
                        TextState::Plain
                    };
                    self.state = State::Text(read);
                }
                return at;
            }
        }
        at + 1
    }

    fn escape(&mut self, byte: u8, at: usize) -> usize {
        let text = match byte {
            b'"' => "\"",
            b'\\' => "\\",
            b'/' => "/",
            b'b' => "\u{8}",
            b'f' => "\u{c}",
            b'n' => "\n",
            b'r' => "\r",
            b't' => "\t",
            b'u' => {
                self.unit = 0;
                self.state = State::Text(TextState::Hex(0));
                return at + 1;
            }
            _ => return self.fault(ParseErrorKind::InvalidEscape, byte, at),
        };
        self.push_escaped(text);
        at + 1
    }

    fn push_escaped(&mut self, text: &str) {
        self.state = PLAIN;
        self.push_text_at(text, self.escape_at);
    }

    fn hex(&mut self, read: u8, byte: u8, at: usize) -> usize {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return self.fault(ParseErrorKind::InvalidEscape, byte, at);
        };
        self.unit = (self.unit << 4) | u16::try_from(digit).unwrap_or_default();
        if read < 3 {
            self.state = State::Text(TextState::Hex(read + 1));
            return at + 1;
        }
        let high = std::mem::take(&mut self.high);
        if high != 0 && !(0xDC00..=0xDFFF).contains(&self.unit) && !self.lone_surrogate(self.high_at) {
            return at;
        }
        match (high, self.unit) {
            (_, 0xD800..=0xDBFF) => {
                self.high = self.unit;
                self.high_at = self.escape_at;
                self.state = State::Text(TextState::PairMark);
            }
            (0, 0xDC00..=0xDFFF) => {
                if self.lone_surrogate(self.escape_at) {
                    self.state = PLAIN;
                }
            }
            (high, low @ 0xDC00..=0xDFFF) => {
                self.push_unit(0x1_0000 + ((u32::from(high) & 0x3FF) << 10) + (u32::from(low) & 0x3FF));
            }
            (_, unit) => self.push_unit(u32::from(unit)),
        }
        at + 1
    }

    fn push_unit(&mut self, code: u32) {
        let mut buffer = [0; 4];
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.push_escaped(letter.encode_utf8(&mut buffer));
    }

    /// The half at `offset` stands alone: false if that ends the text, or what stands for it makes a name too long.
    fn lone_surrogate(&mut self, offset: usize) -> bool {
        if !self.repair_surrogate(offset) {
            self.fail(ParseErrorKind::LoneSurrogate, None, None, offset);
        }
        self.state != State::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte() {
        let fill = b"abcdefghijklmnopqrstu\x7f\x80\xff~";
        for length in 0..fill.len() {
            assert_eq!(plain_run(&fill[..length]), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                    let mut bytes = fill[..length].to_vec();
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at, "{bytes:?}");
                    bytes[length - 1] = b'"';
                    assert_eq!(plain_run(&bytes), at, "{bytes:?}");
                    assert!(!is_short_and_plain(&bytes));
                }
            }
        }
        assert!(is_short_and_plain(b"") && is_short_and_plain(b"abc") && is_short_and_plain(b"abcdefgh"));
        assert!(!is_short_and_plain("é".as_bytes()) && !is_short_and_plain("abcdeé".as_bytes()));
    }
}
