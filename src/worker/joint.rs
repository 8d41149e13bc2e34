//! Whether a model goes on from the beginning of its answer that it was given: looked at before anything is told of it.
//!
//! Servers that do not know the way begin a new turn behind the beginning, without an error: the answer again, a fence,
//! a sentence. Within a string a sentence cannot be told from its text; all else can.

use crate::partial::{Draft, DraftOptions};

/// How much is looked at, bytes.
const HEAD_BYTES: usize = 64;
/// Bytes, blanks not counted, by which a beginning that is said again is known.
const KNOWN_BYTES: usize = 12;

/// What becomes of a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is kept until more has come.
    Waits,
    /// This goes on from the beginning.
    Goes(String),
    /// What has come does not.
    Breaks,
}

/// The place where two texts are to meet.
pub(super) struct Joint {
    beginning: String,
    head: String,
    /// Has read the beginning, and tries what comes behind it.
    trial: Draft,
}

impl Joint {
    pub(super) fn new(beginning: &str, options: DraftOptions) -> Self {
        let mut trial = Draft::new(DraftOptions {
            // Nobody hears of what is only tried.
            guide: None,
            ..options
        });
        trial.feed(beginning.as_bytes());
        Self {
            beginning: beginning.to_owned(),
            head: String::new(),
            trial,
        }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, text: &str) -> Joined {
        self.head.push_str(text);
        let may_echo = self.beginning.starts_with(self.head.as_str());
        let echoed = self.echoed();
        if may_echo || self.head.len() - echoed < HEAD_BYTES {
            return Joined::Waits;
        }
        self.end()
    }

    /// No more comes, or enough has.
    pub(super) fn end(&mut self) -> Joined {
        let mut head = std::mem::take(&mut self.head);
        let echoed = if head.starts_with(&self.beginning) {
            self.beginning.len()
        } else {
            0
        };
        head.drain(..echoed);
        if self.fits(&head) {
            Joined::Goes(head)
        } else {
            Joined::Breaks
        }
    }

    /// Some servers say the beginning again before they go on.
    fn echoed(&self) -> usize {
        if self.head.starts_with(&self.beginning) {
            self.beginning.len()
        } else {
            0
        }
    }

    fn fits(&mut self, head: &str) -> bool {
        let said = head.trim_start();
        let repeats = |before: &str| is_said_again(before, said);
        let opened = self
            .trial
            .open_text()
            .is_some_and(|open| open.len() > KNOWN_BYTES && repeats(open));
        if said.starts_with("```") || repeats(&self.beginning) || opened {
            return false;
        }
        let repairs = self.trial.repairs().len();
        self.trial.feed(head.as_bytes());
        self.trial.error().is_none() && self.trial.repairs().len() == repairs
    }
}

/// Whether `said` begins as `before` does, blanks aside.
fn is_said_again(before: &str, said: &str) -> bool {
    let solid = |text: &str| {
        text.bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .take(KNOWN_BYTES)
            .collect::<Vec<u8>>()
    };
    let (before, said) = (solid(before), solid(said.trim_start_matches('"')));
    before.len() == KNOWN_BYTES && before == said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(beginning: &str, pieces: &[&str]) -> Joined {
        let mut joint = Joint::new(beginning, DraftOptions::default());
        for piece in pieces {
            match joint.take(piece) {
                Joined::Waits => {}
                other => return other,
            }
        }
        joint.end()
    }

    #[test]
    fn what_goes_on_is_let_through() {
        for (beginning, rest) in [
            (r#"{"title":"Mon"#, r#"day","n":1}"#),
            (r#"{"title":"Monday","n""#, ":1}"),
            (r#"{"title":"Monday","rows":[{"id":1},"#, r#"{"id":2}]}"#),
            (r#"{"title":"Monday""#, "}"),
            (r#"{"title":"Monday""#, ""),
        ] {
            assert_eq!(
                joined(beginning, &[rest]),
                Joined::Goes(rest.to_owned()),
                "{beginning}"
            );
            let echo = format!("{beginning}{rest}");
            assert_eq!(
                joined(beginning, &[&echo]),
                Joined::Goes(rest.to_owned()),
                "an echo"
            );
            let letters: Vec<String> = echo.chars().map(|letter| letter.to_string()).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(
                joined(beginning, &letters),
                Joined::Goes(rest.to_owned()),
                "in letters"
            );
        }
        let long = "x".repeat(200);
        assert_eq!(
            joined(r#"{"title":""#, &[&long[..70]]),
            Joined::Goes(long[..70].to_owned())
        );
    }

    #[test]
    fn a_new_turn_is_found_out() {
        for (beginning, rest) in [
            (r#"{"title":"Monday","n":"#, r#"{ "title": "Monday", "n": 1}"#),
            (r#"{"title":"Mon"#, r#"{ "title": "Monday"}"#),
            (r#"{"title":"Mon"#, "```json\n{\"title\":"),
            (r#"{"title":"Monday""#, "Here is the rest:"),
            (r#"{"title":"Monday","n":"#, "Sure!"),
            (
                r#"{"title":"It was on a Monday that"#,
                r#""It was on a Monday that all"#,
            ),
            (r#"{"title":"Monday""#, r#""}"#),
        ] {
            assert_eq!(joined(beginning, &[rest]), Joined::Breaks, "{beginning} {rest}");
        }
    }
}
