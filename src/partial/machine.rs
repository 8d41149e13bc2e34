//! The grammar: one byte at a time, resumable at any of them, strict RFC 8259 (rule T1).
//!
//! Every state has one method that reads as many bytes as it can and says where it stopped. What the grammar does
//! not allow goes to [`Machine::fault`], the one door to repair and to failure.

use std::sync::Arc;

use super::error::{ParseError, ParseErrorKind};
use super::guide::{Guide, NodeId};
use super::lenient::LooseState;
use super::number::NumberState;
use super::options::{DraftOptions, Lenient, Limits};
use super::repair::{Repair, RepairKind};
use super::spine::{Leaf, Spine};
use super::text::{Quote, TextState};
use super::value::{Number, Value};

/// What the grammar expects next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// A value: the root, a member's, or an item behind a comma.
    Value,
    /// An item or `]`, right behind `[`.
    FirstItem,
    /// A member name or `}`, right behind `{`.
    FirstKey,
    /// A member name behind a comma.
    Key,
    /// `:`.
    Colon,
    /// `,` or the closing bracket.
    Rest,
    /// The rest of a string or member name.
    Text(TextState),
    /// The rest of a number.
    Number(NumberState),
    /// The rest of a literal, and how much of it has come.
    Literal(Literal, usize),
    /// Something that only lenient reading knows.
    Loose(LooseState),
    /// The root is closed.
    Done,
    /// An error ended the text.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl Literal {
    pub(super) fn text(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }

    fn value(self) -> Value {
        match self {
            Self::True => Value::Bool(true),
            Self::False => Value::Bool(false),
            Self::Null => Value::Null,
        }
    }
}

pub(super) struct Machine {
    pub(super) spine: Spine,
    pub(super) state: State,
    pub(super) limits: Limits,
    pub(super) guide: Option<Arc<dyn Guide>>,
    /// Whether the guide is told what closes.
    pub(super) hears: bool,
    /// Where the schema stands for the string that was begun last.
    pub(super) text_node: NodeId,
    /// Offset of the fed slice in the model's text.
    pub(super) base: usize,
    pub(super) error: Option<ParseError>,
    /// What was asked for.
    asked: Lenient,
    /// Whether repair may begin, or has.
    pub(super) lenient: Lenient,
    /// What ends the open string.
    pub(super) quote: Quote,
    /// Whether a string has just closed, and the blanks behind it; kept only where repair may need them.
    pub(super) behind_text: bool,
    pub(super) gap: String,
    /// Where to go on behind a comment, and where what is read now began.
    pub(super) resume: State,
    pub(super) loose_at: usize,
    /// The first repairs, and how many there were.
    pub(super) repairs: Vec<Repair>,
    pub(super) repairs_made: usize,
    /// Text behind the value was told already.
    trailed: bool,
    /// Blanks since the last token.
    pub(super) blanks: usize,
    /// The number that is read, as written.
    pub(super) number: String,
    /// The first bytes of a UTF-8 sequence that was cut, and how many.
    pub(super) carry: [u8; 4],
    pub(super) carried: usize,
    /// The first half of a surrogate pair; 0 if there is none.
    pub(super) high: u16,
    /// Where it stands.
    pub(super) high_at: usize,
    /// Where the escape that is read begins.
    pub(super) escape_at: usize,
    /// Its hexadecimal digits so far.
    pub(super) unit: u16,
}

impl Machine {
    pub(super) fn new(options: DraftOptions) -> Self {
        Self {
            spine: Spine::default(),
            state: State::Value,
            limits: options.limits,
            hears: options.guide.as_ref().is_some_and(|guide| guide.hears()),
            guide: options.guide,
            text_node: NodeId::NONE,
            base: 0,
            error: None,
            asked: options.lenient,
            lenient: options.lenient,
            quote: Quote::Double,
            behind_text: false,
            gap: String::new(),
            resume: State::Value,
            loose_at: 0,
            repairs: Vec::new(),
            repairs_made: 0,
            trailed: false,
            blanks: 0,
            number: String::new(),
            carry: [0; 4],
            carried: 0,
            high: 0,
            high_at: 0,
            escape_at: 0,
            unit: 0,
        }
    }

    /// Reads bytes that stand at `base` of the model's text; says how many, fewer only when the root closed or an
    /// error ended the text.
    pub(super) fn feed(&mut self, base: usize, bytes: &[u8]) -> usize {
        self.base = base;
        let mut at = 0;
        while at < bytes.len() {
            at = match self.state {
                State::Text(TextState::Plain) => self.plain_text(bytes, at),
                State::Text(state) => self.escaped_text(state, bytes, at),
                State::Number(state) => self.number(state, bytes, at),
                State::Literal(literal, read) => self.literal(literal, read, bytes, at),
                State::Loose(state) => self.loose(state, bytes, at),
                State::Done | State::Failed => return at,
                State::Value
                | State::FirstItem
                | State::FirstKey
                | State::Key
                | State::Colon
                | State::Rest => self.structure(bytes, at),
            };
        }
        at
    }

    /// Forgets everything but its options, so that another value can begin.
    pub(super) fn restart(&mut self) {
        let spine = std::mem::take(&mut self.spine);
        let options = DraftOptions {
            lenient: self.asked,
            limits: self.limits,
            guide: self.guide.take(),
            ..DraftOptions::default()
        };
        *self = Self::new(options);
        self.spine = spine;
        self.spine.restart();
        self.tell_dropped();
    }

    /// Whether something inside the root stands, or all of it: what is no false start any more.
    pub(super) fn is_certain(&self) -> bool {
        let Some(root) = self.spine.frames.first() else {
            return self.spine.is_shown();
        };
        root.len() > 0 || self.spine.frames.len() > 1 || self.spine.leaf == Leaf::Shown
    }

    /// The root where it has closed without anything in it.
    pub(super) fn empty_root(&self) -> Option<Value> {
        let root = self.spine.root.as_ref()?;
        let is_empty = match root {
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        is_empty.then(|| root.clone())
    }

    /// Makes a whole value the root.
    pub(super) fn take_whole(&mut self, root: Value) {
        self.spine.place(root, false);
        self.after_value();
    }

    /// Reads what stands behind the value: blanks alone are allowed.
    pub(super) fn read_behind(&mut self, base: usize, bytes: &[u8]) {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        if self.state != State::Done {
            return;
        }
        let Some(at) = bytes.iter().position(|byte| !blank(byte)) else {
            return;
        };
        if self.asked == Lenient::Off {
            self.fail(ParseErrorKind::TrailingText, Some(bytes[at]), None, base + at);
        } else if !self.trailed {
            self.trailed = true;
            self.note_repair(RepairKind::TrailingText, base + at);
        }
    }

    /// The text is over: a root number is whole now, and a quote that was held back ends its string.
    pub(super) fn finish(&mut self) {
        let at_root = self.spine.frames.is_empty();
        match self.state {
            State::Number(state) if at_root && state.is_whole() => self.close_number(),
            State::Loose(LooseState::Word) if at_root => {
                self.close_word(0);
            }
            State::Loose(LooseState::Held) => self.close_text(),
            _ => {}
        }
    }

    fn structure(&mut self, bytes: &[u8], at: usize) -> usize {
        let at = self.skip_blanks(bytes, at);
        let Some(&byte) = bytes.get(at) else { return at };
        if self.state == State::Failed {
            return at;
        }
        self.blanks = 0;
        match self.state {
            State::Rest => self.rest(bytes, byte, at),
            State::Key | State::FirstKey => match byte {
                b'"' => self.begin_key(at),
                b'}' if self.state == State::FirstKey => self.close_container(at),
                _ => self.fault(self.expectation(), byte, at),
            },
            State::Colon if byte == b':' => {
                self.state = State::Value;
                at + 1
            }
            State::FirstItem if byte == b']' => self.close_container(at),
            State::Value | State::FirstItem => self.begin_value(byte, at),
            _ => self.fault(self.expectation(), byte, at),
        }
    }

    /// Behind a child of a container.
    fn rest(&mut self, bytes: &[u8], byte: u8, at: usize) -> usize {
        match (byte, self.in_object()) {
            (b',', true) => {
                self.state = State::Key;
                // Most often the next name follows at once.
                if bytes.get(at + 1) == Some(&b'"') {
                    return self.begin_key(at + 1);
                }
                at + 1
            }
            (b',', false) => {
                self.state = State::Value;
                at + 1
            }
            (b'}', true) | (b']', false) => self.close_container(at),
            _ => self.fault(self.expectation(), byte, at),
        }
    }

    fn begin_key(&mut self, at: usize) -> usize {
        self.spine.open_text(Leaf::Key);
        self.quote = Quote::Double;
        self.state = State::Text(TextState::Plain);
        at + 1
    }

    fn begin_value(&mut self, byte: u8, at: usize) -> usize {
        match byte {
            b'"' => {
                let leaf = self.leaf_kind();
                self.spine.open_text(leaf);
                self.quote = Quote::Double;
                self.state = State::Text(TextState::Plain);
            }
            b'{' => return self.open_container(Spine::empty_object(), State::FirstKey, at),
            b'[' => return self.open_container(Value::Array(Vec::new()), State::FirstItem, at),
            b't' => self.state = State::Literal(Literal::True, 1),
            b'f' => self.state = State::Literal(Literal::False, 1),
            b'n' => self.state = State::Literal(Literal::Null, 1),
            b'-' | b'0'..=b'9' => {
                self.number.clear();
                self.state = State::Number(NumberState::Start);
                return at;
            }
            _ => return self.fault(self.expectation(), byte, at),
        }
        at + 1
    }

    fn open_container(&mut self, empty: Value, state: State, at: usize) -> usize {
        if self.spine.frames.len() >= self.limits.depth_max {
            return self.fail_limit(ParseErrorKind::DepthLimit, self.limits.depth_max, at);
        }
        let node = self.node_of_next();
        let awaited = match (&self.guide, &empty) {
            (Some(guide), Value::Object(_)) if node != NodeId::NONE => guide.awaited(node),
            _ => None,
        };
        self.spine.open_container(empty, node, awaited);
        self.state = state;
        at + 1
    }

    fn close_container(&mut self, at: usize) -> usize {
        let node = self.spine.frames.last().map_or(NodeId::NONE, |frame| frame.node);
        self.spine.close_container();
        self.tell_closed(node);
        self.after_value();
        at + 1
    }

    pub(super) fn after_value(&mut self) {
        self.behind_text = false;
        self.state = if self.spine.frames.is_empty() {
            State::Done
        } else {
            State::Rest
        };
    }

    fn literal(&mut self, literal: Literal, read: usize, bytes: &[u8], at: usize) -> usize {
        let rest = &literal.text()[read..];
        let same = rest.iter().zip(&bytes[at..]).take_while(|(a, b)| a == b).count();
        self.state = State::Literal(literal, read + same);
        let at = at + same;
        if same == rest.len() {
            self.place_scalar(literal.value());
            self.after_value();
        } else if let Some(&byte) = bytes.get(at) {
            return self.fault(ParseErrorKind::InvalidLiteral, byte, at);
        }
        at
    }

    fn number(&mut self, state: NumberState, bytes: &[u8], at: usize) -> usize {
        let mut state = state;
        let mut end = at;
        let mut stopped = None;
        while let Some(&byte) = bytes.get(end) {
            match state.step(byte) {
                Some(next) => state = next,
                None => {
                    stopped = Some(byte);
                    break;
                }
            }
            end += 1;
        }
        self.state = State::Number(state);
        let room = self.limits.number_digits_max.saturating_sub(self.number.len());
        if end - at > room {
            return self.fail_limit(
                ParseErrorKind::DigitsLimit,
                self.limits.number_digits_max,
                at + room,
            );
        }
        self.number
            .extend(bytes[at..end].iter().map(|byte| char::from(*byte)));
        match stopped {
            None => end,
            Some(byte) if state.is_whole() && !state.refuses(byte) => {
                self.close_number();
                end
            }
            Some(byte) => self.fault(ParseErrorKind::InvalidNumber, byte, end),
        }
    }

    pub(super) fn close_number(&mut self) {
        let number = Number::from_checked(&self.number);
        self.place_scalar(Value::Number(number));
        self.after_value();
    }

    fn skip_blanks(&mut self, bytes: &[u8], at: usize) -> usize {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let Some(first) = bytes.get(at) else { return at };
        if !blank(first) {
            return at;
        }
        let count = bytes[at..].iter().take_while(|byte| blank(byte)).count();
        let room = self.limits.blanks_max.saturating_sub(self.blanks);
        self.blanks += count;
        if self.behind_text && self.lenient == Lenient::Auto {
            self.gap
                .extend(bytes[at..at + count].iter().map(|byte| char::from(*byte)));
        }
        if count > room {
            return self.fail_limit(ParseErrorKind::BlanksLimit, self.limits.blanks_max, at + room);
        }
        at + count
    }

    pub(super) fn in_object(&self) -> bool {
        self.spine.frames.last().is_some_and(|frame| frame.is_object())
    }

    /// Where the schema stands for the value that begins now.
    pub(super) fn node_of_next(&self) -> NodeId {
        let Some(guide) = &self.guide else {
            return NodeId::NONE;
        };
        match self.spine.frames.last() {
            None => guide.root(),
            Some(frame) if frame.node == NodeId::NONE => NodeId::NONE,
            Some(frame) if frame.is_object() => guide.member(frame.node, &frame.key),
            Some(frame) => guide.item(frame.node, frame.slot),
        }
    }

    pub(super) fn leaf_kind(&mut self) -> Leaf {
        let node = self.node_of_next();
        self.text_node = node;
        let atomic = node != NodeId::NONE && self.guide.as_ref().is_some_and(|guide| guide.is_atomic(node));
        if atomic { Leaf::Hidden } else { Leaf::Shown }
    }

    /// What the grammar lacks in a structural state.
    pub(super) fn expectation(&self) -> ParseErrorKind {
        match self.state {
            State::FirstItem => ParseErrorKind::ExpectedItemOrClose,
            State::FirstKey => ParseErrorKind::ExpectedKeyOrClose,
            State::Key => ParseErrorKind::ExpectedKey,
            State::Colon => ParseErrorKind::ExpectedColon,
            State::Rest if self.in_object() => ParseErrorKind::ExpectedCommaOrBrace,
            State::Rest => ParseErrorKind::ExpectedCommaOrBracket,
            State::Value
            | State::Text(_)
            | State::Number(_)
            | State::Literal(..)
            | State::Loose(_)
            | State::Done
            | State::Failed => ParseErrorKind::ExpectedValue,
        }
    }

    /// The byte does not fit the grammar.
    pub(super) fn fault(&mut self, kind: ParseErrorKind, byte: u8, at: usize) -> usize {
        if let Some(next) = self.repair(kind, byte, at) {
            return next;
        }
        let offset = self.base + at;
        let kind = if byte == 0xEF && offset == 0 {
            ParseErrorKind::ByteOrderMark
        } else {
            kind
        };
        self.fail(kind, Some(byte), None, offset);
        at
    }

    pub(super) fn fail_limit(&mut self, kind: ParseErrorKind, limit: usize, at: usize) -> usize {
        self.fail(kind, None, Some(limit), self.base + at);
        at
    }

    /// Ends the text with an error at an offset of the model's text.
    pub(super) fn fail(
        &mut self,
        kind: ParseErrorKind,
        found: Option<u8>,
        limit: Option<usize>,
        offset: usize,
    ) {
        self.error = Some(ParseError {
            offset,
            path: self.place_path(),
            kind,
            found,
            limit,
        });
        self.state = State::Failed;
    }

    /// The pointer an error or repair names: of the value that is read, else of the open container.
    pub(super) fn place_path(&self) -> String {
        let in_key = self.spine.leaf == Leaf::Key;
        match self.state {
            State::Value | State::FirstItem | State::Colon | State::Number(_) | State::Literal(..) => {
                self.spine.value_path()
            }
            State::Text(_) | State::Loose(LooseState::Held | LooseState::Triple(_)) if !in_key => {
                self.spine.value_path()
            }
            State::Loose(LooseState::Word) => self.spine.value_path(),
            State::Text(_)
            | State::Loose(_)
            | State::FirstKey
            | State::Key
            | State::Rest
            | State::Done
            | State::Failed => self.spine.container_path().to_owned(),
        }
    }
}
