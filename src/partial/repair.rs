//! What lenient reading put right, each named and counted.

/// One thing that was put right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repair {
    /// Byte offset in the model's text.
    pub offset: usize,
    /// JSON Pointer of the place.
    pub path: String,
    /// What it was.
    pub kind: RepairKind,
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.kind.code(), self.offset)?;
        if self.path.is_empty() {
            return Ok(());
        }
        write!(f, " in {}", self.path)
    }
}

/// The repairs there are. All are local: nothing that was shown is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RepairKind {
    /// A comma before a closing bracket.
    TrailingComma,
    /// A comma where none belongs.
    ExtraComma,
    /// A comma was left out.
    MissingComma,
    /// A colon was left out, or `=` or `=>` stood for it.
    MissingColon,
    /// `'…'`, `` `…` ``, `“…”` or `"""…"""` instead of `"…"`.
    ForeignQuotes,
    /// A quote inside a string without a backslash.
    InnerQuote,
    /// A comment: `//`, `/*…*/` or `#`.
    Comment,
    /// A member name without quotes.
    UnquotedKey,
    /// `True`, `False`, `None` and their like.
    ForeignLiteral,
    /// `NaN` or an infinity became `null`.
    NotANumber,
    /// `+1`, `.5`, `1.` or `007`.
    NumberForm,
    /// A raw control character in a string.
    ControlCharacter,
    /// An escape that JSON does not know, kept as written.
    UnknownEscape,
    /// `...` where something was left out.
    Ellipsis,
    /// Bytes that are no UTF-8 became U+FFFD.
    InvalidUtf8,
    /// Half of a surrogate pair became U+FFFD.
    LoneSurrogate,
    /// A byte order mark was skipped.
    ByteOrderMark,
    /// Text behind the value was ignored.
    TrailingText,
}

impl RepairKind {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::TrailingComma => "trailing_comma",
            Self::ExtraComma => "extra_comma",
            Self::MissingComma => "missing_comma",
            Self::MissingColon => "missing_colon",
            Self::ForeignQuotes => "foreign_quotes",
            Self::InnerQuote => "inner_quote",
            Self::Comment => "comment",
            Self::UnquotedKey => "unquoted_key",
            Self::ForeignLiteral => "foreign_literal",
            Self::NotANumber => "not_a_number",
            Self::NumberForm => "number_form",
            Self::ControlCharacter => "control_character",
            Self::UnknownEscape => "unknown_escape",
            Self::Ellipsis => "ellipsis",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::ByteOrderMark => "byte_order_mark",
            Self::TrailingText => "trailing_text",
        }
    }
}
