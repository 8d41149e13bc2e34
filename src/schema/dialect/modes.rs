//! The modes, as data: what each asks of a provider and demands of a schema.

/// In which way the provider is asked for the structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// One function whose parameters are the schema, told in the vendor's subset and held to it.
    ToolsStrict,
    /// One function whose parameters are the schema; the model must call it.
    Tools,
    /// One function whose parameters are one item of a list; the model calls it once for each.
    ParallelTools,
    /// `response_format` of type `json_schema`, told in the vendor's subset and held to it.
    JsonSchemaStrict,
    /// `response_format` of type `json_schema`.
    JsonSchema,
    /// `response_format` of type `json_object`, the schema in the prompt.
    Json,
    /// No format asked of the provider: a fenced block in prose, the schema in the prompt.
    MdJson,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    /// Which it is.
    pub dialect: Dialect,
    /// Its word, for clients and in the configuration.
    pub word: &'static str,
    /// Where the value travels; a wrong answer is kept and asked for again in the same place.
    pub carried: Carried,
    /// Which roots it can carry.
    pub root: Root,
    /// Whether the request says `strict`.
    pub strict: bool,
    /// What it holds the answer to, at a provider that keeps its word.
    pub constrains: Constrains,
    /// What takes its place where it does not do.
    pub next: Option<Dialect>,
}

/// Where the value travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// In the arguments of a call; the re-ask is the result of that call.
    Call,
    /// Each item of a list in the arguments of a call of its own; the re-ask is the result of the first, and each of the
    /// others is told to look there.
    Calls,
    /// In the text; the re-ask is the user's next message.
    Text,
    /// In a fence within the text; the re-ask is the user's next message.
    Fence,
}

/// What a root must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// `"type": "object"`, not put together from other schemas.
    Plain,
    /// Nothing but an object.
    Object,
    /// Anything.
    Any,
}

/// What the answer is held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Constrains {
    /// The schema as the vendor's subset tells it, token by token.
    Subset,
    /// The schema as far as the provider goes.
    Effort,
    /// A JSON object.
    Json,
    /// Nothing.
    Nothing,
}

/// The modes; the first of each word is the one that is meant by it.
pub const MODES: [Mode; 7] = [
    row(
        (Dialect::JsonSchemaStrict, "json_schema_strict"),
        Carried::Text,
        Root::Plain,
        Constrains::Subset,
        Some(Dialect::JsonSchema),
    ),
    row(
        (Dialect::JsonSchema, "json_schema"),
        Carried::Text,
        Root::Plain,
        Constrains::Effort,
        Some(Dialect::Tools),
    ),
    row(
        (Dialect::ToolsStrict, "tools_strict"),
        Carried::Call,
        Root::Plain,
        Constrains::Subset,
        Some(Dialect::Tools),
    ),
    row(
        (Dialect::Tools, "tools"),
        Carried::Call,
        Root::Plain,
        Constrains::Effort,
        Some(Dialect::Json),
    ),
    row(
        (Dialect::ParallelTools, "tools"),
        Carried::Calls,
        Root::Plain,
        Constrains::Effort,
        Some(Dialect::Json),
    ),
    row(
        (Dialect::Json, "json"),
        Carried::Text,
        Root::Object,
        Constrains::Json,
        Some(Dialect::MdJson),
    ),
    row(
        (Dialect::MdJson, "md_json"),
        Carried::Fence,
        Root::Any,
        Constrains::Nothing,
        None,
    ),
];

const fn row(
    (dialect, word): (Dialect, &'static str),
    carried: Carried,
    root: Root,
    constrains: Constrains,
    next: Option<Dialect>,
) -> Mode {
    Mode {
        dialect,
        word,
        carried,
        root,
        strict: matches!(constrains, Constrains::Subset),
        constrains,
        next,
    }
}

impl Dialect {
    /// Its row.
    pub const fn mode(self) -> &'static Mode {
        const ROWS: &[Mode] = &MODES;
        &ROWS[match self {
            Self::JsonSchemaStrict => 0,
            Self::JsonSchema => 1,
            Self::ToolsStrict => 2,
            Self::Tools => 3,
            Self::ParallelTools => 4,
            Self::Json => 5,
            Self::MdJson => 6,
        }]
    }
}
