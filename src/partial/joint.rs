//! Where a text that broke off can be gone on with by its own continuation, and how its draft is taken up again.

use super::draft::Draft;
use super::guide::NodeId;
use super::machine::{Machine, State};
use super::op::{Op, OpSink};
use super::options::DraftOptions;
use super::path;
use super::spine::Leaf;
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
    /// then it is the beginning of something else, or was read otherwise when it was told.
    #[must_use]
    pub fn go_on_from(&mut self, held: &Value) -> bool {
        self.flush(&mut Deaf);
        self.track_open();
        self.forget_last_op();
        let Some(value) = self.value() else {
            return false;
        };
        let mut back = None;
        let is_end = self
            .ending()
            .cut_back(&mut String::new(), held, &value, &mut back);
        self.held_but_for(back.into_iter().collect());
        is_end
    }

    fn ending(&self) -> Ending {
        let spine = &self.machine().spine;
        Ending {
            container: matches!(spine.leaf, Leaf::None | Leaf::Key)
                .then(|| spine.container_path().to_owned()),
            text: (spine.leaf == Leaf::Shown).then(|| spine.value_path()),
        }
    }

    /// Whether a value like the whole may begin where the text stands, as in a document that holds others of its kind.
    pub fn may_nest(&self) -> bool {
        let machine = self.machine();
        if !matches!(machine.state, State::Value | State::FirstItem) {
            return false;
        }
        let node = machine.node_of_next();
        let (Some(guide), Some(root)) = (&machine.guide, machine.spine.frames.first()) else {
            return true;
        };
        if node == NodeId::NONE {
            return true;
        }
        let first = match &root.value {
            Value::Object(members) => guide.member(node, members.at(0).map_or(&*root.key, |(name, _)| name)),
            _ => guide.item(node, 0),
        };
        first != NodeId::NONE
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

/// Where a text ends: there alone may viewers hold more than it says.
struct Ending {
    /// The innermost container that is open, where no value within is.
    container: Option<String>,
    /// The string that is read and shown.
    text: Option<String>,
}

impl Ending {
    /// Finds the op that makes `value` of `held`, which goes on from it; false where more than the end differs.
    fn cut_back(&self, at: &mut String, held: &Value, value: &Value, back: &mut Option<Op>) -> bool {
        match (held, value) {
            (Value::Object(held), Value::Object(value)) => {
                let extra = held.iter().filter(|(name, _)| !value.contains_key(name));
                let extra: Vec<&str> = extra.map(|(name, _)| name).collect();
                self.takes_back(at, &extra, back)
                    && value.iter().all(|(name, member)| {
                        let held = held.get(name);
                        held.is_some_and(|held| self.within(at, name, held, member, back))
                    })
            }
            (Value::Array(held), Value::Array(value)) => {
                let extra: Vec<String> = (value.len()..held.len()).map(|index| index.to_string()).collect();
                let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
                let mut pairs = held.iter().zip(value).enumerate();
                value.len() <= held.len()
                    && self.takes_back(at, &extra, back)
                    && pairs
                        .all(|(index, (held, item))| self.within(at, &index.to_string(), held, item, back))
            }
            (held, value) if held == value => true,
            (Value::String(held), Value::String(text)) => {
                let is_end = self.text.as_ref() == Some(at) && held.starts_with(text.as_str());
                is_end
                    && replace(
                        back,
                        Op::Set {
                            path: at.clone(),
                            value: value.clone(),
                        },
                    )
            }
            _ => false,
        }
    }

    fn within(
        &self,
        at: &mut String,
        name: &str,
        held: &Value,
        value: &Value,
        back: &mut Option<Op>,
    ) -> bool {
        let outer = at.len();
        path::push_segment(at, name);
        let goes_on = self.cut_back(at, held, value, back);
        at.truncate(outer);
        goes_on
    }

    /// Takes back the one child that was begun behind the text's end, if there is one.
    fn takes_back(&self, at: &str, extra: &[&str], back: &mut Option<Op>) -> bool {
        match extra {
            [] => true,
            [only] if self.container.as_deref() == Some(at) => {
                let mut path = at.to_owned();
                path::push_segment(&mut path, only);
                replace(back, Op::Remove { path })
            }
            _ => false,
        }
    }
}

/// Keeps the one op that there may be.
fn replace(back: &mut Option<Op>, op: Op) -> bool {
    back.replace(op).is_none()
}
