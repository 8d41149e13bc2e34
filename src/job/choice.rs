//! What a client may choose about a job's course: what ends an answer early, who has the last word on a value, and what
//! becomes of a job that nobody looks at.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::attempt::AttemptError;
use super::check::{SpecError, SpecLimits};

/// When an answer that has turned out to be invalid is heard no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// Once the whole has to be asked for again, whatever else the answer brings, or nothing can be asked for again.
    #[default]
    Auto,
    /// Never: it is heard to its end.
    Finish,
    /// At the first violation that nothing behind it can heal.
    Abort,
}

/// What becomes of a list's items that are still invalid when nothing is asked for again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadItem {
    /// The job fails; what was reached is kept, the good items with it.
    #[default]
    Fail,
    /// They are taken out of the list; the job completes where the rest satisfies the schema.
    Drop,
}

/// What becomes of a job whose last viewer has gone: `"continue"`, or `{"cancel_after_ms": n}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLastViewerGone {
    /// It goes on.
    #[default]
    Continue,
    /// It is cancelled where none comes within so many ms.
    CancelAfterMs(u32),
}

/// Which of its tenant's jobs a job goes before: from 1, which goes last, to 9, which goes first. Between tenants it says
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub u32);

impl Priority {
    /// The one that goes last.
    pub const LAST: Self = Self(1);
    /// The one that goes first.
    pub const FIRST: Self = Self(9);
    /// How many there are.
    pub const COUNT: usize = (Self::FIRST.0 - Self::LAST.0 + 1) as usize;

    /// Its place among them, from 0, which goes first. What is out of range is taken for the nearest that is not.
    pub fn rank(self) -> usize {
        (Self::FIRST.0 - self.0.clamp(Self::LAST.0, Self::FIRST.0)) as usize
    }
}

/// The middle.
impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

/// What somebody outside says of a valid value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It is taken.
    Accept,
    /// It is to be asked for again, since this is wrong with it.
    Reask(Vec<AttemptError>),
}

impl Ruling {
    /// Checks what is said to be wrong against the server's bounds; the first fault is told.
    ///
    /// # Errors
    /// There are none or too many errors, or one is empty, too long, or names its place by no JSON Pointer.
    pub fn check(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        let Self::Reask(errors) = self else { return Ok(()) };
        let fault = |path: String, message: String| Err(SpecError { path, message });
        match errors.len() {
            0 => {
                let message = "say what is wrong: there is nothing to ask again for";
                return fault("/errors".to_owned(), message.to_owned());
            }
            count if count > limits.verdict_errors_max => {
                let message = format!("{count} errors, at most {}", limits.verdict_errors_max);
                return fault("/errors".to_owned(), message);
            }
            _ => {}
        }
        for (index, error) in errors.iter().enumerate() {
            let bytes = error.path.len() + error.keyword.len() + error.message.len();
            if error.message.trim().is_empty() {
                let message = "say in words what is wrong: the model is told".to_owned();
                return fault(format!("/errors/{index}/message"), message);
            }
            if !(error.path.is_empty() || error.path.starts_with('/')) {
                let message = "must be a JSON Pointer into the value: \"\" is the whole, /items/0 an item";
                return fault(format!("/errors/{index}/path"), message.to_owned());
            }
            if bytes > limits.verdict_error_bytes_max {
                let message = format!(
                    "the error has {bytes} bytes, at most {}: shorten it",
                    limits.verdict_error_bytes_max
                );
                return fault(format!("/errors/{index}"), message);
            }
        }
        Ok(())
    }
}

impl OnLastViewerGone {
    /// How long a job goes on that nobody looks at any more; `None`: to its end.
    pub const fn cancel_after_ms(self) -> Option<u32> {
        match self {
            Self::Continue => None,
            Self::CancelAfterMs(wait) => Some(wait),
        }
    }
}

impl<'de> Deserialize<'de> for OnLastViewerGone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrWait)
    }
}

/// Reads a word or an object, whatever the format makes of enums.
struct WordOrWait;

/// The object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    cancel_after_ms: u32,
}

impl<'de> Visitor<'de> for WordOrWait {
    type Value = OnLastViewerGone;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`continue` or {\"cancel_after_ms\": n}")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        match word {
            "continue" => Ok(OnLastViewerGone::Continue),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let wait = Wait::deserialize(MapAccessDeserializer::new(members))?;
        Ok(OnLastViewerGone::CancelAfterMs(wait.cancel_after_ms))
    }
}

/// Whether a choice is the one that is meant where nothing is said: it is then left out where a request is written, so
/// that the text of a request, and what was hashed of it, stays what it was before there was the choice.
pub(super) fn is_unsaid<T: Default + PartialEq>(choice: &T) -> bool {
    *choice == T::default()
}
