//! What a draft is told before its first byte.

use std::sync::Arc;

use super::guide::Guide;

/// How much a text may ask of the parser (rule T5). Passing one ends the attempt with that limit's own code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many containers may be open at once.
    pub depth_max: usize,
    /// Bytes of the whole text, prose included.
    pub bytes_max: usize,
    /// Bytes of one member name, decoded.
    pub key_bytes_max: usize,
    /// Bytes of one number as written.
    pub number_digits_max: usize,
    /// Consecutive blanks between two tokens.
    pub blanks_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 100,
            bytes_max: 8 << 20,
            key_bytes_max: 4096,
            number_digits_max: 4300,
            blanks_max: 4096,
        }
    }
}

/// What the bytes look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The arguments of one tool call; the first call is the draft.
    Tools,
    /// The arguments of several tool calls: call i is item i of the array in [`TASKS`](super::TASKS), the one member
    /// of the value.
    ParallelTools,
    /// The content is the value.
    #[default]
    Json,
    /// The content is the value, held to a schema by the provider.
    JsonSchema,
    /// The value stands somewhere in Markdown: think blocks, prose and fences around it are skipped.
    MdJson,
}

/// Whether text that is not RFC 8259 is repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lenient {
    /// The first error ends the attempt.
    #[default]
    Off,
    /// Repairs from the first byte.
    On,
    /// Strict until the first error, then on from there; what was built stays.
    Auto,
}

/// Which types the root may have; the Markdown front end picks the opening by them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag per JSON type is the plainest set of types"
)]
pub struct RootKinds {
    /// `{…}`.
    pub object: bool,
    /// `[…]`.
    pub array: bool,
    /// `"…"`.
    pub string: bool,
    /// `12`.
    pub number: bool,
    /// `true`, `false`.
    pub boolean: bool,
    /// `null`.
    pub null: bool,
}

impl Default for RootKinds {
    /// Nothing is known: every type.
    fn default() -> Self {
        Self {
            object: true,
            array: true,
            string: true,
            number: true,
            boolean: true,
            null: true,
        }
    }
}

/// Everything a draft needs to know; the default is strict JSON without a schema.
#[derive(Clone, Default)]
pub struct DraftOptions {
    /// What the bytes look like.
    pub mode: Mode,
    /// Whether text that is not RFC 8259 is repaired.
    pub lenient: Lenient,
    /// How much the text may ask.
    pub limits: Limits,
    /// The tool whose calls are the draft; where none is named, those of any. Only tool calls have one.
    pub tool: Option<Box<str>>,
    /// Which types the root may have.
    pub root: RootKinds,
    /// The schema's steering, if there is one.
    pub guide: Option<Arc<dyn Guide>>,
}

impl std::fmt::Debug for DraftOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DraftOptions")
            .field("mode", &self.mode)
            .field("lenient", &self.lenient)
            .field("limits", &self.limits)
            .field("tool", &self.tool)
            .field("root", &self.root)
            .field("guide", &self.guide.is_some())
            .finish()
    }
}
