//! Newline-delimited JSON: bytes in, lines out.

/// Turns pieces of a byte stream, cut anywhere, into lines.
#[derive(Debug)]
pub(super) struct Decoder {
    line_bytes_max: usize,
    line: Vec<u8>,
}

/// A stream that is not made of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    /// A line longer than the limit.
    #[error("a line of the answer is longer than {0} bytes")]
    TooLong(usize),
    /// Bytes that are no UTF-8.
    #[error("the answer is not UTF-8")]
    NotUtf8,
}

impl Decoder {
    /// A decoder at the start of a stream whose lines have so many bytes at the most.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            line: Vec::new(),
        }
    }

    /// Takes the next bytes; `sink` gets every line they complete. After an error the stream is over.
    pub(super) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&str)) -> Result<(), LineError> {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if part.len() > self.line_bytes_max - self.line.len() {
                return Err(LineError::TooLong(self.line_bytes_max));
            }
            self.line.extend_from_slice(part);
            if parts.peek().is_some() {
                self.end_line(&mut sink)?;
            }
        }
        Ok(())
    }

    /// The end of the stream: the last line, if it lacks its end.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(&str)) -> Result<(), LineError> {
        self.end_line(&mut sink)
    }

    fn end_line(&mut self, sink: &mut impl FnMut(&str)) -> Result<(), LineError> {
        let line = std::str::from_utf8(&self.line).map_err(|_| LineError::NotUtf8)?;
        sink(line);
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_at_every_cut_and_their_limit() {
        let text = "{\"ä\":1}\r\n\n{}\nlast".as_bytes();
        for cut in 0..=text.len() {
            let mut lines = Vec::new();
            let mut decoder = Decoder::new(10);
            for piece in [&text[..cut], &text[cut..]] {
                assert_eq!(decoder.feed(piece, |line| lines.push(line.to_owned())), Ok(()));
            }
            assert_eq!(decoder.finish(|line| lines.push(line.to_owned())), Ok(()));
            assert_eq!(lines, ["{\"ä\":1}\r", "", "{}", "last"]);
        }
        let refused = |bytes: &[u8]| Decoder::new(4).feed(bytes, |_| {});
        assert_eq!(refused(b"1234\n1234"), Ok(()));
        assert_eq!(refused(b"12345"), Err(LineError::TooLong(4)));
        assert_eq!(refused(b"\xff\n"), Err(LineError::NotUtf8));
    }
}
