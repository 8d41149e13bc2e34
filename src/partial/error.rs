//! The first error of a text: where, what was expected, and its stable code (rules T1 and T5).

use std::fmt;

/// Why a text cannot become a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Byte offset in the model's text, prose included.
    pub offset: usize,
    /// JSON Pointer of the value that was being read, or of the container that was open.
    pub path: String,
    /// Which rule or limit.
    pub kind: ParseErrorKind,
    /// The byte that was found there; `None` at the end of the text and for limits.
    pub found: Option<u8>,
    /// The limit that was passed, if it was one.
    pub limit: Option<usize>,
}

/// One kind per rule and limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ParseErrorKind {
    /// A value had to begin here.
    ExpectedValue,
    /// A value or `]` had to stand here.
    ExpectedItemOrClose,
    /// A member name in quotes had to begin here.
    ExpectedKey,
    /// A member name in quotes or `}` had to stand here.
    ExpectedKeyOrClose,
    /// `:` had to stand here.
    ExpectedColon,
    /// `,` or `}` had to stand here.
    ExpectedCommaOrBrace,
    /// `,` or `]` had to stand here.
    ExpectedCommaOrBracket,
    /// Not a number of RFC 8259 §6.
    InvalidNumber,
    /// Not `true`, `false` or `null`.
    InvalidLiteral,
    /// Not an escape of RFC 8259 §7.
    InvalidEscape,
    /// A control character stands raw in a string.
    ControlCharacter,
    /// The bytes are not UTF-8 (rule T6).
    InvalidUtf8,
    /// Half of a surrogate pair stands alone (rule T6).
    LoneSurrogate,
    /// The text begins with a byte order mark.
    ByteOrderMark,
    /// Something stands behind the value.
    TrailingText,
    /// The text ended inside, or before, a value; only the one-shot parse reports it as an error.
    UnexpectedEnd,
    /// More containers are open than allowed.
    DepthLimit,
    /// The text is longer than allowed.
    BytesLimit,
    /// A member name is longer than allowed.
    KeyLimit,
    /// A number is longer than allowed.
    DigitsLimit,
    /// More blanks stand in a row than allowed.
    BlanksLimit,
    /// Too much of the prose looked like a value and was none.
    FalseStartsLimit,
    /// More parallel tool calls than allowed.
    CallsLimit,
}

impl ParseErrorKind {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::ExpectedValue => "expected_value",
            Self::ExpectedItemOrClose => "expected_item_or_close",
            Self::ExpectedKey => "expected_key",
            Self::ExpectedKeyOrClose => "expected_key_or_close",
            Self::ExpectedColon => "expected_colon",
            Self::ExpectedCommaOrBrace => "expected_comma_or_brace",
            Self::ExpectedCommaOrBracket => "expected_comma_or_bracket",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidLiteral => "invalid_literal",
            Self::InvalidEscape => "invalid_escape",
            Self::ControlCharacter => "control_character",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::ByteOrderMark => "byte_order_mark",
            Self::TrailingText => "trailing_text",
            Self::UnexpectedEnd => "unexpected_end",
            Self::DepthLimit => "depth_limit",
            Self::BytesLimit => "bytes_limit",
            Self::KeyLimit => "key_limit",
            Self::DigitsLimit => "digits_limit",
            Self::BlanksLimit => "blanks_limit",
            Self::FalseStartsLimit => "false_starts_limit",
            Self::CallsLimit => "calls_limit",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::ExpectedValue => "expected a value",
            Self::ExpectedItemOrClose => "expected a value or ']'",
            Self::ExpectedKey => "expected a member name in double quotes",
            Self::ExpectedKeyOrClose => "expected a member name in double quotes or '}'",
            Self::ExpectedColon => "expected ':'",
            Self::ExpectedCommaOrBrace => "expected ',' or '}'",
            Self::ExpectedCommaOrBracket => "expected ',' or ']'",
            Self::InvalidNumber => "expected the rest of a number",
            Self::InvalidLiteral => "expected the rest of true, false or null",
            Self::InvalidEscape => "expected an escape that JSON knows",
            Self::ControlCharacter => "expected control characters in a string to be escaped",
            Self::InvalidUtf8 => "expected UTF-8",
            Self::LoneSurrogate => "expected both halves of a surrogate pair",
            Self::ByteOrderMark => "expected no byte order mark",
            Self::TrailingText => "expected nothing behind the value",
            Self::UnexpectedEnd => "expected the rest of the value",
            Self::DepthLimit => "expected less nesting",
            Self::BytesLimit => "expected a shorter text",
            Self::KeyLimit => "expected a shorter member name",
            Self::DigitsLimit => "expected a shorter number",
            Self::BlanksLimit => "expected fewer blanks in a row",
            Self::FalseStartsLimit => "expected less prose that looks like a value",
            Self::CallsLimit => "expected fewer tool calls",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.sentence())?;
        match (self.limit, self.found) {
            (Some(limit), _) => write!(f, " (at most {limit})")?,
            (None, Some(byte)) if byte.is_ascii_graphic() => write!(f, ", found '{}'", char::from(byte))?,
            (None, Some(byte)) => write!(f, ", found byte 0x{byte:02x}")?,
            (None, None) => {}
        }
        write!(f, " at byte {}", self.offset)?;
        if !self.path.is_empty() {
            write!(f, " in {}", self.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}
