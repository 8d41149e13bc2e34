//! Why a schema is refused.

use std::fmt;

/// The kind of refusal; [`code`](Self::code) is what a client sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SchemaErrorCode {
    /// Too many bytes, too deep, or too many subschemas.
    TooLarge,
    /// Not a JSON Schema of a known dialect, or a reference that leads to nothing or only to itself.
    Invalid,
    /// A reference that leaves the document.
    RemoteRef,
    /// Judging a value could multiply beyond bounds.
    TooComplex,
    /// A pattern that no linear-time engine can run (look-around, back-reference), or that is malformed.
    PatternUnsupported,
    /// Too many patterns, or one too long, or one that compiles to too much.
    PatternTooLarge,
    /// No value can ever satisfy the schema.
    Unsatisfiable,
}

impl SchemaErrorCode {
    /// The code on the wire, in snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "schema_too_large",
            Self::Invalid => "schema_invalid",
            Self::RemoteRef => "schema_remote_ref",
            Self::TooComplex => "schema_too_complex",
            Self::PatternUnsupported => "schema_pattern_unsupported",
            Self::PatternTooLarge => "schema_pattern_too_large",
            Self::Unsatisfiable => "schema_unsatisfiable",
        }
    }
}

impl fmt::Display for SchemaErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refused schema: what, where, which limit, and the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code} at {path:?}: {message}")]
pub struct SchemaError {
    /// The kind of refusal.
    pub code: SchemaErrorCode,
    /// JSON Pointer of the place inside the schema; `""` is the whole.
    pub path: String,
    /// For a human: what is wrong, the limit where one is passed, and what to do.
    pub message: String,
}

impl SchemaError {
    pub(super) fn new(code: SchemaErrorCode, path: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
