//! Where a text that broke off can be gone on with by its own continuation, and how its draft is taken up again.

use super::draft::Draft;
use super::machine::{Machine, State};
use super::op::{Op, OpSink};
use super::options::DraftOptions;
use super::path;
use super::text::TextState;
use super::value::Value;

/// How far from its end a text is looked at byte by byte.
const NEAR_END: usize = 8 << 10;

impl Draft {
    /// How much of `text` can be gone on with as if it had never ended: up to a place inside its value that lies in no
    /// escape, number, literal or character, and behind no blank. `None` where there is none near its end, or the value
    /// is not begun or whole.
    pub fn joint(options: DraftOptions, text: &str) -> Option<usize> {
        let mut draft = Self::new(options);
        let from = text.floor_char_boundary(text.len().saturating_sub(NEAR_END));
        draft.feed(&text.as_bytes()[..from]);
        let mut joint = None;
        for (at, letter) in text[from..].char_indices() {
            let end = from + at + letter.len_utf8();
            draft.feed(&text.as_bytes()[from + at..end]);
            if draft.error().is_some() || draft.is_closed() {
                return None;
            }
            if !matches!(letter, ' ' | '\t' | '\n' | '\r') && draft.is_at_joint() {
                joint = Some(end);
            }
        }
        joint
    }

    fn is_at_joint(&self) -> bool {
        self.is_one_text() && self.machine().is_at_joint()
    }

    /// Goes on where viewers hold `held`, which the text that was read until now is the beginning of: none of it is
    /// told again, and what is too much of it is taken back with the next flush. False where more than its end differs:
    /// then it is the beginning of something else.
    #[must_use]
    pub fn go_on_from(&mut self, held: &Value) -> bool {
        self.flush(&mut Deaf);
        self.track_open();
        self.forget_last_op();
        let mut ops = Vec::new();
        if let Some(value) = self.value() {
            cut_back(&mut String::new(), held, &value, &mut ops);
        }
        let is_end = ops.len() <= 1 && !ops.iter().any(|op| op.cursor() == Some(""));
        self.held_but_for(ops);
        is_end
    }
}

impl Machine {
    fn is_at_joint(&self) -> bool {
        let is_between = match self.state {
            State::Value | State::FirstItem | State::FirstKey | State::Key | State::Colon | State::Rest => {
                true
            }
            State::Text(state) => state == TextState::Plain && self.carried == 0 && self.high == 0,
            State::Number(_) | State::Literal(..) | State::Loose(_) | State::Done | State::Failed => false,
        };
        is_between && self.spine.is_shown()
    }

    /// The string that is read, as far as it came.
    pub(super) fn open_text(&self) -> Option<&str> {
        matches!(self.state, State::Text(_)).then_some(self.spine.text.as_str())
    }
}

/// Who is told what everybody holds.
struct Deaf;

impl OpSink for Deaf {
    fn append(&mut self, _path: &str, _text: &str) {}
    fn set(&mut self, _path: &str, _value: &Value) {}
    fn remove(&mut self, _path: &str) {}
}

/// What makes `value` of `held`, which goes on from it.
fn cut_back(at: &mut String, held: &Value, value: &Value, ops: &mut Vec<Op>) {
    let outer = at.len();
    match (held, value) {
        (Value::Object(held), Value::Object(value)) => {
            let extra = held.iter().filter(|(name, _)| !value.contains_key(name));
            for (name, _) in extra {
                path::push_segment(at, name);
                ops.push(Op::Remove { path: at.clone() });
                at.truncate(outer);
            }
            for (name, member) in value.iter() {
                let Some(held) = held.get(name) else { continue };
                path::push_segment(at, name);
                cut_back(at, held, member, ops);
                at.truncate(outer);
            }
        }
        (Value::Array(held), Value::Array(value)) => {
            for index in (value.len()..held.len()).rev() {
                path::push_index(at, index);
                ops.push(Op::Remove { path: at.clone() });
                at.truncate(outer);
            }
            for (index, (held, item)) in held.iter().zip(value).enumerate() {
                path::push_index(at, index);
                cut_back(at, held, item, ops);
                at.truncate(outer);
            }
        }
        (held, value) if held == value => {}
        (_, value) => ops.push(Op::Set {
            path: at.clone(),
            value: value.clone(),
        }),
    }
}
