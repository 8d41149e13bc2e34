//! What the scripted model is told to do.
use serde::{Deserialize, Serialize};

/// Placeholder until the model's branch lands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {}
