//! What counting costs where tokens go by: a token that is parsed, told, framed and made an entry, without and with what
//! is counted of it; with what is counted where a viewer is sent it, as if each were a frame and a batch of its own; and
//! the way of the worker's token as far as the log of an engine in memory, where the entry is counted too.
//!
//! `cargo bench --bench metrics`. Best of many runs taken in turns; compare the ratios. The goal: 3 % of the way into the
//! log at most.
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

/// What is counted of a token.
#[derive(Clone, Copy)]
enum Counted {
    Nothing,
    Entry,
    EntryAndViewer,
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

fn tokens(document: &str, counted: Counted) {
    frames(document, |seq, frame, _| {
        let bytes = frame.len();
        let position = Position {
            epoch: Epoch::new(1),
            seq,
        };
        let event = Event::Patch(frame.into());
        let entry = Entry {
            position,
            opens: None,
            event,
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
    });
}

/// The same into the log of an engine: counted, too.
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
    println!(
        "shape    nothing counted    its entry            and its viewer       into the log, its entry counted"
    );
    for (shape, document) in [("text", text()), ("array", array())] {
        let kinds = [Counted::Nothing, Counted::Entry, Counted::EntryAndViewer];
        let mut best = [Duration::MAX; 4];
        for _ in 0..ROUNDS {
            for (best, counted) in best.iter_mut().zip(kinds) {
                *best = timed(|| tokens(&document, counted)).min(*best);
            }
            best[3] = timed(|| into_the_log(&document, &runtime)).min(best[3]);
        }
        let per_token =
            |time: Duration| time.as_secs_f64() * 1e9 / document.len().div_ceil(TOKEN_BYTES) as f64;
        let [nothing, entry, viewer, log] = best.map(per_token);
        println!(
            "{shape:<8} {nothing:>8.1} ns/token {entry:>8.1} ns  {:>5.3}x {viewer:>8.1} ns  {:>5.3}x {log:>8.1} ns, \
             of which counting {:.1} %",
            entry / nothing,
            viewer / nothing,
            100.0 * (entry - nothing) / log,
        );
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}
