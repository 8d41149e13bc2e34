//! What stops an answer that would have no end: loops, giant strings, prose without measure.

use crate::partial::Draft;

/// Bounds of an answer's form; what they mean is in [`WorkerOptions`](super::WorkerOptions).
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) repeat_bytes_max: usize,
    pub(super) string_bytes_max: usize,
    pub(super) beside_bytes_max: usize,
    pub(super) behind_bytes_max: usize,
}

/// What an answer has overrun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Overrun {
    /// It says the same again and again; where.
    Loop(String),
    /// One of its strings is too long; which.
    Text(String),
    /// It says too much beside its calls.
    Beside,
    /// It goes on and on behind its value.
    Behind,
}

/// How often a text must stand in a row to be a loop.
const TIMES: usize = 8;

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Guard {
    bounds: Bounds,
    /// Bytes of the text when it was last looked at for loops.
    looked_at: usize,
    /// Bytes behind the value.
    behind: usize,
    beside: usize,
}

impl Guard {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            looked_at: 0,
            behind: 0,
            beside: 0,
        }
    }

    /// So many bytes came beside the calls.
    pub(super) const fn beside(&mut self, bytes: usize) -> Option<Overrun> {
        self.beside += bytes;
        if self.beside > self.bounds.beside_bytes_max {
            return Some(Overrun::Beside);
        }
        None
    }

    /// So many bytes of the text came, which now is `text` and has made this draft.
    pub(super) fn grown(&mut self, bytes: usize, text: &str, draft: &Draft) -> Option<Overrun> {
        if draft.is_closed() {
            self.behind += bytes;
            return (self.behind > self.bounds.behind_bytes_max).then_some(Overrun::Behind);
        }
        let open = draft.open_text().map_or(0, str::len);
        if open > self.bounds.string_bytes_max {
            return Some(Overrun::Text(innermost(draft)));
        }
        let window = self.bounds.repeat_bytes_max;
        // Each quarter of the window is looked at in four windows: that keeps the cost of a byte the same.
        if window == 0 || text.len() < self.looked_at + window / 4 || text.len() < window {
            return None;
        }
        self.looked_at = text.len();
        is_loop(&text.as_bytes()[text.len() - window..])
            .then(|| Overrun::Loop(looped(draft, open >= window / 2)))
    }
}

/// Whether it is one text, [`TIMES`] times and more.
fn is_loop(text: &[u8]) -> bool {
    period(text) <= text.len() / TIMES
}

/// The shortest length after which a text repeats itself to its end, by the borders of its beginnings (Knuth, Morris
/// and Pratt).
fn period(text: &[u8]) -> usize {
    let mut borders = vec![0_usize; text.len()];
    let mut border = 0;
    for at in 1..text.len() {
        while border > 0 && text[at] != text[border] {
            border = borders[border - 1];
        }
        border += usize::from(text[at] == text[border]);
        borders[at] = border;
    }
    text.len() - border
}

/// What is read in the value; the root where that is nothing of it.
fn innermost(draft: &Draft) -> String {
    place_of(draft, &draft.open_in_text())
}

fn place_of(draft: &Draft, pointer: &str) -> String {
    draft.own_place(pointer).unwrap_or_default()
}

/// What goes round: the open string, or the list whose items come again and again. Around what the text itself has
/// opened nothing does.
fn looped(draft: &Draft, in_text: bool) -> String {
    let innermost = draft.open_in_text();
    if in_text {
        return place_of(draft, &innermost);
    }
    let is_index = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let mut place = innermost.as_str();
    while let Some((outer, last)) = place.rsplit_once('/') {
        if is_index(last) {
            return place_of(draft, outer);
        }
        place = outer;
    }
    place_of(draft, &innermost)
}

impl Overrun {
    /// Its stable name.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Loop(_) => "repetition",
            Self::Text(_) => "string_limit",
            Self::Beside => "beside_limit",
            Self::Behind => "behind_limit",
        }
    }

    /// What happened.
    pub(super) const fn message(&self) -> &'static str {
        match self {
            Self::Loop(_) => "the model said the same again and again",
            Self::Text(_) => {
                "a string of the answer is longer than the server's limit; what was reached is kept"
            }
            Self::Beside => "the model said too much beside its answer; what was reached is kept",
            Self::Behind => "the model went on behind its answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::DraftOptions;

    #[test]
    fn a_period_is_the_shortest() {
        for (text, expected) in [
            ("aaaa", 1),
            ("abab", 2),
            ("ababa", 2),
            ("abcd", 4),
            ("abcabcab", 3),
            ("a", 1),
        ] {
            assert_eq!(period(text.as_bytes()), expected, "{text}");
        }
        assert!(is_loop(" ".repeat(64).as_bytes()));
        assert!(is_loop(&"{\"a\":1},".repeat(8).into_bytes()));
        assert!(!is_loop(&"{\"a\":1},".repeat(7).into_bytes()));
    }

    fn overrun(text: &str) -> Option<Overrun> {
        let bounds = Bounds {
            repeat_bytes_max: 256,
            string_bytes_max: 1_000,
            beside_bytes_max: 100,
            behind_bytes_max: 20,
        };
        let (mut guard, mut draft) = (Guard::new(bounds), Draft::new(DraftOptions::default()));
        let mut read = String::new();
        for letter in text.chars() {
            read.push(letter);
            draft.feed(letter.to_string().as_bytes());
            if let Some(overrun) = guard.grown(letter.len_utf8(), &read, &draft) {
                return Some(overrun);
            }
        }
        None
    }

    #[test]
    fn what_goes_round_is_named_by_its_place() {
        let rows = |count: usize| format!("{{\"t\":\"x\",\"rows\":[{}", "{\"a\":{\"b\":1}},".repeat(count));
        assert_eq!(overrun(&rows(16)), None);
        assert_eq!(overrun(&rows(60)), Some(Overrun::Loop("/rows".to_owned())));
        let text = format!("{{\"rows\":[{{\"t\":\"{}", "ha ".repeat(200));
        assert_eq!(overrun(&text), Some(Overrun::Loop("/rows/0/t".to_owned())));
        let blanks = format!("{{\"a\":1,{}", " ".repeat(400));
        assert_eq!(overrun(&blanks), Some(Overrun::Loop(String::new())));
        let numbers: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        assert_eq!(overrun(&format!("[{}", numbers.join(","))), None);
        let words = format!("{{\"t\":\"{}", numbers.join(" "));
        assert_eq!(overrun(&words), Some(Overrun::Text("/t".to_owned())));
        assert_eq!(overrun(&format!("{{}}{}", " ".repeat(30))), Some(Overrun::Behind));
    }
}
