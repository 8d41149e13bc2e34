//! A text that must not be shown.

use std::fmt;

const REDACTED: &str = "[redacted]";
/// How much of a key's beginning tells it from other words.
const HEAD_BYTES: usize = 3;

/// A key. Neither `Debug` nor `Display` shows it, and there is no way to serialise it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the key in.
    pub fn new(key: impl Into<Box<str>>) -> Self {
        Self(key.into())
    }

    /// The key itself, for the one header it belongs in.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` with every mention of the key taken out, and words that look like the key with stars in it: some
    /// providers show how it begins and ends.
    pub(super) fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let text = text.replace(&*self.0, REDACTED);
        let Some(head) = self.0.get(..HEAD_BYTES) else {
            return text;
        };
        let masked = |word: &str| word.contains(head) && word.contains('*');
        let words = text.split_inclusive(char::is_whitespace);
        words
            .map(|word| {
                if masked(word) {
                    redacted(word)
                } else {
                    word.to_owned()
                }
            })
            .collect()
    }
}

/// The blank behind the word stays.
fn redacted(word: &str) -> String {
    format!("{REDACTED}{}", &word[word.trim_end().len()..])
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_whole_and_masked() {
        let key = Secret::new("sk-very-secret");
        for (said, shown) in [
            ("bad sk-very-secret.", "bad [redacted]."),
            (
                "key provided: sk-ver****cret. See",
                "key provided: [redacted] See",
            ),
            ("a*b and sk-other", "a*b and sk-other"),
        ] {
            assert_eq!(key.scrub(said), shown);
        }
        assert_eq!(Secret::new("ab").scrub("ab*"), "[redacted]*");
        assert_eq!(Secret::new("").scrub("a b"), "a b");
    }
}
