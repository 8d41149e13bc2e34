//! Answers of models without any rule, in the wire format of each kind: never a panic, the same chunks and the same
//! end in any cuts, and no more than the limits allow.
//!
//! An input is [`HEAD_BYTES`], one that chooses the kind and two of a seed for the cuts, then what a provider sends.

use std::collections::VecDeque;

use super::super::llm::{Chunk, Chunks, Kind, LlmError, Reader, ReaderLimits};

/// Bytes in front of the answer.
pub const HEAD_BYTES: usize = 3;
const LIMITS: ReaderLimits = ReaderLimits {
    line_bytes: 600,
    event_bytes: 500,
    calls: 3,
};

/// What was read: the chunks, and the fault if one ended them.
type Told = (VecDeque<Chunk<'static>>, Option<LlmError>);

/// Holds one input.
pub fn check(data: &[u8]) {
    let Some(([kind, low, high], answer)) = data.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let whole = read(kind, std::iter::once(answer));
    held(&whole, answer.len());
    let mut state = u64::from(*low) << 8 | u64::from(*high) | 1 << 16;
    let mut rest = answer;
    let pieces = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = 1 + (state >> 20) as usize % [1, 5, 60][(state >> 50) as usize % 3];
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(kind, pieces), whole, "{kind:?} in pieces");
}

fn read<'a>(kind: Kind, pieces: impl Iterator<Item = &'a [u8]>) -> Told {
    let mut reader = Reader::new(kind, LIMITS);
    let mut out = Chunks::default();
    let mut told = VecDeque::new();
    let mut end = None;
    for piece in pieces {
        end = match reader.feed(piece, &mut out) {
            Ok(false) => None,
            Ok(true) => Some(reader.end(&mut out)),
            Err(error) => Some(Err(error)),
        };
        drain(&mut out, &mut told);
        if end.is_some() {
            break;
        }
    }
    let end = end.unwrap_or_else(|| reader.finish(&mut out));
    drain(&mut out, &mut told);
    (told, end.err())
}

fn drain(chunks: &mut Chunks, told: &mut VecDeque<Chunk<'static>>) {
    while let Some(chunk) = chunks.take() {
        told.push_back(chunk.into_owned());
    }
}

/// Usage once at most, one end and nothing behind it, nothing empty, and no more text than bytes.
fn held((chunks, fault): &Told, bytes: usize) {
    let is_finish = |chunk: &Chunk<'_>| matches!(chunk, Chunk::Finish(_));
    let ends = chunks.iter().filter(|chunk| is_finish(chunk)).count();
    assert_eq!(ends + usize::from(fault.is_some()), 1, "one end");
    assert!(
        fault.is_some() || chunks.back().is_some_and(is_finish),
        "the end comes last"
    );
    let usages = chunks.iter().filter(|chunk| matches!(chunk, Chunk::Usage(_)));
    assert!(usages.count() <= 1, "usage is told once");
    let mut text_bytes = 0;
    for chunk in chunks {
        match chunk {
            Chunk::Text(text) | Chunk::Reasoning(text) | Chunk::Refusal(text) => {
                assert!(!text.is_empty(), "an empty piece");
                text_bytes += text.len();
            }
            Chunk::Call {
                index,
                id,
                name,
                arguments,
            } => {
                assert!(*index < LIMITS.calls, "call {index}");
                assert!(
                    id.is_some() || name.is_some() || !arguments.is_empty(),
                    "an empty piece"
                );
                text_bytes += arguments.len();
            }
            Chunk::Usage(_) | Chunk::Finish(_) => {}
        }
    }
    assert!(text_bytes <= bytes, "{text_bytes} bytes out of {bytes}");
}
