//! Rows of styled text for a terminal: measured in columns, clipped and padded, coloured only where it is wanted.

/// What a piece of text is; the terminal's own sixteen colours, so any theme fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Plain,
    Dim,
    Bold,
    Key,
    Text,
    Number,
    Good,
    Bad,
    Warn,
}

impl Tone {
    /// The parameters of its SGR sequence (ECMA-48 §8.3.117).
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Key => "36",
            Self::Text => "0",
            Self::Number => "35",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
        }
    }
}

/// One row of a screen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    spans: Vec<(Tone, String)>,
    columns: usize,
}

impl Row {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A row of one piece.
    pub(super) fn of(tone: Tone, text: &str) -> Self {
        Self::new().with(tone, text)
    }

    /// Adds a piece. What comes from a model or a server is made harmless here: no control character and no
    /// reordering mark reaches the terminal.
    pub(super) fn with(mut self, tone: Tone, text: &str) -> Self {
        let text: String = text.chars().map(harmless).collect();
        self.columns += columns(&text);
        self.spans.push((tone, text));
        self
    }

    /// Adds another row behind this one.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.columns += other.columns;
        self.spans.extend(other.spans);
        self
    }

    /// Columns it takes.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// Exactly `width` columns: cut with an ellipsis, or filled with blanks.
    pub(super) fn fit(self, width: usize) -> Self {
        let row = self.clip(width);
        let blanks = " ".repeat(width.saturating_sub(row.columns));
        row.with(Tone::Plain, &blanks)
    }

    /// At most `width` columns.
    pub(super) fn clip(self, width: usize) -> Self {
        if self.columns <= width {
            return self;
        }
        let mut clipped = Self::new();
        for (tone, text) in self.spans {
            let room = width.saturating_sub(clipped.columns + 1);
            let taken = prefix(&text, room);
            let whole = taken.len() == text.len();
            clipped = clipped.with(tone, taken);
            if !whole {
                break;
            }
        }
        clipped.with(Tone::Dim, "…")
    }

    /// Every piece in one tone.
    pub(super) fn toned(mut self, tone: Tone) -> Self {
        for span in &mut self.spans {
            span.0 = tone;
        }
        self
    }

    /// The text to write, with SGR sequences where `colours` are wanted.
    pub(super) fn render(&self, colours: bool) -> String {
        let mut out = String::new();
        for (tone, text) in &self.spans {
            if colours && *tone != Tone::Plain && !text.is_empty() {
                out.push_str(&format!("\x1b[{}m{text}\x1b[0m", tone.sgr()));
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

fn harmless(letter: char) -> char {
    let reorders =
        matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if letter.is_control() || reorders {
        '\u{fffd}'
    } else {
        letter
    }
}

/// Columns of a text.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The longest prefix that takes at most `room` columns.
pub(super) fn prefix(text: &str, room: usize) -> &str {
    let mut taken = 0;
    for (at, letter) in text.char_indices() {
        taken += width(letter);
        if taken > room {
            return &text[..at];
        }
    }
    text
}

/// Columns of a character: none for marks that combine, two for the wide blocks of Unicode Standard Annex 11.
fn width(letter: char) -> usize {
    match letter as u32 {
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_its_width_exactly() {
        for text in [
            "",
            "short",
            "漢字かな交じり文",
            "e\u{301}e\u{301}",
            "a much longer text",
        ] {
            for width in [1, 2, 5, 12] {
                let row = Row::of(Tone::Key, text).fit(width);
                assert_eq!(columns(&row.render(false)), width, "{text:?} in {width}");
            }
        }
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        let row = Row::of(Tone::Text, "a\x1b[2Jb\u{9b}c\u{202e}d\n");
        assert_eq!(row.render(false), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
    }

    #[test]
    fn colours_are_written_only_where_wanted() {
        let row = Row::of(Tone::Good, "fine").with(Tone::Plain, "!");
        assert_eq!(row.render(true), "\x1b[32mfine\x1b[0m!");
        assert_eq!(row.render(false), "fine!");
    }
}
