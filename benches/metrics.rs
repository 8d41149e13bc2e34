//! What counting costs where tokens go by: what is counted of a token's entry, alone; what is counted where a viewer is
//! sent it, as if each were a frame and a batch of its own; and beside them the way of the worker's token (parsed, told,
//! framed) as far as the log of an engine in memory, where its entry is counted.
//!
//! `cargo bench --bench metrics`. Best of many runs taken in turns. The goal: 3 % of the way into the log at most.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{Append, Appended, EventLog as _, JobQueue as _, Submission, Write};
use livedraft::event::{Entry, Epoch, Event, Position, patch::PatchWriter};
use livedraft::job::JobId;
use livedraft::metrics;
use livedraft::partial::{Draft, DraftOptions};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

const TOKEN_BYTES: usize = 4;
const BYTES: usize = 20_000;
const ROUNDS: u32 = 400;
const JOB: &str = "0193a3c4-5d6e-7f80-9123-456789abcdef";
/// Behind the submission and the claim.
const FIRST_SEQ: u64 = 3;

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

/// Gives the frame of every token that changes something, and the token, to `each`.
fn frames(document: &str, mut each: impl FnMut(u64, &str, &str)) {
    let mut draft = Draft::new(DraftOptions::default());
    let job: JobId = JOB.parse().expect("an id");
    let mut patches = PatchWriter::new(job.tag(), None);
    let mut seq = FIRST_SEQ;
    for token in document.as_bytes().chunks(TOKEN_BYTES) {
        draft.feed(black_box(token));
        if let Some(frame) = patches.flush(&mut draft, seq) {
            each(seq, frame, std::str::from_utf8(token).expect("ASCII"));
            seq += 1;
        }
    }
}

fn entries(document: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    frames(document, |seq, frame, _| {
        entries.push(Entry {
            position: Position {
                epoch: Epoch::new(1),
                seq,
            },
            opens: None,
            event: Event::Patch(frame.into()),
        });
    });
    entries
}

fn count_entries(entries: &[Entry]) {
    for entry in entries {
        metrics::written(black_box(entry));
    }
}

fn count_frames(entries: &[Entry]) {
    for entry in entries {
        metrics::all().frames_out.add(1);
        metrics::all().bytes_out.add(black_box(entry).event.bytes());
    }
}

/// The whole way, counting included.
fn into_the_log(document: &str, runtime: &Runtime) {
    let engine = Embedded::new(EngineOptions::default());
    let spec = json!({"model": "scripted", "input": "x", "schema": {}});
    let submission = Submission {
        id: JOB.parse().expect("an id"),
        epoch: Epoch::new(1),
        tenant: "one".into(),
        spec: Arc::new(serde_json::from_value(spec).expect("a spec")),
        shape: Arc::default(),
        idempotency: None,
    };
    let claimed = runtime.block_on(async {
        engine.submit(submission).await.expect("it is kept");
        engine.claim(7, Epoch::new(2)).await
    });
    let claim = claimed.expect("an engine").expect("a job");
    frames(document, |seq, frame, token| {
        let append = Append {
            write: Write {
                position: Position {
                    seq,
                    ..claim.position
                },
                opens: false,
                event: Event::Patch(frame.into()),
            },
            raw: token.to_owned(),
            raw_anew: false,
            record: None,
            snapshot: None,
        };
        let answer = runtime.block_on(engine.append(claim.id, claim.token(), &append));
        assert_eq!(answer, Ok(Appended::Ok));
    });
}

fn main() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    println!("shape    into the log     of which counting      at a viewer");
    for (shape, document) in [("text", text()), ("array", array())] {
        let entries = entries(&document);
        let mut best = [Duration::MAX; 3];
        for _ in 0..ROUNDS {
            best[0] = timed(|| into_the_log(&document, &runtime)).min(best[0]);
            best[1] = timed(|| count_entries(&entries)).min(best[1]);
            best[2] = timed(|| count_frames(&entries)).min(best[2]);
        }
        let each = |time: Duration| time.as_secs_f64() * 1e9 / entries.len() as f64;
        let [log, entry, viewer] = best.map(each);
        println!(
            "{shape:<8} {log:>8.1} ns {entry:>10.1} ns {:>5.1} % {viewer:>12.1} ns",
            100.0 * entry / log
        );
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}
