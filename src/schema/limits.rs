//! How large and how costly a schema may be, and how much is told about a value that breaks it.

/// Limits of [`Schema::compile`](super::Schema::compile) and [`Schema::validate`](super::Schema::validate).
///
/// Schemas come from outside: each limit bounds work that a small text could otherwise multiply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaLimits {
    /// Size of the schema as compact JSON, in bytes.
    pub bytes_max: usize,
    /// How deep the schema's JSON nests, in containers (objects and arrays, the root being 1); also how many
    /// applicators (`$ref`, `allOf`, …) may follow each other on one and the same value.
    pub depth_max: usize,
    /// Number of subschemas, counted at every place where a keyword takes one.
    pub subschemas_max: usize,
    /// Number of paths from the root through subschemas and references, recursion entered once.
    pub cost_max: u64,
    /// Number of `pattern`s and names in `patternProperties`.
    pub patterns_max: usize,
    /// Length of one pattern, in bytes.
    pub pattern_bytes_max: usize,
    /// Size of one compiled pattern, in bytes.
    pub pattern_compiled_bytes_max: usize,
    /// How many violations one judgement tells.
    pub violations_max: usize,
    /// How much of an offending value a violation shows, in bytes of its compact JSON.
    pub violation_value_bytes_max: usize,
}

impl Default for SchemaLimits {
    fn default() -> Self {
        Self {
            bytes_max: 256 * 1024,
            depth_max: 64,
            subschemas_max: 5000,
            cost_max: 100_000,
            patterns_max: 50,
            pattern_bytes_max: 1024,
            pattern_compiled_bytes_max: 1024 * 1024,
            violations_max: 32,
            violation_value_bytes_max: 256,
        }
    }
}
