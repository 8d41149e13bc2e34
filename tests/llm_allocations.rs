//! Allocations of the way from a provider's bytes to its chunks, counted: none per chunk.

pub(crate) mod frames;

use livedraft::llm::{Chunk, Chunks, Kind, Reader, ReaderLimits};

const LIMITS: ReaderLimits = ReaderLimits {
    line_bytes: 1 << 20,
    event_bytes: 1 << 20,
    calls: 16,
};
const FRAMES: usize = 1_000;
/// Bytes of a read from a socket, which ends where it likes.
const READ_BYTES: usize = 1_400;

/// Reads a stream as a connection would bring it, and gives how many chunks it held and what was asked of memory once
/// every buffer has its size.
fn allocated(kind: Kind, opening: &str, frame: &str) -> (usize, u64) {
    let mut reader = Reader::new(kind, LIMITS);
    let mut chunks = Chunks::default();
    let mut seen = 0;
    let mut read = |bytes: &[u8]| {
        assert_eq!(reader.feed(bytes, &mut chunks).ok(), Some(false), "{kind:?}");
        while let Some(chunk) = chunks.take() {
            seen += usize::from(matches!(chunk, Chunk::Text(_) | Chunk::Call { .. }));
        }
    };
    let stream = frame.repeat(FRAMES);
    read(opening.as_bytes());
    stream.as_bytes().chunks(READ_BYTES).for_each(&mut read);
    let counted = allocation_counter::measure(|| stream.as_bytes().chunks(READ_BYTES).for_each(&mut read));
    (seen, counted.count_total)
}

#[test]
fn a_chunk_of_any_provider_allocates_nothing() {
    for kind in Kind::ALL {
        let (opening, frame) = frames::text(kind);
        assert_eq!(allocated(kind, opening, frame), (2 * FRAMES, 0), "{kind:?}");
        if let Some((opening, frame)) = frames::call(kind) {
            assert_eq!(
                allocated(kind, opening, frame),
                (2 * FRAMES + 1, 0),
                "{kind:?} calls"
            );
        }
    }
}

/// The counter counts, and a frame that is no ordinary one may cost something.
#[test]
fn what_is_kept_of_a_call_is_counted() {
    let counted = allocation_counter::measure(|| {
        let (opening, _) = frames::call(Kind::OpenAi).unwrap();
        let mut chunks = Chunks::default();
        let read = Reader::new(Kind::OpenAi, LIMITS).feed(opening.as_bytes(), &mut chunks);
        assert_eq!((read.ok(), chunks.len()), (Some(false), 1));
    });
    assert!(counted.count_total > 0);
}
