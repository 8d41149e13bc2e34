//! What the model says: JSON of one shape, in tokens.

use std::time::Duration;

use serde_json::{Value, json};

/// Digits of a stamp: microseconds up to eleven days.
const STAMP_DIGITS: usize = 12;

const WORDS: [&str; 16] = [
    "the", "report", "of", "water", "levels", "shows", "a", "slow", "rise", "since", "spring", "and", "two",
    "short", "floods", "in",
];

/// One answer of the model, the same for every job of a scenario.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// One string of tokens that each say when they were written, and are `padding` bytes longer than that.
    Stamped {
        tokens: usize,
        every: Duration,
        padding: usize,
    },
    /// A document in tokens of four bytes; without `every` as fast as they are taken. So many share one write.
    Document {
        text: String,
        every: Option<Duration>,
        burst: usize,
    },
}

impl Answer {
    /// What every answer satisfies.
    pub(crate) fn schema(&self) -> Value {
        match self {
            Self::Stamped { .. } => json!({
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
                "additionalProperties": false,
            }),
            Self::Document { .. } => json!({
                "type": "object",
                "properties": { "sections": { "type": "array", "items": {
                    "type": "object",
                    "properties": { "heading": { "type": "string" }, "body": { "type": "string" } },
                    "required": ["heading", "body"],
                    "additionalProperties": false,
                } } },
                "required": ["sections"],
                "additionalProperties": false,
            }),
        }
    }

    /// The time between two tokens.
    pub(crate) fn every(&self) -> Option<Duration> {
        match self {
            Self::Stamped { every, .. } => Some(*every),
            Self::Document { every, .. } => *every,
        }
    }

    /// Tokens of one write.
    pub(crate) fn burst(&self) -> usize {
        match self {
            Self::Stamped { .. } => 1,
            Self::Document { burst, .. } => *burst,
        }
    }

    /// The token at `index`, written at `now` microseconds; `None` behind the last.
    pub(crate) fn token(&self, index: usize, now: u64) -> Option<String> {
        match self {
            Self::Stamped { tokens, padding, .. } => match index {
                0 => Some(r#"{"text":""#.to_owned()),
                _ if index <= *tokens => Some(stamp(now, *padding)),
                _ => (index == tokens + 1).then(|| r#""}"#.to_owned()),
            },
            Self::Document { text, .. } => {
                let start = index * 4;
                let end = text.len().min(start + 4);
                (start < text.len()).then(|| text[start..end].to_owned())
            }
        }
    }
}

fn stamp(now: u64, padding: usize) -> String {
    format!("{now:0STAMP_DIGITS$}{:.<padding$} ", "")
}

/// The stamps of `text` in order; what is left of it is a stamp not whole yet.
pub(crate) fn take_stamps(text: &mut String, mut each: impl FnMut(u64)) {
    let Some(end) = text.rfind(' ') else { return };
    for stamp in text[..end].split(' ') {
        let digits = stamp.trim_end_matches('.');
        each(digits.parse().unwrap_or(0));
    }
    text.drain(..=end);
}

/// A document of about `bytes` bytes in ASCII, always the same: sections of a heading and some 900 bytes of prose.
pub(crate) fn document(bytes: usize) -> String {
    let mut sections = Vec::new();
    let (mut written, mut next) = (0, 0);
    while written < bytes {
        let room = (bytes - written).clamp(60, 1_000) - 50;
        let mut body = String::new();
        while body.len() < room {
            body.push_str(WORDS[(next * 7 + next / 16) % WORDS.len()]);
            body.push(' ');
            next += 1;
        }
        body.push_str("it.");
        let section = json!({ "heading": format!("Part {}", sections.len() + 1), "body": body });
        written += section.to_string().len() + 1;
        sections.push(section);
    }
    json!({ "sections": sections }).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, document, take_stamps};

    fn whole(answer: &Answer) -> String {
        (0..).map_while(|index| answer.token(index, 7)).collect()
    }

    #[test]
    fn stamped_tokens_are_one_string() {
        let every = Duration::from_millis(1);
        let stamped = |padding| Answer::Stamped {
            tokens: 2,
            every,
            padding,
        };
        assert_eq!(whole(&stamped(0)), r#"{"text":"000000000007 000000000007 "}"#);
        assert_eq!(whole(&stamped(2)), r#"{"text":"000000000007.. 000000000007.. "}"#);
    }

    #[test]
    fn a_document_is_json_of_about_the_size_asked_for() {
        for bytes in [20_480, 204_800] {
            let text = document(bytes);
            assert!(text.len().abs_diff(bytes) < 200, "{}", text.len());
            let answer = Answer::Document {
                text: text.clone(),
                every: None,
                burst: 1,
            };
            assert_eq!(whole(&answer), text);
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn stamps_are_taken_when_whole() {
        let (mut text, mut stamps) = ("000000000012 000000000034.. 0000".to_owned(), Vec::new());
        take_stamps(&mut text, |stamp| stamps.push(stamp));
        assert_eq!((stamps, text.as_str()), (vec![12, 34], "0000"));
    }
}
