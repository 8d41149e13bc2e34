//! The draft's value inside serde types, digits kept: for `#[serde(with = "json_value")]`.
//!
//! `serde_json`'s own value would round numbers, so the text goes through as it is.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::partial::{Value, parse_written};

pub(crate) fn serialize<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        None => serializer.serialize_none(),
        Some(value) => RawValue::from_string(value.to_json())
            .map_err(S::Error::custom)?
            .serialize(serializer),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    parse_written(raw.get()).map(Some).map_err(D::Error::custom)
}
