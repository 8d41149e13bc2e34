//! How much a model thinks before it answers.

use serde::{Deserialize, Serialize};

/// How much a model may think; one of the two, in the words of its vendor (`docs/providers.md` says which).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasoning {
    /// By a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// By output tokens that it may take at the most; they are among those of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
}

/// How hard a model thinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
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

impl Effort {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
