//! WebSocket frames (RFC 6455): bytes in any cuts to messages, and messages to bytes.
//!
//! A frame is judged by its header: one that declares more than the limit is refused before its payload is read, so
//! what a client can make the server hold is bounded by the limit, whatever it declares.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wire::Close;

/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: u64 = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A message of the peer, its fragments put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// Text, which is UTF-8.
    Text(String),
    /// Anything else.
    Binary(Bytes),
    /// A ping; its bytes go back in the pong.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The peer closes, with this code if it gave one.
    Close(Option<u16>),
}

/// Why the peer's bytes cannot be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// They break the rules of the framing; what is wrong, for the log.
    Protocol(&'static str),
    /// A text is not UTF-8.
    NotUtf8,
    /// A message is, or says it will be, over the limit.
    TooLarge,
    /// A message comes in more fragments than may be.
    TooManyFragments,
}

impl Fault {
    /// How the socket is closed for it.
    pub(super) const fn close(self) -> Close {
        match self {
            Self::Protocol(_) => Close::Protocol,
            Self::NotUtf8 => Close::NotUtf8,
            Self::TooLarge => Close::TooLarge,
            Self::TooManyFragments => Close::Flood,
        }
    }
}

/// Reads a client's frames.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: u64,
    fragments_max: u32,
    input: Bytes,
    header: Header,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The message of the frames so far, and whether it is text.
    message: Vec<u8>,
    fragments: Option<Fragments>,
    control: Vec<u8>,
}

/// The frames of a message that is under way.
#[derive(Clone, Copy, Debug)]
struct Fragments {
    is_text: bool,
    count: u32,
}

/// The header read so far: at most two bytes, eight of length and four of mask.
#[derive(Debug, Default)]
struct Header {
    bytes: [u8; 14],
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: u8,
    left: u64,
    mask: [u8; 4],
    turn: usize,
}

impl Frame {
    const fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }
}

impl Decoder {
    /// A decoder that takes messages up to `limit` bytes, in up to `fragments_max` frames.
    pub(super) fn new(limit: u64, fragments_max: u32) -> Self {
        Self {
            limit,
            fragments_max,
            input: Bytes::new(),
            header: Header::default(),
            frame: None,
            message: Vec::new(),
            fragments: None,
            control: Vec::new(),
        }
    }

    /// Takes messages up to `limit` bytes from the next header on.
    pub(super) const fn take_messages_of(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Gives it what was read. Call it once [`next`](Self::next) has nothing more to say.
    pub(super) fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// The next message; `None` when more bytes are needed. After a fault nothing can be read any more.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Fault> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header()? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            self.payload(&mut frame);
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(message) = self.finish(frame)? {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a header as far as there are bytes, judging each field as soon as it is there.
    fn header(&mut self) -> Result<Option<Frame>, Fault> {
        while self.input.has_remaining() {
            self.header.bytes[self.header.len] = self.input.get_u8();
            self.header.len += 1;
            if self.header.len == 2 {
                self.judge_start()?;
            }
            if self.header.len >= 2 && self.header.len == self.header.before_mask() {
                self.judge_length()?;
            }
            if self.header.len >= 2 && self.header.len == self.header.before_mask() + 4 {
                let frame = self.header.frame();
                self.header = Header::default();
                self.begin(frame)?;
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn judge_start(&self) -> Result<(), Fault> {
        let [first, second, ..] = self.header.bytes;
        if first & RESERVED != 0 {
            return Err(Fault::Protocol("a reserved bit is set"));
        }
        if second & MASKED == 0 {
            return Err(Fault::Protocol("a client's frame is not masked"));
        }
        match first & 0x0F {
            CONTINUATION | TEXT | BINARY => Ok(()),
            CLOSE | PING | PONG if first & FIN == 0 => Err(Fault::Protocol("a control frame is fragmented")),
            CLOSE | PING | PONG if u64::from(second & !MASKED) > CONTROL_MAX => {
                Err(Fault::Protocol("a control frame is longer than 125 bytes"))
            }
            CLOSE | PING | PONG => Ok(()),
            _ => Err(Fault::Protocol("an unknown opcode")),
        }
    }

    fn judge_length(&self) -> Result<(), Fault> {
        let length = self.header.length();
        let least = match self.header.bytes[1] & !MASKED {
            127 => 1 << 16,
            126 => 126,
            _ => 0,
        };
        if length < least || length >> 63 != 0 {
            return Err(Fault::Protocol("a length is not written as it must be"));
        }
        let control = self.header.bytes[0] & 0x0F >= CLOSE;
        let before = if control { 0 } else { self.message.len() as u64 };
        if before + length > self.limit.max(CONTROL_MAX) {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// A data frame begins a message or goes on with one.
    fn begin(&mut self, frame: Frame) -> Result<(), Fault> {
        match (frame.opcode, &mut self.fragments) {
            (TEXT | BINARY, Some(_)) => Err(Fault::Protocol("a message begins inside another")),
            (CONTINUATION, None) => Err(Fault::Protocol("a continuation of nothing")),
            (CONTINUATION, Some(fragments)) if fragments.count >= self.fragments_max => {
                Err(Fault::TooManyFragments)
            }
            (CONTINUATION, Some(fragments)) => {
                fragments.count += 1;
                Ok(())
            }
            (TEXT | BINARY, none @ None) => {
                *none = Some(Fragments {
                    is_text: frame.opcode == TEXT,
                    count: 1,
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn payload(&mut self, frame: &mut Frame) {
        let there = usize::try_from(frame.left)
            .unwrap_or(usize::MAX)
            .min(self.input.len());
        let payload = self.input.split_to(there);
        let target = if frame.is_control() {
            &mut self.control
        } else {
            &mut self.message
        };
        let turn = frame.turn;
        target.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ frame.mask[(turn + at) & 3]),
        );
        frame.turn = (turn + there) & 3;
        frame.left -= there as u64;
    }

    fn finish(&mut self, frame: Frame) -> Result<Option<Message>, Fault> {
        if frame.is_control() {
            let payload = std::mem::take(&mut self.control);
            return match frame.opcode {
                PING => Ok(Some(Message::Ping(payload.into()))),
                PONG => Ok(Some(Message::Pong)),
                _ => close_code(&payload).map(|code| Some(Message::Close(code))),
            };
        }
        if !frame.fin {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.message);
        if self.fragments.take().is_some_and(|fragments| fragments.is_text) {
            let text = String::from_utf8(message).map_err(|_| Fault::NotUtf8)?;
            return Ok(Some(Message::Text(text)));
        }
        Ok(Some(Message::Binary(message.into())))
    }
}

impl Header {
    /// Bytes of the header without its mask; known from the second byte on.
    const fn before_mask(&self) -> usize {
        match self.bytes[1] & !MASKED {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn length(&self) -> u64 {
        match self.bytes[1] & !MASKED {
            126 => u64::from(u16::from_be_bytes([self.bytes[2], self.bytes[3]])),
            127 => (&self.bytes[2..10]).get_u64(),
            short => u64::from(short),
        }
    }

    fn frame(&self) -> Frame {
        let at = self.before_mask();
        Frame {
            fin: self.bytes[0] & FIN != 0,
            opcode: self.bytes[0] & 0x0F,
            left: self.length(),
            mask: std::array::from_fn(|place| self.bytes[at + place]),
            turn: 0,
        }
    }
}

/// The code in a close frame's payload (RFC 6455 §7.4): codes that may not stand there are faults.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Fault::Protocol("half a close code"))
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::Protocol("a close code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Fault::NotUtf8),
    }
}

/// Writes a text frame.
pub(super) fn text(out: &mut BytesMut, text: &str) {
    write(out, TEXT, text.as_bytes());
}

/// Writes a binary frame.
pub(super) fn binary(out: &mut BytesMut, payload: &[u8]) {
    write(out, BINARY, payload);
}

/// Writes a ping without payload.
pub(super) fn ping(out: &mut BytesMut) {
    write(out, PING, b"");
}

/// Writes the answer to a ping.
pub(super) fn pong(out: &mut BytesMut, payload: &[u8]) {
    write(out, PONG, payload);
}

/// Writes a close frame; `None` echoes a close that gave no code.
pub(super) fn close(out: &mut BytesMut, code: Option<u16>, reason: &str) {
    let mut payload = Vec::with_capacity(2 + reason.len());
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    write(out, CLOSE, &payload);
}

/// A server's frames are whole and not masked.
fn write(out: &mut BytesMut, opcode: u8, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.put_u8(FIN | opcode);
    match payload.len() {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(MASKED | length as u8),
            length => {
                frame.push(MASKED | 126);
                frame.extend((length as u16).to_be_bytes());
            }
        }
        let mask = [7, 99, 200, 31];
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at & 3]));
        frame
    }

    /// All messages, and the fault that ended them, reading `cut` bytes at a time.
    fn read(bytes: &[u8], limit: u64, cut: usize) -> (Vec<Message>, Option<Fault>) {
        let mut decoder = Decoder::new(limit, 3);
        let mut messages = Vec::new();
        for chunk in bytes.chunks(cut) {
            decoder.push(Bytes::copy_from_slice(chunk));
            loop {
                match decoder.next() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
        }
        (messages, None)
    }

    #[test]
    fn messages_do_not_depend_on_cuts() {
        let long = "ü".repeat(300);
        let bytes = [
            masked(FIN | TEXT, b"one"),
            masked(TEXT, "tw\u{f6}".as_bytes()),
            masked(FIN | PING, b"beat"),
            masked(CONTINUATION, b""),
            masked(FIN | CONTINUATION, b"!"),
            masked(FIN | BINARY, &[0, 255]),
            masked(FIN | TEXT, long.as_bytes()),
            masked(FIN | PONG, b""),
            masked(FIN | CLOSE, &[0x03, 0xE8, b'b']),
        ]
        .concat();
        let expected = vec![
            Message::Text("one".to_owned()),
            Message::Ping(Bytes::from_static(b"beat")),
            Message::Text("tw\u{f6}!".to_owned()),
            Message::Binary(Bytes::from_static(&[0, 255])),
            Message::Text(long),
            Message::Pong,
            Message::Close(Some(1000)),
        ];
        for cut in 1..bytes.len() {
            assert_eq!(read(&bytes, 1_000, cut), (expected.clone(), None), "cut {cut}");
        }
    }

    #[test]
    fn faults_are_told_by_the_header() {
        let huge = [FIN | TEXT, MASKED | 127, 0, 0, 0, 0, 0x40, 0, 0, 0];
        let cases: Vec<(Vec<u8>, Fault)> = vec![
            (huge.to_vec(), Fault::TooLarge),
            (
                vec![FIN | TEXT, 3],
                Fault::Protocol("a client's frame is not masked"),
            ),
            (
                vec![FIN | 0x40 | TEXT, MASKED],
                Fault::Protocol("a reserved bit is set"),
            ),
            (vec![FIN | 0x3, MASKED], Fault::Protocol("an unknown opcode")),
            (
                vec![FIN | PING, MASKED | 126],
                Fault::Protocol("a control frame is longer than 125 bytes"),
            ),
            (
                vec![PING, MASKED],
                Fault::Protocol("a control frame is fragmented"),
            ),
            (
                masked(FIN | CONTINUATION, b""),
                Fault::Protocol("a continuation of nothing"),
            ),
            (
                [masked(TEXT, b"a"), masked(FIN | TEXT, b"b")].concat(),
                Fault::Protocol("a message begins inside another"),
            ),
            (
                vec![FIN | TEXT, MASKED | 126, 0, 5],
                Fault::Protocol("a length is not written as it must be"),
            ),
            (masked(FIN | CLOSE, &[3]), Fault::Protocol("half a close code")),
            (
                masked(FIN | CLOSE, &[0x03, 0xED]),
                Fault::Protocol("a close code that may not be sent"),
            ),
            (masked(FIN | TEXT, &[0xC3, 0x28]), Fault::NotUtf8),
            (
                [masked(TEXT, &[b'a'; 600]), masked(CONTINUATION, &[b'a'; 600])].concat(),
                Fault::TooLarge,
            ),
            (
                [masked(TEXT, b""), masked(CONTINUATION, b"").repeat(3)].concat(),
                Fault::TooManyFragments,
            ),
        ];
        for (bytes, fault) in cases {
            assert_eq!(read(&bytes, 1_000, bytes.len()).1, Some(fault), "{bytes:?}");
            assert_eq!(read(&bytes, 1_000, 1).1, Some(fault), "{bytes:?} by bytes");
        }
    }

    #[test]
    fn frames_are_written_with_the_shortest_length() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = BytesMut::new();
            text(&mut out, &"x".repeat(length));
            assert_eq!(out.len(), header + length);
            assert_eq!(out[0], FIN | TEXT);
        }
        let mut out = BytesMut::new();
        close(&mut out, Some(1012), "bye");
        assert_eq!(&out[..], &[FIN | CLOSE, 5, 0x03, 0xF4, b'b', b'y', b'e']);
    }
}
