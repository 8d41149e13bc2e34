//! What counting costs where tokens go by: a token that is parsed, told, framed and made an entry, without and with what
//! is counted of it; then also what is counted where a viewer is sent it, as if each were a frame and a batch of its own.
//!
//! `cargo bench --bench metrics`. Best of many runs taken in turns; compare the ratios. The goal: 3 % of a token at most.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use livedraft::event::{Entry, Epoch, Event, Position, patch};
use livedraft::job::JobId;
use livedraft::metrics;
use livedraft::partial::{Draft, DraftOptions, OpEncoder};

const TOKEN_BYTES: usize = 4;
const BYTES: usize = 20_000;
const ROUNDS: u32 = 400;

fn text() -> String {
    let body = "The quick brown fox jumps over the lazy dog, again and again. ".repeat(BYTES / 62);
    format!("{{\"text\":\"{body}\"}}")
}

fn array() -> String {
    let mut out = String::from("[0");
    for n in 0.. {
        if out.len() >= BYTES {
            break;
        }
        write!(
            out,
            ",{{\"id\":{n},\"title\":\"Item number {n}\",\"tags\":[\"red\",\"blue\"]}}"
        )
        .expect("a String takes everything");
    }
    out + "]"
}

/// What is counted of a token.
#[derive(Clone, Copy)]
enum Counted {
    Nothing,
    Entry,
    EntryAndViewer,
}

fn tokens(document: &str, counted: Counted) {
    let mut draft = Draft::new(DraftOptions::default());
    let job: JobId = "0193a3c4-5d6e-7f80-9123-456789abcdef".parse().expect("an id");
    let mut encoder = OpEncoder::default();
    let mut at = Vec::new();
    for (seq, token) in (1..).zip(document.as_bytes().chunks(TOKEN_BYTES)) {
        draft.feed(black_box(token));
        draft.flush(&mut encoder);
        let moved = !draft.is_open_at(&at);
        if moved {
            at = draft.open_paths();
        }
        let places = moved.then(|| encoder.places(&at));
        let frame = patch::encode(job.tag(), seq, encoder.ops(), places.as_deref());
        encoder.clear();
        let bytes = frame.len();
        let entry = Entry {
            position: Position {
                epoch: Epoch::new(1),
                seq,
            },
            opens: None,
            event: Event::Patch(frame.into()),
        };
        match counted {
            Counted::Nothing => {}
            Counted::Entry => metrics::written(&entry),
            Counted::EntryAndViewer => {
                metrics::written(&entry);
                metrics::all().frames_out.add(1);
                metrics::all().bytes_out.add(bytes);
            }
        }
        black_box(entry);
    }
}

fn main() {
    println!("shape    nothing counted    its entry            and its viewer");
    for (shape, document) in [("text", text()), ("array", array())] {
        let kinds = [Counted::Nothing, Counted::Entry, Counted::EntryAndViewer];
        let mut best = [Duration::MAX; 3];
        for _ in 0..ROUNDS {
            for (best, counted) in best.iter_mut().zip(kinds) {
                let begun = Instant::now();
                tokens(&document, counted);
                *best = begun.elapsed().min(*best);
            }
        }
        let per_token =
            |time: Duration| time.as_secs_f64() * 1e9 / document.len().div_ceil(TOKEN_BYTES) as f64;
        let [nothing, entry, viewer] = best.map(per_token);
        println!(
            "{shape:<8} {nothing:>8.1} ns/token {entry:>8.1} ns  {:>5.3}x {viewer:>8.1} ns  {:>5.3}x",
            entry / nothing,
            viewer / nothing,
        );
    }
}
