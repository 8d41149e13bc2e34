//! Repair: it ends, within the limits, wherever the cuts are; what needs none gets none, what got some says so.

use super::super::partial::{DraftOptions, End, Lenient, Mode};
use super::{Input, in_pieces, one_shot, within};

/// Holds one input.
pub fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let options = DraftOptions {
        mode: if input.flag(1, 1) == 0 {
            Mode::Json
        } else {
            Mode::Tools
        },
        lenient: if input.flag(0, 1) == 0 {
            Lenient::On
        } else {
            Lenient::Auto
        },
        limits: input.limits(),
        guide: input.guide(),
        ..DraftOptions::default()
    };
    let whole = one_shot(&options, input.text);
    let grows = whole.outcome.duplicate_keys == 0;
    assert_eq!(in_pieces(&options, &input, grows), whole, "cuts do not matter");
    if let Some(value) = &whole.value {
        within(&options.limits, value);
        // A control character becomes six bytes, a byte that is no UTF-8 three.
        let written = value.to_json().len();
        assert!(written <= 16 + 6 * input.text.len(), "{written} bytes of value");
    }
    let strict = one_shot(
        &DraftOptions {
            lenient: Lenient::Off,
            ..options
        },
        input.text,
    );
    match strict.outcome.end {
        End::Complete => assert_eq!(whole, strict, "what needs no repair is read as ever"),
        End::Truncated | End::Invalid(_) if whole.outcome.end == End::Complete => {
            assert!(whole.outcome.repairs > 0, "a repair was not counted");
        }
        End::Truncated | End::Invalid(_) => {}
    }
}
