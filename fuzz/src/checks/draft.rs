//! Strict reading against `serde_json`: the same texts are taken and refused, with the same value, and the first error
//! is where it is said to be.
//!
//! The differences, all of them meant: a number that no `f64` holds is taken, for its digits are kept (rule T4);
//! containers may be nested [`Limits::depth_max`](super::Limits) deep, not 127; the other limits exist at all (T5).

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::super::partial::{DraftOptions, End, Mode, ParseError, ParseErrorKind, Value};
use super::{Input, in_pieces, one_shot, within};

/// Holds one input against the oracle.
pub fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let options = DraftOptions {
        mode: if input.flag(0, 1) == 0 {
            Mode::Json
        } else {
            Mode::Tools
        },
        limits: input.limits(),
        guide: input.guide(),
        ..DraftOptions::default()
    };
    let whole = one_shot(&options, input.text);
    let grows = whole.outcome.duplicate_keys == 0;
    assert_eq!(in_pieces(&options, &input, grows), whole, "cuts do not matter");
    assert_eq!(whole.outcome.repairs, 0, "strict reading repairs nothing");
    if let Some(value) = &whole.value {
        within(&options.limits, value);
    }
    match &whole.outcome.end {
        End::Complete => taken(
            input.text,
            whole.value.as_ref().expect("a complete value is shown"),
        ),
        End::Truncated => {
            assert!(!is_taken(input.text), "a whole value was called truncated");
        }
        End::Invalid(error) => refused(&options, input.text, error),
    }
}

fn is_taken(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
}

fn is_out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

fn taken(text: &[u8], ours: &Value) {
    let written =
        |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).map(|value| value.to_string());
    match (written(text), written(ours.to_json().as_bytes())) {
        (Ok(theirs), Ok(ours)) => assert_eq!(ours, theirs, "the value"),
        (Err(error), Err(_)) if is_out_of_range(&error) => {}
        (theirs, ours) => panic!("taken here: {ours:?}, there: {theirs:?}"),
    }
}

/// The first error stands where it is said to: everything before it could still have become a value.
fn refused(options: &DraftOptions, text: &[u8], error: &ParseError) {
    use ParseErrorKind::{
        BlanksLimit, BytesLimit, DepthLimit, DigitsLimit, InvalidEscape, InvalidUtf8, KeyLimit, LoneSurrogate,
    };
    let before = one_shot(
        options,
        text.get(..error.offset).expect("an offset inside the text"),
    );
    assert!(
        !matches!(before.outcome.end, End::Invalid(_)),
        "an earlier error: {:?}, not {error:?}",
        before.outcome.end
    );
    if matches!(
        error.kind,
        BlanksLimit | BytesLimit | DepthLimit | DigitsLimit | KeyLimit
    ) {
        return;
    }
    assert!(!is_taken(text), "refused here alone: {error:?}");
    // The oracle looks at UTF-8 and at pairs once it has the whole string or escape.
    if matches!(error.kind, InvalidUtf8 | LoneSurrogate) {
        return;
    }
    let through = text.get(..=error.offset).expect("the byte that was refused");
    match one_shot(options, through).outcome.end {
        End::Invalid(again) => assert_eq!(&again, error, "the same error without what follows"),
        other => panic!("{other:?} up to the error {error:?}"),
    }
    let mut through = through.to_vec();
    if error.kind == InvalidEscape {
        // It wants all four digits of an escape before it looks at the first.
        through.extend(b"    ");
    }
    let theirs = serde_json::from_slice::<IgnoredAny>(&through);
    let category = theirs.err().map(|error| error.classify());
    assert_eq!(category, Some(Category::Syntax), "up to {error:?}");
}
