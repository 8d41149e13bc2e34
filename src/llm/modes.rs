//! What each kind of provider makes of each mode, as data.

use super::kind::Kind;
use crate::schema::dialect::subset::{ANTHROPIC, GEMINI, OPENAI};
use crate::schema::dialect::{Dialect, Taken};

/// A mode at a kind of provider.
#[derive(Clone, Copy, Debug)]
pub struct ModeRow {
    /// Whose.
    pub kind: Kind,
    /// Which.
    pub dialect: Dialect,
    /// What its requests carry for it.
    pub carries: &'static str,
    /// Which schemas it takes.
    pub takes: Taken,
    /// Whether the value comes as it is written; else it comes whole.
    pub streams: bool,
}

/// Every mode of every kind.
pub const MODE_ROWS: [ModeRow; 30] = [
    row(
        Kind::OpenAi,
        Dialect::JsonSchemaStrict,
        "`response_format` of type `json_schema`, `strict`",
        Taken::Within(&OPENAI),
    ),
    row(
        Kind::OpenAi,
        Dialect::JsonSchema,
        "`response_format` of type `json_schema`",
        Taken::Whole,
    ),
    row(
        Kind::OpenAi,
        Dialect::ToolsStrict,
        "`tools` with `strict`, `tool_choice`",
        Taken::Within(&OPENAI),
    ),
    row(
        Kind::OpenAi,
        Dialect::Tools,
        "`tools`, `tool_choice`",
        Taken::Whole,
    ),
    row(
        Kind::OpenAi,
        Dialect::Json,
        "`response_format` of type `json_object`",
        Taken::Whole,
    ),
    row(Kind::OpenAi, Dialect::MdJson, "the prompt alone", Taken::Whole),
    row(
        Kind::Anthropic,
        Dialect::JsonSchemaStrict,
        "`output_config.format`",
        Taken::Within(&ANTHROPIC),
    ),
    row(
        Kind::Anthropic,
        Dialect::JsonSchema,
        "`output_config.format`",
        Taken::Within(&ANTHROPIC),
    ),
    row(
        Kind::Anthropic,
        Dialect::ToolsStrict,
        "`tools` with `strict`, `tool_choice`, one call",
        Taken::Within(&ANTHROPIC),
    ),
    row(
        Kind::Anthropic,
        Dialect::Tools,
        "`tools` with `eager_input_streaming`, `tool_choice`, one call",
        Taken::Whole,
    ),
    row(Kind::Anthropic, Dialect::Json, "the prompt alone", Taken::Whole),
    row(Kind::Anthropic, Dialect::MdJson, "the prompt alone", Taken::Whole),
    row(
        Kind::Gemini,
        Dialect::JsonSchemaStrict,
        "`responseMimeType`, `responseJsonSchema`",
        Taken::Within(&GEMINI),
    ),
    row(
        Kind::Gemini,
        Dialect::JsonSchema,
        "`responseMimeType`, `responseJsonSchema`",
        Taken::Within(&GEMINI),
    ),
    row(Kind::Gemini, Dialect::ToolsStrict, "", Taken::No),
    whole(
        Kind::Gemini,
        "`functionDeclarations`, mode `ANY`",
        Taken::Within(&GEMINI),
    ),
    row(Kind::Gemini, Dialect::Json, "`responseMimeType`", Taken::Whole),
    row(Kind::Gemini, Dialect::MdJson, "the prompt alone", Taken::Whole),
    row(Kind::Ollama, Dialect::JsonSchemaStrict, "", Taken::No),
    row(
        Kind::Ollama,
        Dialect::JsonSchema,
        "`format`, a schema",
        Taken::Whole,
    ),
    row(Kind::Ollama, Dialect::ToolsStrict, "", Taken::No),
    whole(
        Kind::Ollama,
        "`tools`; there is no way to demand a call",
        Taken::Whole,
    ),
    row(Kind::Ollama, Dialect::Json, "`format`, `json`", Taken::Whole),
    row(Kind::Ollama, Dialect::MdJson, "the prompt alone", Taken::Whole),
    row(
        Kind::Responses,
        Dialect::JsonSchemaStrict,
        "`text.format` of type `json_schema`, `strict`",
        Taken::Within(&OPENAI),
    ),
    row(
        Kind::Responses,
        Dialect::JsonSchema,
        "`text.format` of type `json_schema`",
        Taken::Whole,
    ),
    row(
        Kind::Responses,
        Dialect::ToolsStrict,
        "`tools` with `strict`, `tool_choice`",
        Taken::Within(&OPENAI),
    ),
    row(
        Kind::Responses,
        Dialect::Tools,
        "`tools`, not strict, `tool_choice`",
        Taken::Whole,
    ),
    row(
        Kind::Responses,
        Dialect::Json,
        "`text.format` of type `json_object`",
        Taken::Whole,
    ),
    row(Kind::Responses, Dialect::MdJson, "the prompt alone", Taken::Whole),
];

/// Modes that models of a kind do not have, by what their names hold.
const LACKING: &[(&[Kind], &[Dialect], &[&str])] = &[
    (
        &[Kind::OpenAi, Kind::Responses],
        &[Dialect::JsonSchemaStrict, Dialect::JsonSchema],
        &[
            "gpt-3.5",
            "gpt-4-turbo",
            "gpt-4-0613",
            "gpt-4-1106",
            "gpt-4-0125",
            "gpt-4o-2024-05-13",
        ],
    ),
    (
        &[Kind::Anthropic],
        &[
            Dialect::JsonSchemaStrict,
            Dialect::JsonSchema,
            Dialect::ToolsStrict,
        ],
        &[
            "claude-2",
            "claude-3",
            "claude-sonnet-4-0",
            "claude-sonnet-4-2",
            "claude-opus-4-0",
            "claude-opus-4-2",
        ],
    ),
    (
        &[Kind::Gemini],
        &[Dialect::JsonSchemaStrict, Dialect::JsonSchema],
        &["gemini-1."],
    ),
];

const fn row(kind: Kind, dialect: Dialect, carries: &'static str, takes: Taken) -> ModeRow {
    ModeRow {
        kind,
        dialect,
        carries,
        takes,
        streams: !matches!(takes, Taken::No),
    }
}

/// Tools whose calls come whole.
const fn whole(kind: Kind, carries: &'static str, takes: Taken) -> ModeRow {
    ModeRow {
        kind,
        dialect: Dialect::Tools,
        carries,
        takes,
        streams: false,
    }
}

/// What a model of a kind takes in a mode.
pub(super) fn takes(kind: Kind, model: &str, dialect: Dialect) -> Taken {
    // Parallel calls are calls.
    let of = |dialect| match dialect {
        Dialect::ParallelTools => Dialect::Tools,
        other => other,
    };
    let lacks = LACKING.iter().any(|(kinds, dialects, names)| {
        kinds.contains(&kind) && dialects.contains(&dialect) && names.iter().any(|name| model.contains(name))
    });
    let row = MODE_ROWS
        .iter()
        .find(|row| row.kind == kind && row.dialect == of(dialect));
    match row {
        Some(row) if !lacks => row.takes,
        _ => Taken::No,
    }
}
