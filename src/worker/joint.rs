//! Whether a model goes on from the beginning of its answer that it was given: looked at before anything is told of it.
//!
//! Servers that do not know the way begin a new turn behind the beginning, without an error: the answer again, a fence,
//! a sentence. Within a string a sentence cannot be told from its text; all else can.

use crate::partial::{Draft, DraftOptions};

/// How much is looked at, bytes.
const HEAD_BYTES: usize = 64;
/// Bytes, blanks not counted, by which a beginning that is said again is known.
const KNOWN_BYTES: usize = 12;
/// The same where a value like the whole may stand behind the beginning: its next level begins as the whole did.
const NESTED_BYTES: usize = 48;

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
    /// Bytes of the beginning that were said again, while nothing else was said before them.
    echoed: Option<usize>,
    /// What was said, behind such an echo.
    head: String,
    /// Has read the beginning, and tries what comes behind it.
    trial: Draft,
    /// Bytes, blanks not counted, by which a beginning that is said again is known.
    known_bytes: usize,
}

impl Joint {
    /// The options are of a draft of its own: what it finds nobody hears of.
    pub(super) fn new(beginning: &str, options: DraftOptions) -> Self {
        let mut trial = Draft::new(options);
        trial.feed(beginning.as_bytes());
        Self {
            beginning: beginning.to_owned(),
            echoed: Some(0),
            head: String::new(),
            known_bytes: if trial.may_nest() {
                NESTED_BYTES
            } else {
                KNOWN_BYTES
            },
            trial,
        }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, text: &str) -> Joined {
        let text = &text[self.take_echo(text)..];
        self.head.push_str(text);
        if self.head.len() < HEAD_BYTES {
            return Joined::Waits;
        }
        self.end()
    }

    /// No more comes, or enough has.
    pub(super) fn end(&mut self) -> Joined {
        let mut head = std::mem::take(&mut self.head);
        if let Some(echoed) = self.echoed.take().filter(|echoed| !self.is_echo(*echoed)) {
            head.insert_str(0, &self.beginning[..echoed]);
        }
        if self.fits(&head) {
            Joined::Goes(head)
        } else {
            Joined::Breaks
        }
    }

    /// Some servers say the beginning again before they go on: how much of `text` is still that.
    fn take_echo(&mut self, text: &str) -> usize {
        let Some(echoed) = self.echoed else { return 0 };
        let due = &self.beginning[echoed..];
        let same = due.len().min(text.len());
        if due.as_bytes()[..same] == text.as_bytes()[..same] {
            self.echoed = Some(echoed + same);
            return same;
        }
        self.echoed = None;
        self.head.push_str(&self.beginning[..echoed]);
        0
    }

    /// Whether the beginning was said again to its end, and is none of a value within.
    fn is_echo(&self, echoed: usize) -> bool {
        let is_long =
            || self.known_bytes == KNOWN_BYTES || solid(&self.beginning).count() >= self.known_bytes;
        echoed == self.beginning.len() && is_long()
    }

    fn fits(&mut self, head: &str) -> bool {
        let said = head.trim_start();
        let opened = self
            .trial
            .open_text()
            .is_some_and(|open| open.len() > KNOWN_BYTES && is_said_again(open, said, KNOWN_BYTES));
        if said.starts_with("```") || is_said_again(&self.beginning, said, self.known_bytes) || opened {
            return false;
        }
        let repairs = self.trial.repairs().len();
        self.trial.feed(head.as_bytes());
        self.trial.error().is_none() && self.trial.repairs().len() == repairs
    }
}

/// Whether `said` begins as `before` does for so many bytes, blanks aside.
fn is_said_again(before: &str, said: &str, known_bytes: usize) -> bool {
    let pairs = solid(before).zip(solid(said.trim_start_matches('"')));
    pairs
        .take(known_bytes)
        .take_while(|(before, said)| before == said)
        .count()
        == known_bytes
}

fn solid(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Schema, SchemaLimits};

    /// Of documents that hold none of their kind, and of those that do.
    fn options(nests: bool) -> DraftOptions {
        let row = serde_json::json!({ "properties": { "id": { "type": "integer" } } });
        let schema = serde_json::json!({ "type": "object", "properties": {
            "title": { "type": "string" }, "n": { "type": "integer" }, "rows": { "items": row },
        } });
        let node = serde_json::json!({ "$ref": "#/$defs/node", "$defs": { "node": {
            "properties": { "children": { "items": { "$ref": "#/$defs/node" } }, "next_of_it": { "$ref": "#/$defs/node" } },
        } } });
        let schema = Schema::compile(if nests { &node } else { &schema }, &SchemaLimits::default());
        DraftOptions {
            guide: schema.ok().map(|schema| schema.closing() as _),
            ..DraftOptions::default()
        }
    }

    fn joined(beginning: &str, pieces: &[&str]) -> Joined {
        let mut joint = Joint::new(beginning, options(!beginning.contains("title")));
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

    #[test]
    fn the_next_level_begins_as_the_whole_did() {
        let deep = r#"{"children":["#.repeat(5);
        for (beginning, rest) in [
            (r#"{"children":["#, r#"{"children":[]}]}"#),
            (r#"{"children":[{"children":[]},"#, r#"{"children":[]}]}"#),
            (r#"{"next_of_it":"#, r#"{"next_of_it":{}}}"#),
            (&deep, "{}]}"),
        ] {
            assert_eq!(
                joined(beginning, &[rest]),
                Joined::Goes(rest.to_owned()),
                "{beginning}"
            );
        }
        // One that is long enough is told from that.
        let (rest, echo) = ("{}]}]}]}]}]}", format!("{deep}{{}}]}}]}}]}}]}}]}}"));
        assert_eq!(joined(&deep, &[&echo]), Joined::Goes(rest.to_owned()));
        let again = format!("{deep} ]}}");
        assert_eq!(joined(&deep, &[&again[1..]]), Joined::Breaks);
        assert_eq!(joined(&deep, &[" ", &again]), Joined::Breaks);
    }

    /// However it is cut, and as long as it lasts.
    #[test]
    fn an_echo_may_come_in_pieces() {
        let beginning = format!(r#"{{"title":"Mönday {}","n""#, "x".repeat(500));
        let said = format!("{beginning}:1}}");
        for size in [1, 2, 3, 64, 200, 600] {
            let letters: Vec<char> = said.chars().collect();
            let pieces: Vec<String> = letters.chunks(size).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(
                joined(&beginning, &pieces),
                Joined::Goes(":1}".to_owned()),
                "{size}"
            );
        }
    }
}
