//! What the door costs: a key shown, a message of one who is not known, and schemas that were made to be costly.
//!
//! `cargo bench --bench guard`. Best and median of several runs; goals: a key under 20 µs, a hostile schema under 50 ms.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livedraft::access::{Access, NewKey, Paces, Scopes};
use livedraft::schema::{Schema, SchemaLimits};
use livedraft::session::{Input, Session, SessionOptions};
use livedraft::wire::Limits;
use serde_json::{Value as Json, json};

const KEYS: usize = 1_000;
const RUNS: usize = 2_000;
const COMPILES: usize = 15;

/// The best and the middle time of one call.
fn times<T>(runs: usize, mut call: impl FnMut() -> T) -> (Duration, Duration) {
    let mut took: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            black_box(call());
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    (took[0], took[runs / 2])
}

fn row(what: &str, (best, median): (Duration, Duration), more: &str) {
    println!(
        "{what:<44} {:>10.1} µs best {:>10.1} µs median  {more}",
        micros(best),
        micros(median)
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn keys() {
    let made: Vec<NewKey> = (0..KEYS)
        .map(|number| {
            let random = [(number % 256) as u8; 32];
            NewKey::make(&format!("key-{number}"), "acme", Scopes::default(), random).expect("a key")
        })
        .collect();
    let entries: Vec<_> = made.iter().map(|key| key.entry.clone()).collect();
    let access = Arc::new(Access::new(&entries, "unused").expect("keys"));
    let right = made[KEYS / 2].token.reveal().to_owned();
    let wrong = format!("{}0", &right[..right.len() - 1]);
    let unknown = right.replace("ld_key", "ld_nob");
    println!("one of {KEYS} keys");
    for (what, token) in [
        ("a right key", &right),
        ("a wrong secret", &wrong),
        ("an unknown id", &unknown),
    ] {
        row(
            what,
            times(RUNS, || access.check(black_box(token), 0).is_ok()),
            "",
        );
    }
    let options = SessionOptions {
        connection_id: "one".to_owned(),
        limits: Limits::default(),
        heartbeat_ms: 20_000,
        models: vec!["scripted".to_owned()],
        access,
        who: None,
        auth_timeout_ms: 10_000,
        attaches_per_second_max: 32,
        control_frames_per_second_max: 50,
    };
    let auth = json!({"type": "auth", "token": right}).to_string();
    let message = || {
        let mut session = Session::new(options.clone(), 0);
        session.handle(Input::Text(auth.clone()), 0)
    };
    row(
        "the message `auth`, session and welcome",
        times(RUNS, message),
        "",
    );
    let mut paces = Paces::new(50, 65_536);
    let mut address = 0_u64;
    let take = || {
        address += 1;
        paces.take(address, 0).is_ok()
    };
    row(
        "a token of a new address, in a full table",
        times(200_000, take),
        "",
    );
}

fn members(count: usize, with: impl Fn(usize) -> Json) -> Json {
    let members: serde_json::Map<_, _> = (0..count)
        .map(|index| (format!("m{index}"), with(index)))
        .collect();
    json!({ "type": "object", "properties": members })
}

fn diamond(levels: usize) -> Json {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/L{}", level + 1) });
        defs.insert(format!("L{level}"), json!({ "anyOf": [next.clone(), next] }));
    }
    defs.insert(format!("L{levels}"), json!({ "type": "integer" }));
    json!({ "$defs": defs, "$ref": "#/$defs/L0" })
}

fn nested(depth: usize) -> Json {
    (1..depth).fold(json!({}), |inner, _| json!({ "not": inner }))
}

fn schemas() {
    let everyday = json!({"type": "object", "required": ["name", "age"], "properties": {
        "name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}}}});
    let rows = [
        ("an everyday schema", everyday),
        ("4,999 subschemas", members(4_999, |_| json!({"type": "string"}))),
        ("5,000 subschemas, one too many", members(5_000, |_| json!({}))),
        ("64 deep", nested(64)),
        ("unions of unions, just within", diamond(14)),
        ("unions of unions, a million ways", diamond(20)),
        (
            "fifty patterns",
            members(50, |index| json!({"pattern": format!(r"^\w{{1,20}}-{index}$")})),
        ),
        (
            "one pattern that compiles to much",
            json!({"pattern": r"^(\w{1,200}){1,200}$"}),
        ),
        (
            "fifty patterns that do together",
            members(
                50,
                |index| json!({"pattern": format!(r"^(\d{{1,{}}}){{1,80}}$", 80 - index)}),
            ),
        ),
        (
            "an enumeration of 20,000",
            json!({"enum": (0..20_000).collect::<Vec<_>>()}),
        ),
        (
            "256 KiB of description",
            json!({"description": "x".repeat(262_000)}),
        ),
        (
            "1 MiB of description",
            json!({"description": "x".repeat(1_048_000)}),
        ),
    ];
    println!("compiling, or refusing");
    for (what, schema) in rows {
        let limits = SchemaLimits::default();
        let text = schema.to_string().len();
        let made = Schema::compile(&schema, &limits);
        let outcome = match &made {
            Ok(_) => {
                let held =
                    allocation_counter::measure(|| std::mem::forget(Schema::compile(&schema, &limits)));
                format!("taken: {text} bytes of text, {} held", held.bytes_current)
            }
            Err(refusal) => refusal.code.to_string(),
        };
        row(
            what,
            times(COMPILES, || Schema::compile(&schema, &limits)),
            &outcome,
        );
    }
}

fn main() {
    keys();
    schemas();
}
