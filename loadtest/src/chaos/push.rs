//! What a Redis sends, frame by frame (RESP3), so that live messages can be taken out of it while all else arrives.

/// Cuts what comes into whole frames. What it cannot read passes as it is from there on.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    astray: bool,
}

impl Frames {
    /// Takes what has come, and gives what may be passed on; with `deaf` no live message is among it. How many bytes were
    /// taken out.
    pub(crate) fn pass(&mut self, come: &[u8], deaf: bool) -> (Vec<u8>, u64) {
        self.bytes.extend_from_slice(come);
        let (mut passed, mut eaten, mut at) = (Vec::new(), 0, 0);
        while !self.astray {
            match end_of_frame(&self.bytes[at..]) {
                Ok(Some(length)) => {
                    let frame = &self.bytes[at..at + length];
                    if deaf && is_live_message(frame) {
                        eaten += length as u64;
                    } else {
                        passed.extend_from_slice(frame);
                    }
                    at += length;
                }
                Ok(None) => break,
                Err(NoFrame) => self.astray = true,
            }
        }
        self.bytes.drain(..at);
        if self.astray {
            passed.append(&mut self.bytes);
        }
        (passed, eaten)
    }
}

/// What is no frame of the protocol.
#[derive(Debug, PartialEq, Eq)]
struct NoFrame;

/// A push whose first part is `message` or `smessage`.
fn is_live_message(frame: &[u8]) -> bool {
    let Some(first) = frame.strip_prefix(b">").and_then(|rest| line(rest)) else {
        return false;
    };
    let rest = &frame[1 + first.1..];
    rest.starts_with(b"$7\r\nmessage\r\n") || rest.starts_with(b"$8\r\nsmessage\r\n")
}

/// A line without its end, and how long it is with it; `None` where it is not whole.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], end + 2))
}

/// How long the first frame is; `None` where it is not whole.
fn end_of_frame(bytes: &[u8]) -> Result<Option<usize>, NoFrame> {
    let (mut at, mut parts) = (0, 1_u64);
    while parts > 0 {
        let Some(kind) = bytes.get(at) else {
            return Ok(None);
        };
        let Some((head, length)) = line(&bytes[at + 1..]) else {
            return Ok(None);
        };
        at += 1 + length;
        parts -= 1;
        let number = || {
            std::str::from_utf8(head)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
        };
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'=' | b'!' => {
                if let Ok(text) = usize::try_from(number().ok_or(NoFrame)?) {
                    at += text + 2;
                }
            }
            b'*' | b'~' | b'>' => parts += u64::try_from(number().ok_or(NoFrame)?).unwrap_or(0),
            b'%' | b'|' => parts += 2 * u64::try_from(number().ok_or(NoFrame)?).unwrap_or(0),
            _ => return Err(NoFrame),
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::Frames;

    const HEARD: &[u8] = b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    const LIVE: &[u8] = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n\r\n>3\r\n";
    const ANSWER: &[u8] = b"%1\r\n+a\r\n*2\r\n$-1\r\n_\r\n";

    #[test]
    fn live_messages_are_taken_out_and_nothing_else_is() {
        let all = [HEARD, LIVE, ANSWER, LIVE, HEARD].concat();
        for cut in 0..all.len() {
            let mut frames = Frames::default();
            let (mut passed, mut eaten) = frames.pass(&all[..cut], true);
            let (more, also) = frames.pass(&all[cut..], true);
            passed.extend(more);
            eaten += also;
            assert_eq!(passed, [HEARD, ANSWER, HEARD].concat(), "cut at {cut}");
            assert_eq!(eaten, 2 * LIVE.len() as u64);
        }
        assert_eq!(Frames::default().pass(&all, false), (all, 0));
    }

    #[test]
    fn what_is_no_frame_passes() {
        let mut frames = Frames::default();
        assert_eq!(
            frames.pass(b"HTTP/1.1 200 OK\r\n", true).0,
            b"HTTP/1.1 200 OK\r\n"
        );
        assert_eq!(frames.pass(LIVE, true).0, LIVE);
    }
}
