//! A text that matches a regular expression, where the expression is simple.
//!
//! Understood: literals, escapes, classes, groups, alternatives, quantifiers, anchors. Not understood (the answer is
//! `None`, and the caller writes what it would write without a pattern): look-around, back-references, word
//! boundaries, Unicode properties other than letters and digits.

use super::random::Random;

/// What an unbounded quantifier adds at most to its minimum.
const EXTRA_MAX: usize = 4;
/// Characters of one sample.
const CHARS_MAX: usize = 10_000;
const DEPTH_MAX: u32 = 32;
/// Parts written for one sample; counts around what is empty multiply without a character being written.
const STEPS_MAX: usize = 100_000;

/// A text that matches `pattern` and holds `min..=max` characters.
pub(super) fn sample(pattern: &str, random: &mut Random, min: usize, max: usize) -> Option<String> {
    let letters: Vec<char> = pattern.chars().collect();
    let mut reader = Reader {
        letters: &letters,
        at: 0,
    };
    let tree = reader.alternatives(DEPTH_MAX)?;
    if reader.at < letters.len() {
        return None;
    }
    // The first tries take what comes, the later ones stretch towards the minimum.
    for extra in [EXTRA_MAX, 1, 0, min, min.saturating_mul(2), min / 2 + 1] {
        for _ in 0..8 {
            let (mut out, mut steps) = (Vec::new(), STEPS_MAX);
            tree.write(random, extra, &mut steps, &mut out)?;
            if (min..=max).contains(&out.len()) {
                return Some(out.into_iter().collect());
            }
        }
    }
    None
}

enum Tree {
    OneOf(Vec<char>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Times(Box<Self>, usize, Option<usize>),
}

impl Tree {
    fn write(&self, random: &mut Random, extra: usize, steps: &mut usize, out: &mut Vec<char>) -> Option<()> {
        *steps = steps.checked_sub(1)?;
        if out.len() > CHARS_MAX {
            return None;
        }
        match self {
            Self::OneOf(letters) => out.push(*letters.get(random.below(letters.len()))?),
            Self::All(parts) => {
                for part in parts {
                    part.write(random, extra, steps, out)?;
                }
            }
            Self::Any(branches) => branches
                .get(random.below(branches.len()))?
                .write(random, extra, steps, out)?,
            Self::Times(part, min, max) => {
                let most = max.unwrap_or(min + extra).min(min + extra);
                let times = if extra > EXTRA_MAX {
                    most
                } else {
                    min + random.below(most - min + 1)
                };
                for _ in 0..times {
                    part.write(random, extra, steps, out)?;
                }
            }
        }
        Some(())
    }
}

struct Reader<'a> {
    letters: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    fn eat(&mut self, text: &str) -> bool {
        let matches = text
            .chars()
            .enumerate()
            .all(|(ahead, letter)| self.letters.get(self.at + ahead) == Some(&letter));
        if matches {
            self.at += text.chars().count();
        }
        matches
    }

    fn alternatives(&mut self, depth: u32) -> Option<Tree> {
        let mut branches = vec![self.sequence(depth.checked_sub(1)?)?];
        while self.eat("|") {
            branches.push(self.sequence(depth - 1)?);
        }
        Some(Tree::Any(branches))
    }

    fn sequence(&mut self, depth: u32) -> Option<Tree> {
        let mut parts = Vec::new();
        while let Some(letter) = self.peek() {
            if matches!(letter, '|' | ')') {
                break;
            }
            self.at += 1;
            // An anchor asks for nothing that a text made of the whole pattern does not have.
            if matches!(letter, '^' | '$') {
                continue;
            }
            let part = self.atom(letter, depth)?;
            parts.push(self.quantified(part)?);
        }
        Some(Tree::All(parts))
    }

    fn atom(&mut self, letter: char, depth: u32) -> Option<Tree> {
        Some(match letter {
            '(' => {
                if self.eat("?") && !self.eat(":") && !self.name() {
                    return None;
                }
                let inner = self.alternatives(depth)?;
                self.eat(")").then_some(inner)?
            }
            '[' => Tree::OneOf(self.class()?),
            '.' => Tree::OneOf(('a'..='z').collect()),
            '\\' => Tree::OneOf(self.escape()?),
            '*' | '+' | '?' => return None,
            plain => Tree::OneOf(vec![plain]),
        })
    }

    /// `P<name>` or `<name>` of a named group, but no look-behind.
    fn name(&mut self) -> bool {
        self.eat("P");
        if !self.eat("<") || matches!(self.peek(), Some('=' | '!')) {
            return false;
        }
        while let Some(letter) = self.next() {
            if letter == '>' {
                return true;
            }
        }
        false
    }

    fn quantified(&mut self, part: Tree) -> Option<Tree> {
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.at += 1;
                let min = self.number();
                let max = if self.eat(",") { self.number() } else { min };
                if self.peek() != Some('}') {
                    return None;
                }
                (min?, max)
            }
            _ => return Some(part),
        };
        self.at += 1;
        // Lazy and possessive quantifiers match the same texts.
        let _ = self.eat("?") || self.eat("+");
        (max.is_none_or(|max| min <= max) && min <= CHARS_MAX).then(|| Tree::Times(Box::new(part), min, max))
    }

    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
        }
        self.letters[start..self.at]
            .iter()
            .collect::<String>()
            .parse()
            .ok()
    }

    fn escape(&mut self) -> Option<Vec<char>> {
        Some(match self.next()? {
            'd' => ('0'..='9').collect(),
            'w' => ('a'..='z').chain('0'..='9').collect(),
            's' => vec![' '],
            'D' | 'S' => ('a'..='z').collect(),
            'W' => vec!['-'],
            'p' => self.property()?,
            'n' => vec!['\n'],
            't' => vec!['\t'],
            'r' => vec!['\r'],
            'b' | 'B' | 'A' | 'Z' | 'z' | 'k' | 'u' | 'x' | 'c' | 'P' => return None,
            digit if digit.is_ascii_digit() => return None,
            plain => vec![plain],
        })
    }

    fn property(&mut self) -> Option<Vec<char>> {
        for (name, from, to) in [
            ("{L}", 'a', 'z'),
            ("{Ll}", 'a', 'z'),
            ("{Lu}", 'A', 'Z'),
            ("{N}", '0', '9'),
            ("{Nd}", '0', '9'),
        ] {
            if self.eat(name) {
                return Some((from..=to).collect());
            }
        }
        None
    }

    fn class(&mut self) -> Option<Vec<char>> {
        let negated = self.eat("^");
        let mut letters = Vec::new();
        let mut first = true;
        loop {
            let letter = self.next()?;
            if letter == ']' && !first {
                break;
            }
            first = false;
            if letter == '[' && self.peek() == Some(':') {
                return None;
            }
            let from = if letter == '\\' {
                self.escape()?
            } else {
                vec![letter]
            };
            let range =
                self.peek() == Some('-') && self.letters.get(self.at + 1).is_some_and(|next| *next != ']');
            if let (true, [start]) = (range, from.as_slice()) {
                self.at += 1;
                let end = self.next()?;
                let end = if end == '\\' {
                    *self.escape()?.first()?
                } else {
                    end
                };
                // Wide ranges need not be written out.
                letters.extend((*start..=end).take(256));
            } else {
                letters.extend(from);
            }
        }
        if negated {
            let all = ('a'..='z').chain('0'..='9').chain("-_ ".chars());
            letters = all.filter(|letter| !letters.contains(letter)).collect();
        }
        (!letters.is_empty()).then_some(letters)
    }
}
