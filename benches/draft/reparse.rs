//! The usual way, measured beside ours: `jiter` parses the whole text so far at every token. Not every prefix is
//! parsed: evenly spaced ones are, and their mean stands for all.

use std::hint::black_box;
use std::time::Duration;

use jiter::{JsonValue, PartialMode};

use crate::{Shape, TOKEN_BYTES, best, frame_tokens};

/// Prefixes that are timed.
const SAMPLES: usize = 24;

pub(crate) fn run(shapes: &[Shape], sizes: &[usize]) {
    println!(
        "\nOurs, op and frame for every token, against jiter parsing each prefix ({SAMPLES} of them timed)"
    );
    println!("shape   bytes          ours     jiter, all prefixes    less CPU");
    for (name, make) in shapes {
        for bytes in sizes {
            let document = make(*bytes);
            let [ours] = best([&mut || frame_tokens(&document, None)]);
            let theirs = all_prefixes(&document);
            println!(
                "{name:6} {:8} {ours:>13.1?} {theirs:>17.1?} {:13.0}x",
                document.len(),
                theirs.as_secs_f64() / ours.as_secs_f64(),
            );
        }
    }
}

fn all_prefixes(document: &str) -> Duration {
    let tokens = document.len().div_ceil(TOKEN_BYTES);
    let sampled: Duration = (0..SAMPLES)
        .map(|sample| {
            // The middle of each of as many equal stretches.
            let token = (2 * sample + 1) * tokens / (2 * SAMPLES);
            let prefix = &document.as_bytes()[..(token * TOKEN_BYTES).clamp(1, document.len())];
            best_of_few(|| {
                // Owned, as ours is: what is shown outlives the text it was read from.
                let value =
                    JsonValue::parse_with_config(black_box(prefix), false, PartialMode::TrailingStrings);
                black_box(value.map(JsonValue::into_static).is_ok());
            })
        })
        .sum();
    sampled.mul_f64(tokens as f64 / SAMPLES as f64)
}

/// The best of three: a prefix of a large document takes long enough.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn best_of_few(mut run: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let start = std::time::Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
