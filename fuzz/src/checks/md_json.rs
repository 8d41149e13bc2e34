//! The value among Markdown: found wherever the cuts are, within the limits, and unchanged where there is no Markdown.

use super::super::partial::{DraftOptions, End, Mode, Value};
use super::{Input, in_pieces, one_shot, within};

/// Holds one input.
pub fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let options = DraftOptions {
        mode: Mode::MdJson,
        lenient: input.lenient(),
        limits: input.limits(),
        root: input.root(),
        guide: input.guide(),
        ..DraftOptions::default()
    };
    let whole = one_shot(&options, input.text);
    // A false start takes away what it had shown.
    assert_eq!(in_pieces(&options, &input, false), whole, "cuts do not matter");
    if let Some(value) = &whole.value {
        within(&options.limits, value);
    }
    let noted: usize = whole.notes.iter().map(|(_, text)| text.len()).sum();
    // A byte that is no UTF-8 becomes three.
    assert!(noted <= 3 * input.text.len(), "{noted} bytes of notes");
    if options.root != Default::default() {
        return;
    }
    let strict = one_shot(
        &DraftOptions {
            mode: Mode::Json,
            ..options
        },
        input.text,
    );
    let container = matches!(strict.value, Some(Value::Object(_) | Value::Array(_)));
    if container && strict.outcome.end == End::Complete && strict.outcome.repairs == 0 {
        assert_eq!(whole.value, strict.value, "JSON alone is found as it is");
        assert_eq!(whole.outcome.end, End::Complete);
    }
}
