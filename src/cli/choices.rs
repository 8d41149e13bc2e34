//! Choices that several commands offer.

use clap::ValueEnum;

use crate::job::{self, Effort, LenientChoice, ReaskChoice, Reasoning};
use crate::partial::Lenient;
use crate::schema;

/// Whether text that is not JSON is repaired.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LenientArg {
    /// Never.
    Off,
    /// From the first byte.
    On,
    /// From the first error.
    Auto,
}

/// What is asked for again where an answer is invalid.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReaskArg {
    /// Only the places that are wrong, where that can heal the answer.
    Auto,
    /// The whole answer.
    Whole,
}

/// How hard the model thinks.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EffortArg {
    /// Not at all, where the model can do without.
    None,
    /// As little as there is.
    Minimal,
    /// A little.
    Low,
    /// As models do by default.
    Medium,
    /// A lot.
    High,
}

/// What is put around the schema.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrapArg {
    /// Any number of such values: {"tasks": […]}.
    Iterable,
    /// One such value or none: {"result", "error", "message"}.
    Maybe,
}

impl From<LenientArg> for Lenient {
    fn from(lenient: LenientArg) -> Self {
        LenientChoice::from(lenient).into()
    }
}

impl From<LenientArg> for LenientChoice {
    fn from(lenient: LenientArg) -> Self {
        match lenient {
            LenientArg::Off => Self::Off,
            LenientArg::On => Self::On,
            LenientArg::Auto => Self::Auto,
        }
    }
}

impl From<ReaskArg> for ReaskChoice {
    fn from(reask: ReaskArg) -> Self {
        match reask {
            ReaskArg::Auto => Self::Auto,
            ReaskArg::Whole => Self::Whole,
        }
    }
}

impl From<EffortArg> for Reasoning {
    fn from(effort: EffortArg) -> Self {
        let effort = match effort {
            EffortArg::None => Effort::None,
            EffortArg::Minimal => Effort::Minimal,
            EffortArg::Low => Effort::Low,
            EffortArg::Medium => Effort::Medium,
            EffortArg::High => Effort::High,
        };
        Self {
            effort: Some(effort),
            tokens: None,
        }
    }
}

impl From<WrapArg> for schema::Wrap {
    fn from(wrap: WrapArg) -> Self {
        job::Wrap::from(wrap).into()
    }
}

impl From<WrapArg> for job::Wrap {
    fn from(wrap: WrapArg) -> Self {
        match wrap {
            WrapArg::Iterable => Self::Iterable,
            WrapArg::Maybe => Self::Maybe,
        }
    }
}
