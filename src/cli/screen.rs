//! A stream of the terminal: plain lines, and on a terminal a region below them that is drawn again and again.

use std::io::{self, IsTerminal as _, Write};

use super::paint::{Row, Tone};

/// The width that everything is laid out for.
pub(super) const WIDTH: usize = 80;
/// Rows that a live region takes at most, so it stays on a small terminal.
pub(super) const HEIGHT: usize = 20;

/// Where lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stream {
    /// Results.
    Out,
    /// Talk.
    Err,
}

/// Says one thing to whoever looks.
pub(super) fn say(tone: Tone, text: &str) {
    Screen::new(Stream::Err).line(&Row::of(tone, text));
}

/// A stream and the live region at its end.
#[derive(Debug)]
pub(super) struct Screen {
    stream: Stream,
    live: bool,
    colours: bool,
    drawn: usize,
}

impl Stream {
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Out => io::stdout().is_terminal(),
            Self::Err => io::stderr().is_terminal(),
        }
    }

    /// Writes and flushes.
    pub(super) fn put(self, text: &str) -> io::Result<()> {
        match self {
            Self::Out => put(&mut io::stdout().lock(), text),
            Self::Err => put(&mut io::stderr().lock(), text),
        }
    }

    /// The same for talk: nobody hears it where it cannot be written, and nothing fails for that.
    pub(super) fn write(self, text: &str) {
        drop(self.put(text));
    }
}

fn put(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl Screen {
    /// `NO_COLOR` (no-color.org) and `TERM=dumb` are respected.
    pub(super) fn new(stream: Stream) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let live = stream.is_terminal() && set("TERM").is_none_or(|term| term != "dumb");
        Self {
            stream,
            live,
            colours: live && set("NO_COLOR").is_none(),
            drawn: 0,
        }
    }

    /// Whether a region can be drawn again.
    pub(super) const fn is_live(&self) -> bool {
        self.live
    }

    /// Writes a line that stays, above the live region; the region appears again with the next drawing.
    pub(super) fn line(&mut self, row: &Row) {
        let mut text = self.home();
        if self.drawn > 0 {
            text.push_str("\x1b[J");
        }
        self.drawn = 0;
        text.push_str(&row.render(self.colours));
        text.push('\n');
        self.stream.write(&text);
    }

    /// Draws the live region anew; nothing where the stream is no terminal.
    pub(super) fn draw(&mut self, rows: &[Row]) {
        if !self.live {
            return;
        }
        // One synchronized update with wrapping off: no flicker, and the count of rows stays true on a narrow terminal.
        let mut text = String::from("\x1b[?2026h\x1b[?7l");
        text.push_str(&self.home());
        for row in rows {
            text.push_str(&row.render(self.colours));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J\x1b[?7h\x1b[?2026l");
        self.drawn = rows.len();
        self.stream.write(&text);
    }

    /// Takes the live region away.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            let text = format!("{}\x1b[J", self.home());
            self.stream.write(&text);
            self.drawn = 0;
        }
    }

    /// Leaves the live region where it is, as lines.
    pub(super) fn keep(&mut self) {
        self.drawn = 0;
    }

    fn home(&self) -> String {
        match self.drawn {
            0 => String::new(),
            rows => format!("\r\x1b[{rows}A"),
        }
    }
}
