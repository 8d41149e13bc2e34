//! The frames of a socket: bytes without any rule, in any cuts, give the same messages and the same fault; no message is
//! longer than may be; and each message, sent alone, is read as itself.
//!
//! An input is [`HEAD_BYTES`], one for each limit and two of a seed for the cuts, then what a client sends.

use bytes::Bytes;

use super::super::frame::{Decoder, Fault, Message};

/// Bytes in front of the frames.
pub const HEAD_BYTES: usize = 4;
/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: usize = 125;

/// What a client is held to.
#[derive(Clone, Copy)]
struct Held {
    /// Bytes of its first message, and of those behind it.
    limits: [u64; 2],
    fragments_max: u32,
}

impl Held {
    fn decoder(self) -> Decoder {
        Decoder::new(self.limits[0], self.fragments_max)
    }

    /// Bytes of any message.
    fn longest(self) -> usize {
        CONTROL_MAX.max(self.limits[1] as usize)
    }
}

/// Holds one input.
pub fn check(data: &[u8]) {
    let Some(([first, fragments, low, high], frames)) = data.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    let limit = u64::from(*first);
    let held = Held {
        limits: [limit, limit * 4],
        fragments_max: u32::from(*fragments % 8) + 1,
    };
    let whole = read(held, std::iter::once(frames));
    for message in &whole.0 {
        assert!(
            payload(message).len() <= held.longest(),
            "{message:?} is too long"
        );
        if let Some(frame) = sent(message) {
            let alone = Held {
                limits: [held.limits[1]; 2],
                ..held
            };
            assert_eq!(
                read(alone, std::iter::once(&*frame)),
                (vec![message.clone()], None)
            );
        }
    }
    assert_eq!(read(held, frames.chunks(1)), whole, "byte by byte");
    let seed = u32::from(u16::from_le_bytes([*low, *high]));
    assert_eq!(read(held, Cuts { rest: frames, seed }), whole, "cut by {seed}");
}

/// All messages, and the fault that ended them.
fn read<'a>(held: Held, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<Fault>) {
    let mut decoder = held.decoder();
    let mut messages = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
            // As a socket does once its client has said who it is.
            decoder.take_messages_of(held.limits[1]);
        }
    }
    (messages, None)
}

/// Pieces of up to sixteen bytes, some of them empty.
struct Cuts<'a> {
    rest: &'a [u8],
    seed: u32,
}

impl<'a> Iterator for Cuts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.seed = self.seed.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let length = (self.seed >> 16) as usize % 17;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

fn payload(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) | Message::Ping(bytes) => bytes,
        Message::Pong | Message::Close(_) => &[],
    }
}

/// The message in one frame of a client; `None` for what does not keep all that it was.
fn sent(message: &Message) -> Option<Vec<u8>> {
    let opcode = match message {
        Message::Text(_) => 0x1,
        Message::Binary(_) => 0x2,
        Message::Ping(_) => 0x9,
        Message::Pong | Message::Close(_) => return None,
    };
    let payload = payload(message);
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at & 3]));
    Some(frame)
}
