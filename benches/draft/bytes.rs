//! What a viewer of patches is sent: whole frames, written as the worker writes them, over the bytes of the document.

use livedraft::event::PatchWriter;
use livedraft::job::JobId;
use livedraft::partial::{Draft, DraftOptions};

use crate::{Shape, TOKEN_BYTES};

/// Tokens that share a frame: each its own, and what a window of 33 ms gathers at 120 tokens a second.
const TOKENS_PER_FRAME: [usize; 2] = [1, 4];

pub(crate) fn run(shapes: &[Shape], sizes: &[usize]) {
    println!("\nBytes to a viewer of patches over bytes of the document");
    println!("shape   bytes     1 token a frame   4 tokens a frame   bytes a frame");
    for (name, make) in shapes {
        for bytes in sizes {
            let document = make(*bytes);
            let sent = TOKENS_PER_FRAME.map(|tokens| frames(&document, tokens));
            let over = |sent: usize| sent as f64 / document.len() as f64;
            let per_frame = |(sent, frames): (usize, usize)| sent as f64 / frames as f64;
            println!(
                "{name:6} {:8} {:16.2}x {:17.2}x {:8.1} / {:.1}",
                document.len(),
                over(sent[0].0),
                over(sent[1].0),
                per_frame(sent[0]),
                per_frame(sent[1]),
            );
        }
    }
}

/// Bytes of all frames, and how many there were.
fn frames(document: &str, tokens: usize) -> (usize, usize) {
    let job: JobId = "0193a3c4-5d6e-7f80-9123-456789abcdef".parse().expect("an id");
    let mut draft = Draft::new(DraftOptions::default());
    let mut patches = PatchWriter::new(job.tag(), None);
    let (mut bytes, mut count) = (0, 0);
    for chunk in document.as_bytes().chunks(tokens * TOKEN_BYTES) {
        draft.feed(chunk);
        if let Some(frame) = patches.flush(&mut draft, count as u64) {
            bytes += frame.len();
            count += 1;
        }
    }
    (bytes, count)
}
