//! Choices that several commands offer.

use clap::ValueEnum;

use crate::job::{self, Effort, LenientChoice, OnBadItem, OnViolation, ReaskChoice, Reasoning};
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

/// When an answer that has turned out to be invalid is heard no further.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnViolationArg {
    /// Once the whole has to be asked for again, or nothing can be.
    Auto,
    /// Never.
    Finish,
    /// At the first violation that nothing behind it can heal.
    Abort,
}

/// What becomes of a list's items that stay invalid.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnBadItemArg {
    /// The job fails.
    Fail,
    /// They are taken out of the list.
    Drop,
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

impl From<OnViolationArg> for OnViolation {
    fn from(choice: OnViolationArg) -> Self {
        match choice {
            OnViolationArg::Auto => Self::Auto,
            OnViolationArg::Finish => Self::Finish,
            OnViolationArg::Abort => Self::Abort,
        }
    }
}

impl From<OnBadItemArg> for OnBadItem {
    fn from(choice: OnBadItemArg) -> Self {
        match choice {
            OnBadItemArg::Fail => Self::Fail,
            OnBadItemArg::Drop => Self::Drop,
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
