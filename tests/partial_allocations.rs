//! Allocations of the draft engine, counted: none per token while a string grows.

use livedraft::partial::{Draft, DraftOptions, OpEncoder};

const TOKEN: &[u8] = b"word";
const TOKENS: u64 = 250_000;
/// The string's buffer doubles, from a few bytes to a megabyte; nothing else may ask for memory.
const DOUBLINGS_MAX: u64 = 24;

/// Allocations of a string of a megabyte that grows token by token, behind `before`.
fn growing(before: &[u8], flush: bool) -> u64 {
    let mut draft = Draft::new(DraftOptions::default());
    let mut encoder = OpEncoder::default();
    draft.feed(before);
    // The buffers of a patch are as large as they get once two were written.
    for _ in 0..2 {
        draft.feed(TOKEN);
        draft.flush(&mut encoder);
        encoder.clear();
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..TOKENS {
            draft.feed(TOKEN);
            if flush {
                draft.flush(&mut encoder);
                encoder.clear();
            }
        }
    });
    assert!(counted.count_total > 0, "the counter does not count");
    counted.count_total
}

#[test]
fn a_token_inside_a_string_allocates_nothing() {
    for before in [&b"\""[..], b"{\"text\":\"", b"{\"a\":[{\"b\":[1,2,{\"text\":\""] {
        for flush in [false, true] {
            let count = growing(before, flush);
            assert!(
                count <= DOUBLINGS_MAX,
                "{count} allocations in {TOKENS} tokens behind {:?}",
                String::from_utf8_lossy(before)
            );
        }
    }
}

#[test]
fn between_two_doublings_nothing_is_allocated() {
    let mut draft = Draft::new(DraftOptions::default());
    let mut encoder = OpEncoder::default();
    let mut token = |draft: &mut Draft| {
        draft.feed(TOKEN);
        draft.flush(&mut encoder);
        encoder.clear();
    };
    draft.feed(b"{\"text\":\"");
    let with: u64 = (0..TOKENS)
        .filter(|_| allocation_counter::measure(|| token(&mut draft)).count_total > 0)
        .count() as u64;
    assert!(with <= DOUBLINGS_MAX, "{with} of {TOKENS} tokens allocated");
}
