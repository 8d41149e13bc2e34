//! Ops as JSON text: reading the compact arrays of a patch back, and writing single ones.

use super::draft::parse_written;
use super::error::ParseError;
use super::op::Op;
use super::value::{Value, write_json_string};

/// Why a text is no array of ops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpsError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// JSON, but not an array.
    #[error("ops come as an array")]
    NotAnArray,
    /// An item that has none of the forms of an op.
    #[error("op {index} has none of the known forms")]
    Unknown {
        /// Which item.
        index: usize,
    },
}

/// Reads the JSON array of a patch, `[["text"],["/p","text"],["/p",value,0],["/p",null,1]]`; numbers keep their
/// digits.
pub fn parse_ops(text: &str) -> Result<Vec<Op>, OpsError> {
    let Value::Array(items) = parse_written(text)? else {
        return Err(OpsError::NotAnArray);
    };
    let ops = items.into_iter().enumerate();
    ops.map(|(index, item)| Op::from_value(item).ok_or(OpsError::Unknown { index }))
        .collect()
}

impl Op {
    /// Reads one op from its compact array; `None` if it has none of the known forms.
    pub fn from_value(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        let form = (parts.next()?, parts.next(), parts.next(), parts.next());
        match form {
            (Value::String(text), None, None, None) => Some(Self::Append { path: None, text }),
            (Value::String(path), Some(Value::String(text)), None, None) => Some(Self::Append {
                path: Some(path),
                text,
            }),
            (Value::String(path), Some(value), Some(Value::Number(code)), None) => {
                match (code.as_str(), value) {
                    ("0", value) => Some(Self::Set { path, value }),
                    ("1", Value::Null) => Some(Self::Remove { path }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Appends the compact array of this op to `out`.
    pub fn write_json(&self, out: &mut String) {
        out.push('[');
        match self {
            Self::Append { path, text } => {
                if let Some(path) = path {
                    write_json_string(path, out);
                    out.push(',');
                }
                write_json_string(text, out);
            }
            Self::Set { path, value } => {
                write_json_string(path, out);
                out.push(',');
                value.write_json(out);
                out.push_str(",0");
            }
            Self::Remove { path } => {
                write_json_string(path, out);
                out.push_str(",null,1");
            }
        }
        out.push(']');
    }
}
