//! Google's `streamGenerateContent`.

mod body;
mod decode;
mod frame;

pub(super) use self::body::{body, path};
pub(super) use self::decode::Decoder;
