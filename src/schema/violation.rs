//! Where a value breaks its schema, said shortly enough for a model to read.

/// One place where a value breaks its schema.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON Pointer of the offending place in the value.
    pub path: String,
    /// The keyword that is broken.
    pub keyword: String,
    /// What was expected, in plain words: no link, no dump of the value.
    pub message: String,
    /// The offending value's compact JSON, cut to the limit; absent where the message says it all.
    pub value: Option<String>,
}
