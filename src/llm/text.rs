//! Strings of a provider's JSON, where a surrogate pair may be cut between two frames.
//!
//! A tokenizer cuts where it likes, and some servers escape each piece by itself: `"\ud83d"` comes in one frame and
//! `"\ude00"` in the next (rule T6). `serde_json` refuses such strings, so the half is kept here until its other half
//! comes.

/// One string that grows over many frames.
#[derive(Debug, Default)]
pub(super) struct Growing {
    high: Option<u16>,
}

/// Half a pair that met anything but its other half; Unicode text cannot hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

impl Growing {
    /// Appends to `text` what the JSON string `raw` (checked syntax, quotes included) adds.
    pub(super) fn add(&mut self, raw: &str, text: &mut String) -> Result<(), LoneSurrogate> {
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        let mut rest = inner.unwrap_or_default();
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            self.plain(&rest[..at], text)?;
            let kind = rest[at + 1..].chars().next().ok_or(LoneSurrogate)?;
            rest = &rest[at + 1 + kind.len_utf8()..];
            if kind == 'u' {
                let digits = rest.get(..4).ok_or(LoneSurrogate)?;
                let unit = u16::from_str_radix(digits, 16).map_err(|_| LoneSurrogate)?;
                rest = &rest[4..];
                self.unit(unit, text)?;
            } else {
                self.end()?;
                text.push(short_escape(kind));
            }
        }
        self.plain(rest, text)
    }

    /// The string is over.
    pub(super) fn end(&self) -> Result<(), LoneSurrogate> {
        self.high.map_or(Ok(()), |_| Err(LoneSurrogate))
    }

    /// Text without escapes.
    fn plain(&self, plain: &str, text: &mut String) -> Result<(), LoneSurrogate> {
        if !plain.is_empty() {
            self.end()?;
            text.push_str(plain);
        }
        Ok(())
    }

    fn unit(&mut self, unit: u16, text: &mut String) -> Result<(), LoneSurrogate> {
        if (0xd800..0xdc00).contains(&unit) {
            self.end()?;
            self.high = Some(unit);
            return Ok(());
        }
        let units = self.high.take().into_iter().chain([unit]);
        for letter in char::decode_utf16(units) {
            text.push(letter.map_err(|_| LoneSurrogate)?);
        }
        Ok(())
    }
}

const fn short_escape(kind: char) -> char {
    match kind {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(growing: &mut Growing, raw: &str) -> Result<String, LoneSurrogate> {
        let mut text = String::new();
        growing.add(raw, &mut text).map(|()| text)
    }

    #[test]
    fn pairs_are_joined_across_frames() {
        let mut growing = Growing::default();
        assert_eq!(added(&mut growing, r#""a\ud83d""#), Ok("a".to_owned()));
        assert_eq!(added(&mut growing, r#""""#), Ok(String::new()));
        assert_eq!(
            added(&mut growing, r#""\ude00\n\ud83d\ude01é\ud83d""#),
            Ok("😀\n😁é".to_owned())
        );
        assert_eq!(growing.end(), Err(LoneSurrogate));
        assert_eq!(added(&mut growing, r#""\ude02""#), Ok("😂".to_owned()));
        assert_eq!(growing.end(), Ok(()));
    }

    /// Every escape there is means here what it means to a JSON parser.
    #[test]
    fn escapes_are_those_of_json() {
        for raw in [r#""""#, r#""a\"b\\c\/d\b\f\n\r\te\u0041é😀""#, r#""\\\\u0041\\""#] {
            let expected: String = serde_json::from_str(raw).unwrap_or_default();
            assert_eq!(added(&mut Growing::default(), raw), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn halves_without_their_other_half_are_refused() {
        for (first, second) in [
            (r#""\ud83d""#, r#""x""#),
            (r#""\ud83d""#, r#""\ud83d""#),
            (r#""\ud83d""#, r#""\u0041""#),
            (r#""\ud83d""#, r#""\n""#),
        ] {
            let mut growing = Growing::default();
            assert_eq!(added(&mut growing, first), Ok(String::new()));
            assert_eq!(added(&mut growing, second), Err(LoneSurrogate), "{second}");
        }
        assert_eq!(added(&mut Growing::default(), r#""\ude00""#), Err(LoneSurrogate));
        assert_eq!(added(&mut Growing::default(), r#""\ud83dx""#), Err(LoneSurrogate));
    }
}
