//! The protobuf form of the messages, `proto/livedraft/v1`: one message in each binary frame.
//!
//! Values keep their text (see the head of `job.proto`), so a message says the same in both forms, to the digit.

mod answer;
mod client;
mod job;
mod server;

use prost::Message as _;
use serde_json::value::RawValue;

use super::client::ClientMessage;
use super::server::ServerMessage;

/// What `build.rs` made of `proto/livedraft/v1`.
#[allow(
    clippy::all,
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; its words are explained in the .proto files"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/livedraft.v1.rs"));
}

/// Why bytes are no message, or a message has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum BadProto {
    /// The bytes are no protobuf of this package.
    #[error("not a message of livedraft.v1: {0}")]
    Bytes(#[from] prost::DecodeError),
    /// A field that holds JSON text does not.
    #[error("`{field}` is no JSON: {source}")]
    Json {
        /// The field.
        field: &'static str,
        /// What the reader said, and where.
        source: serde_json::Error,
    },
    /// A field that must be there is not; of a `oneof`, also one that this version does not know.
    #[error("`{0}` is missing, or of a newer version")]
    Missing(&'static str),
    /// A number that names no word of its enum.
    #[error("`{field}` is {number}, which names nothing")]
    Unnamed {
        /// The enum.
        field: &'static str,
        /// The number.
        number: i32,
    },
    /// An op that has none of the known forms.
    #[error("an op has none of the known forms")]
    Op,
}

/// Writes what a client says.
pub fn encode_client(message: &ClientMessage) -> Vec<u8> {
    generated::ClientMessage::from(message).encode_to_vec()
}

/// Reads what a client said.
pub fn decode_client(bytes: &[u8]) -> Result<ClientMessage, BadProto> {
    generated::ClientMessage::decode(bytes)?.try_into()
}

/// Writes what a server says.
///
/// # Errors
/// The ops of a patch are text that is no array of ops.
pub fn encode_server(message: &ServerMessage) -> Result<Vec<u8>, BadProto> {
    Ok(generated::ServerMessage::try_from(message)?.encode_to_vec())
}

/// Reads what a server said.
pub fn decode_server(bytes: &[u8]) -> Result<ServerMessage, BadProto> {
    generated::ServerMessage::decode(bytes)?.try_into()
}

/// The JSON of a field, its text as it came.
fn raw(field: &'static str, text: String) -> Result<Box<RawValue>, BadProto> {
    RawValue::from_string(text).map_err(|source| BadProto::Json { field, source })
}

/// The same for a field that may be absent.
fn raw_option(field: &'static str, text: Option<String>) -> Result<Option<Box<RawValue>>, BadProto> {
    text.map(|text| raw(field, text)).transpose()
}

/// A word by its number; `T` is one of the enums of [`job`] and [`client`].
fn word<P, T>(field: &'static str, number: i32) -> Result<T, BadProto>
where
    P: TryFrom<i32> + Into<Option<T>>,
{
    let named = P::try_from(number).ok().and_then(Into::into);
    named.ok_or(BadProto::Unnamed { field, number })
}

/// Makes two enums of the same words convertible; unspecified names none.
macro_rules! same_words {
    ($ours:ident = $theirs:ident: $($word:ident),+) => {
        impl From<$ours> for generated::$theirs {
            fn from(word: $ours) -> Self {
                match word {
                    $($ours::$word => Self::$word,)+
                }
            }
        }

        impl From<generated::$theirs> for Option<$ours> {
            fn from(word: generated::$theirs) -> Self {
                match word {
                    generated::$theirs::Unspecified => None,
                    $(generated::$theirs::$word => Some($ours::$word),)+
                }
            }
        }
    };
}
use same_words;
