//! The grammar of numbers (RFC 8259 §6).

use super::error::{ParseError, ParseErrorKind};

/// Gives the text back if it is one number and nothing else.
pub(super) fn read(text: &str) -> Result<&str, ParseError> {
    let mut state = NumberState::Start;
    let stopped = text.bytes().position(|byte| match state.step(byte) {
        Some(next) => {
            state = next;
            false
        }
        None => true,
    });
    if stopped.is_none() && state.is_whole() {
        return Ok(text);
    }
    let offset = stopped.unwrap_or(text.len());
    Err(ParseError {
        offset,
        path: String::new(),
        kind: ParseErrorKind::InvalidNumber,
        found: text.as_bytes().get(offset).copied(),
        limit: None,
    })
}

/// How far a number has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NumberState {
    Start,
    Minus,
    Zero,
    Int,
    Dot,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl NumberState {
    /// The state behind one more byte; `None` if the byte does not extend the number.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Start, b'-') => Some(Self::Minus),
            (Self::Start | Self::Minus, b'0') => Some(Self::Zero),
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Int, b'0'..=b'9') => Some(Self::Int),
            (Self::Zero | Self::Int, b'.') => Some(Self::Dot),
            (Self::Dot | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Int | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    /// Whether the number may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Int | Self::Fraction | Self::ExponentDigits
        )
    }

    /// Whether the byte makes a whole number wrong instead of ending it: `01` is no number.
    pub(super) fn refuses(self, byte: u8) -> bool {
        self == Self::Zero && byte.is_ascii_digit()
    }
}
