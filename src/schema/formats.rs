//! Which formats are asserted, in both dialects alike; any other name is an annotation.

use serde_json::{Value as Json, json};

use super::numeric::Options;

const ASSERTED: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Draft 7 does not know these, but its users write them (schema generators emit `uuid` whatever the dialect).
const NEWER_THAN_DRAFT_7: [&str; 2] = ["uuid", "duration"];

/// Whether a string under this format is judged by it.
pub(super) fn is_asserted(format: &str) -> bool {
    ASSERTED.contains(&format)
}

/// Switches the formats on.
pub(super) fn assert(options: Options<'_>) -> Options<'_> {
    let mut options = options.should_validate_formats(true);
    for format in NEWER_THAN_DRAFT_7 {
        let alone = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&json!({ "format": format }));
        if let Ok(alone) = alone {
            options = options.with_format(format, move |text: &str| {
                alone.is_valid(&Json::String(text.to_owned()))
            });
        }
    }
    options
}
