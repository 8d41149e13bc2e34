//! The chunks of `livedraft parse --chunks`: one JSON value a line.

use crate::hex;

/// The bytes of one chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk(pub(super) Vec<u8>);

/// Reads chunk after chunk. A surrogate pair that the cut went through is put together again (rule T6).
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The first half of a pair, waiting for the next chunk.
    high: Option<u16>,
}

impl Chunks {
    /// The bytes of the chunk a line holds; `None` if it holds none.
    pub(super) fn read(&mut self, line: &str) -> Option<Chunk> {
        let line = line.trim();
        if line.starts_with('{') {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
            let digits = object.get("hex").filter(|_| object.len() == 1)?.as_str()?;
            let mut bytes = self.rest();
            bytes.extend(hex::decode(digits)?);
            return Some(Chunk(bytes));
        }
        // serde_json checks the grammar and, where a string is skipped, leaves surrogates alone.
        serde_json::from_str::<serde::de::IgnoredAny>(line).ok()?;
        let inner = line.strip_prefix('"')?.strip_suffix('"')?;
        Some(Chunk(self.decode(inner)))
    }

    /// The half that no second half has followed, as the bytes it would have in UTF-8: no UTF-8, and told so.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(high) = self.high.take() {
            push_unit(&mut bytes, u32::from(high));
        }
        bytes
    }

    fn decode(&mut self, inner: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(letter) = rest.chars().next() {
            let (unit, length) = match (letter, rest.as_bytes().get(1)) {
                ('\\', Some(b'u')) => {
                    let digits = rest.get(2..6).unwrap_or_default();
                    (u32::from_str_radix(digits, 16).unwrap_or(0xFFFD), 6)
                }
                ('\\', Some(escape)) => (u32::from(unescape(*escape)), 2),
                _ => (u32::from(letter), letter.len_utf8()),
            };
            rest = rest.get(length..).unwrap_or_default();
            self.push(&mut bytes, unit);
        }
        bytes
    }

    fn push(&mut self, bytes: &mut Vec<u8>, unit: u32) {
        if let (Some(high), 0xDC00..=0xDFFF) = (self.high, unit) {
            self.high = None;
            push_unit(
                bytes,
                0x1_0000 + ((u32::from(high) & 0x3FF) << 10) + (unit & 0x3FF),
            );
            return;
        }
        bytes.extend(self.rest());
        match u16::try_from(unit) {
            Ok(high @ 0xD800..=0xDBFF) => self.high = Some(high),
            _ => push_unit(bytes, unit),
        }
    }
}

/// Appends a code point, or a lone surrogate in the three bytes of its range.
fn push_unit(bytes: &mut Vec<u8>, unit: u32) {
    match char::from_u32(unit) {
        Some(letter) => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low_six = |shifted: u32| 0x80 | (shifted & 0x3F) as u8;
            bytes.extend_from_slice(&[0xE0 | (unit >> 12) as u8, low_six(unit >> 6), low_six(unit)]);
        }
    }
}

fn unescape(escape: u8) -> char {
    match escape {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_hex_become_bytes() {
        let mut chunks = Chunks::default();
        assert_eq!(
            chunks.read(r#""{\"a\":\n\u00e9""#),
            Some(Chunk("{\"a\":\né".into()))
        );
        assert_eq!(chunks.read(r#"{"hex":"e29c"}"#), Some(Chunk(vec![0xe2, 0x9c])));
        assert_eq!(chunks.read(r#"{"hex":"e2 9"}"#), None);
        assert_eq!(chunks.read("12"), None);
        assert_eq!(chunks.read("\"open"), None);
    }

    #[test]
    fn a_pair_cut_between_chunks_is_put_together() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.read(r#""x\ud83d""#), Some(Chunk(b"x".to_vec())));
        assert_eq!(chunks.read(r#""\ude00y""#), Some(Chunk("😀y".into())));
        assert_eq!(chunks.read(r#""\ud83d""#), Some(Chunk(Vec::new())));
        assert_eq!(chunks.read(r#""y""#), Some(Chunk(b"\xed\xa0\xbdy".to_vec())));
    }
}
