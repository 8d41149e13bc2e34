//! What vendors take of JSON Schema where they hold an answer to it, as data.
//!
//! Sources, read in November 2026: OpenAI, "Structured outputs: supported schemas"; Anthropic, "Structured outputs:
//! JSON Schema limitations", and what its clients make of schemas; Google, "Structured output: JSON Schema support" and
//! the reference of `responseJsonSchema`.

/// A part of JSON Schema.
///
/// A keyword is sent as it is, or told to the model in the `description` of its place (our own judgement holds the
/// answer to it), or says nothing of values and is left out; what none of the lists names cannot be told at all, and
/// the mode does not fit the schema.
#[derive(Debug)]
pub struct Subset {
    /// Whose it is, in words.
    pub name: &'static str,
    /// Keywords that are sent.
    pub sent: &'static [&'static str],
    /// Keywords with a plain value that are told in words.
    pub said: &'static [&'static str],
    /// Values of `format` that are sent; others are told in words.
    pub formats: &'static [&'static str],
    /// The largest `minItems` that is sent; a larger one is told in words.
    pub min_items_max: u64,
    /// Whether every object must name all its members, and has no others.
    pub closed: bool,
    /// Whether every member must be required: what may be missing is `null` instead.
    pub all_required: bool,
    /// Whether every subschema must name its type.
    pub typed: bool,
    /// Whether a schema may contain itself.
    pub recursive: bool,
    /// How much of everything there may be.
    pub limits: SubsetLimits,
}

/// How large a schema of a subset may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubsetLimits {
    /// Members of all objects together.
    pub properties: usize,
    /// Objects within each other.
    pub depth: usize,
    /// Characters of the names of members and definitions, and of the values of `enum` and `const`, together.
    pub chars: usize,
    /// Values of all `enum`s together.
    pub enum_values: usize,
    /// An `enum` of more values than the first has at most as many characters as the second.
    pub long_enum: (usize, usize),
    /// Members that are not required, of all objects together.
    pub optional: usize,
    /// Members that are unions: `anyOf`, or several types.
    pub unions: usize,
}

impl SubsetLimits {
    const NONE: Self = Self {
        properties: usize::MAX,
        depth: usize::MAX,
        chars: usize::MAX,
        enum_values: usize::MAX,
        long_enum: (usize::MAX, usize::MAX),
        optional: usize::MAX,
        unions: usize::MAX,
    };
}

/// Keywords of JSON Schema that say nothing of values, and are left out where they are not sent.
pub(super) const ANNOTATIONS: [&str; 15] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$id",
    "$schema",
    "$vocabulary",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// Keywords of JSON Schema that say something of values. One that is in no list of a subset cannot be told there; any
/// other word is no keyword at all, and is left out.
pub(super) const ASSERTIONS: [&str; 42] = [
    "$defs",
    "$dynamicRef",
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "uniqueItems",
];

/// OpenAI's `strict`.
pub const OPENAI: Subset = Subset {
    name: "OpenAI's strict subset",
    sent: &[
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    ],
    said: &[
        "maxLength",
        "maxProperties",
        "minLength",
        "minProperties",
        "uniqueItems",
    ],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    min_items_max: u64::MAX,
    closed: true,
    all_required: true,
    typed: true,
    recursive: true,
    limits: SubsetLimits {
        properties: 5_000,
        depth: 10,
        chars: 120_000,
        enum_values: 1_000,
        long_enum: (250, 15_000),
        ..SubsetLimits::NONE
    },
};

/// Anthropic's `output_config.format` and strict tools.
pub const ANTHROPIC: Subset = Subset {
    name: "Anthropic's strict subset",
    sent: &[
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
        "format",
        "items",
        "minItems",
        "properties",
        "required",
        "title",
        "type",
    ],
    said: &[
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "uniqueItems",
    ],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    min_items_max: 1,
    closed: true,
    all_required: false,
    typed: true,
    recursive: false,
    limits: SubsetLimits {
        optional: 24,
        unions: 16,
        ..SubsetLimits::NONE
    },
};

/// Google's `responseJsonSchema` and `parametersJsonSchema`.
pub const GEMINI: Subset = Subset {
    name: "Gemini's subset",
    sent: &[
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "prefixItems",
        "properties",
        "required",
        "title",
        "type",
    ],
    said: &[
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxLength",
        "maxProperties",
        "minLength",
        "minProperties",
        "multipleOf",
        "pattern",
        "uniqueItems",
    ],
    formats: &["date-time", "date", "time"],
    min_items_max: u64::MAX,
    closed: false,
    all_required: false,
    typed: false,
    recursive: true,
    limits: SubsetLimits::NONE,
};
