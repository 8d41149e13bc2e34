//! How fast answers of providers are read: bytes into frames alone, and into chunks, per wire format and core, of long
//! answers in reads of 16 KiB.
//!
//! `cargo bench --bench providers`. Best of many runs taken in turns. The goals: 500 MB/s of framing, 100 MB/s of chunks.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use livedraft::llm::sse::{Decoder, Limits};
use livedraft::llm::{Chunks, Kind, Reader, ReaderLimits};

#[path = "../tests/llm_allocations/frames.rs"]
mod frames;

const BYTES: usize = 4 << 20;
const READ_BYTES: usize = 16 << 10;
const ROUNDS: u32 = 40;
const LIMITS: ReaderLimits = ReaderLimits {
    line_bytes: 4 << 20,
    event_bytes: 4 << 20,
    calls: 128,
};

fn framed(stream: &str) -> usize {
    let mut decoder = Decoder::new(Limits {
        line_bytes: LIMITS.line_bytes,
        event_bytes: LIMITS.event_bytes,
    });
    let mut seen = 0;
    for read in stream.as_bytes().chunks(READ_BYTES) {
        let fed = decoder.feed(black_box(read), |event| seen += event.data.len());
        fed.expect("a stream of events");
    }
    seen
}

fn decoded(kind: Kind, opening: &str, stream: &str) -> usize {
    let mut reader = Reader::new(kind, LIMITS);
    let mut chunks = Chunks::default();
    let mut seen = 0;
    for read in [opening.as_bytes()]
        .into_iter()
        .chain(stream.as_bytes().chunks(READ_BYTES))
    {
        reader.feed(black_box(read), &mut chunks).expect("an answer");
        while let Some(chunk) = chunks.take() {
            black_box(chunk);
            seen += 1;
        }
    }
    seen
}

/// Megabytes a second of the best run.
fn rate(bytes: usize, best: Duration) -> f64 {
    bytes as f64 / 1e6 / best.as_secs_f64()
}

fn timed(best: &mut Duration, run: impl FnOnce() -> usize) {
    let began = Instant::now();
    black_box(run());
    *best = (*best).min(began.elapsed());
}

fn main() {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        rows.push((kind, "text", frames::text(kind)));
        rows.extend(frames::call(kind).map(|frames| (kind, "call", frames)));
    }
    let streams: Vec<String> = rows
        .iter()
        .map(|(_, _, (_, frame))| frame.repeat(BYTES / frame.len()))
        .collect();
    let mut best = vec![(Duration::MAX, Duration::MAX); rows.len()];
    for _ in 0..ROUNDS {
        for (((kind, _, (opening, _)), stream), (frames, chunks)) in rows.iter().zip(&streams).zip(&mut best)
        {
            if *kind != Kind::Ollama {
                timed(frames, || framed(stream));
            }
            timed(chunks, || decoded(*kind, opening, stream));
        }
    }
    println!("kind       value  bytes/frame  framing MB/s  with chunks MB/s  chunks/s");
    for (((kind, value, (_, frame)), stream), (frames, chunks)) in rows.iter().zip(&streams).zip(&best) {
        let framing = match *frames {
            Duration::MAX => "-".to_owned(),
            best => format!("{:.0}", rate(stream.len(), best)),
        };
        let per_second = (stream.len() / frame.len()) as f64 / chunks.as_secs_f64();
        println!(
            "{:<10} {value:<5} {:>12} {framing:>13} {:>16.0} {per_second:>9.0}",
            kind.word(),
            frame.len(),
            rate(stream.len(), *chunks),
        );
    }
}
