//! Anthropic's Messages.

mod body;
mod decode;
mod frame;
mod thinking;

pub(super) use self::body::body;
pub(super) use self::decode::Decoder;
