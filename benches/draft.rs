//! What a token costs: documents of four shapes in 4-byte tokens, parsed, told and framed, over one one-shot
//! `serde_json` parse of the same text. `+schema` steers each frame's draft by a schema, `+checks` also validates what
//! closes, `judge` is the final judgement alone. Best of several runs; compare ratios, not times of different machines.
//!
//! `cargo bench --bench draft` runs all sections; `-- tokens`, `-- bytes`, `-- reparse` one alone.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livedraft::event::PatchWriter;
use livedraft::job::JobId;
use livedraft::partial::{Draft, DraftOptions, Guide};
use livedraft::schema::{Schema, SchemaLimits};
use serde_json::{Value as Json, json};

#[path = "draft/bytes.rs"]
mod bytes;
#[path = "draft/reparse.rs"]
mod reparse;

const TOKEN_BYTES: usize = 4;
const SENTENCE: &str = "The quick brown fox jumps over the lazy dog, again and again. ";

fn text(bytes: usize) -> String {
    let mut out = String::from("{\"text\":\"");
    while out.len() + 2 < bytes {
        out.push_str(SENTENCE);
    }
    out + "\"}"
}

fn fields(bytes: usize) -> String {
    let mut out = String::from("{");
    let mut n = 0;
    while out.len() + 2 < bytes {
        let comma = if n > 0 { "," } else { "" };
        let written = write!(
            out,
            "{comma}\"person_{n}\":{{\"name\":\"Ada Lovelace\",\"age\":{n},\"email\":\"ada{n}@example.org\",\
             \"active\":true,\"score\":{n}.25,\"manager\":null}}"
        );
        written.expect("a String takes everything");
        n += 1;
    }
    out + "}"
}

fn array(bytes: usize) -> String {
    let mut out = String::from("{\"items\":[");
    let mut n = 0;
    while out.len() + 3 < bytes {
        let comma = if n > 0 { "," } else { "" };
        let written = write!(
            out,
            "{comma}{{\"id\":{n},\"title\":\"Item number {n}\",\"tags\":[\"red\",\"blue\"]}}"
        );
        written.expect("a String takes everything");
        n += 1;
    }
    out + "]}"
}

fn deep(bytes: usize) -> String {
    let mut out = String::from("[");
    let mut n = 0;
    while out.len() + 2 < bytes {
        out.push_str(if n > 0 { "," } else { "" });
        for level in 0..12 {
            write!(out, "{{\"level_{level}\":{level},\"child\":").expect("a String takes everything");
        }
        out.push_str("\"leaf\"");
        out.push_str(&"}".repeat(12));
        n += 1;
    }
    out + "]"
}

/// The best run of each, taken in turns: what else the machine does meanwhile then meets all of them alike.
fn best<const N: usize>(mut runs: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    let end = Instant::now() + Duration::from_millis(400 * N as u64);
    let mut rounds = 0;
    while rounds < 5 || (Instant::now() < end && rounds < 4000) {
        for (run, best) in runs.iter_mut().zip(&mut best) {
            let start = Instant::now();
            run();
            *best = start.elapsed().min(*best);
        }
        rounds += 1;
    }
    best
}

fn parse_tokens(document: &str) {
    let mut draft = Draft::new(DraftOptions::default());
    for token in document.as_bytes().chunks(TOKEN_BYTES) {
        draft.feed(black_box(token));
    }
    draft.finish();
    black_box(&draft);
}

/// What each shape's schema says.
fn schema(shape: &str) -> Schema {
    let declared = match shape {
        "text" => json!({ "type": "object", "properties": { "text": { "type": "string" } } }),
        "fields" => json!({ "type": "object", "additionalProperties": {
            "type": "object", "required": ["name", "age", "email"], "additionalProperties": false,
            "properties": {
                "name": { "type": "string", "maxLength": 80 }, "age": { "type": "integer", "minimum": 0 },
                "email": { "type": "string", "pattern": "@" }, "active": { "type": "boolean" },
                "score": { "type": "number" }, "manager": { "type": ["string", "null"] },
            },
        } }),
        "deep" => levels(),
        _ => json!({ "type": "object", "properties": { "items": { "type": "array", "items": {
            "type": "object", "required": ["id", "title", "tags"], "additionalProperties": false,
            "properties": {
                "id": { "type": "integer", "minimum": 0 }, "title": { "type": "string", "maxLength": 80 },
                "tags": { "type": "array", "items": { "enum": ["red", "green", "blue"] }, "maxItems": 8 },
            },
        } } } }),
    };
    Schema::compile(&declared, &SchemaLimits::default()).expect("a schema")
}

/// Twelve objects within each other.
fn levels() -> Json {
    let item = (0..12).rev().fold(json!({ "type": "string" }), |child, level| {
        let number = format!("level_{level}");
        json!({ "type": "object", "required": [number], "properties": {
            number: { "type": "integer" }, "child": child,
        } })
    });
    json!({ "type": "array", "items": item })
}

fn check_tokens(document: &str, schema: &Schema) {
    frame_tokens(document, Some(schema.closing()));
}

fn frame_tokens(document: &str, guide: Option<Arc<dyn Guide>>) {
    let mut draft = Draft::new(DraftOptions {
        guide,
        ..DraftOptions::default()
    });
    let job: JobId = "0193a3c4-5d6e-7f80-9123-456789abcdef".parse().expect("an id");
    let mut patches = PatchWriter::new(job.tag(), None);
    let mut seq = 0;
    for token in document.as_bytes().chunks(TOKEN_BYTES) {
        draft.feed(black_box(token));
        seq += u64::from(black_box(patches.flush(&mut draft, seq)).is_some());
    }
    draft.finish();
}

/// A name, and what makes a document of about so many bytes.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: [Shape; 4] = [
    ("text", text),
    ("fields", fields),
    ("deep", deep),
    ("array", array),
];
const SIZES: [usize; 4] = [1_000, 20_000, 200_000, 1_000_000];

fn main() {
    // Cargo adds a flag of its own.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wants = |section: &str| asked.is_empty() || asked.iter().any(|word| word == section);
    println!("allocator: {ALLOCATOR}");
    if wants("tokens") {
        tokens();
    }
    if wants("bytes") {
        bytes::run(&SHAPES, &SIZES);
    }
    if wants("reparse") {
        reparse::run(&SHAPES, &SIZES);
    }
}

/// The system's, as in the program that is shipped.
const ALLOCATOR: &str = if cfg!(target_env = "gnu") {
    "malloc of glibc"
} else {
    "malloc of the system"
};

fn tokens() {
    println!("\nA token of {TOKEN_BYTES} bytes over one one-shot parse");
    println!(
        "shape   bytes     serde_json   one feed  tokens  +op+frame   +schema   +checks    judge   ns/token  ns/token+frame"
    );
    for (name, make) in SHAPES {
        for bytes in SIZES {
            let document = make(bytes);
            let tokens = document.len().div_ceil(TOKEN_BYTES) as f64;
            let schema = schema(name);
            let value = livedraft::partial::parse(&document).expect("JSON");
            assert!(schema.validate(&value).is_empty());
            let [one_shot, whole, parsed, framed, steered, checked, judged] = best([
                &mut || {
                    black_box(serde_json::from_str::<serde_json::Value>(black_box(&document)).is_ok());
                },
                &mut || {
                    black_box(livedraft::partial::parse(black_box(&document)).is_ok());
                },
                &mut || parse_tokens(&document),
                &mut || frame_tokens(&document, None),
                &mut || frame_tokens(&document, Some(schema.guide())),
                &mut || check_tokens(&document, &schema),
                &mut || assert!(schema.validate(black_box(&value)).is_empty()),
            ]);
            let ratio = |time: Duration| time.as_secs_f64() / one_shot.as_secs_f64();
            let per_token = |time: Duration| time.as_secs_f64() * 1e9 / tokens;
            println!(
                "{name:6} {:8} {:>12?} {:9.2}x {:6.2}x {:9.2}x {:8.2}x {:8.2}x {:8.2}x {:10.1} {:14.1}",
                document.len(),
                one_shot,
                ratio(whole),
                ratio(parsed),
                ratio(framed),
                ratio(steered),
                ratio(checked),
                ratio(judged),
                per_token(parsed),
                per_token(framed),
            );
        }
        growth(name, make);
    }
}

/// What a token costs in a document of 1 MB over one of 20 KB: as many bytes of each, in turns.
fn growth(name: &str, make: fn(usize) -> String) {
    let (small, large) = (make(20_000), make(1_000_000));
    let times = large.len() / small.len();
    let [small_parse, large_parse, small_frame, large_frame] = best([
        &mut || (0..times).for_each(|_| parse_tokens(&small)),
        &mut || parse_tokens(&large),
        &mut || (0..times).for_each(|_| frame_tokens(&small, None)),
        &mut || frame_tokens(&large, None),
    ]);
    let bytes = large.len() as f64 / (times * small.len()) as f64;
    let over = |large: Duration, small: Duration| large.as_secs_f64() / small.as_secs_f64() / bytes;
    println!(
        "{name:6} 1 MB over 20 KB, per token: {:.2}x, with frame {:.2}x",
        over(large_parse, small_parse),
        over(large_frame, small_frame)
    );
}
