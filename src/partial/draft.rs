//! One attempt's draft: the front end of its mode and the parser behind it.

use super::calls::{Calls, Turn};
use super::error::{ParseError, ParseErrorKind};
use super::graft::{Graft, Spot};
use super::items::Items;
use super::machine::{Machine, State};
use super::notes::Note;
use super::op::{Op, OpSink};
use super::options::{DraftOptions, Limits, Mode};
use super::repair::Repair;
use super::search::Search;
use super::spine::Open;
use super::value::Value;

/// How a text ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// One whole value.
    Complete,
    /// The text ended inside, or before, a value (rule T7).
    Truncated,
    /// The text is not JSON, or passed a limit.
    Invalid(ParseError),
}

/// What is known at the end of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// How many repairs were made.
    pub repairs: usize,
    /// How many members replaced an earlier one of the same name (rule T2).
    pub duplicate_keys: usize,
    /// Tool calls beside the one that is the draft.
    pub ignored_calls: usize,
}

/// One attempt: text in, changes of the partial value out.
pub struct Draft {
    mode: Mode,
    bytes_max: usize,
    machine: Machine,
    /// Only in [`Mode::MdJson`].
    search: Option<Search>,
    /// Only in [`Mode::ParallelTools`], where the machine reads nothing.
    items: Option<Box<Items>>,
    calls: Calls,
    /// Where the text is only some places of a value.
    graft: Option<Box<Graft>>,
    /// What viewers have to be told first.
    restores: Vec<Op>,
    bytes_fed: usize,
    finished: bool,
    /// Whether anything that the text says was handed out.
    is_told: bool,
}

impl Draft {
    /// A draft that has read nothing.
    pub fn new(options: DraftOptions) -> Self {
        let many = options.mode == Mode::ParallelTools;
        Self {
            mode: options.mode,
            bytes_max: options.limits.bytes_max,
            search: (options.mode == Mode::MdJson).then(|| Search::new(options.root)),
            items: many.then(|| Box::new(Items::new(options.clone()))),
            calls: Calls::new(options.tool.clone(), many),
            machine: Machine::new(options),
            graft: None,
            restores: Vec::new(),
            bytes_fed: 0,
            finished: false,
            is_told: false,
        }
    }

    /// A draft whose text is only some places of a value that viewers hold: all that is told, and
    /// [`value`](Self::value), is of the whole. Not for [`Mode::ParallelTools`].
    pub fn onto(options: DraftOptions, graft: Graft) -> Self {
        Self {
            graft: Some(Box::new(graft)),
            ..Self::new(options)
        }
    }

    /// Reads the next bytes of the model's text: of its content, or of the arguments of call 0 in
    /// [`Mode::Tools`] and [`Mode::ParallelTools`]. Does nothing after an error or [`finish`](Self::finish).
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.mode {
            Mode::Tools | Mode::ParallelTools => {
                self.feed_call(0, None, None, bytes);
            }
            Mode::Json | Mode::JsonSchema | Mode::MdJson => self.feed_text(bytes),
        }
    }

    /// Reads the next bytes of the arguments of a tool call, and says what became of them. `id` and `name` may come
    /// with the first piece alone; a new id at an index begins another call there.
    ///
    /// In [`Mode::Tools`] the first call of the tool is the draft, unless another one follows at its index before
    /// anything of it was shown; in [`Mode::ParallelTools`] each call is an item, in the order of their beginning.
    /// Calls that are no part of the draft are counted.
    pub fn feed_call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, bytes: &[u8]) -> Turn {
        let (items, spine) = (self.items.as_deref_mut(), &self.machine.spine);
        let shown = |slot| {
            items
                .as_ref()
                .map_or(spine.is_shown(), |items| items.is_shown(slot))
        };
        let turn = self.calls.turn(index, id, name, shown);
        if self.finished {
            return turn;
        }
        match (turn, items) {
            (Turn::Other, _) | (Turn::NoItems, None) => {}
            (Turn::NoItems, Some(items)) => items.say_none(),
            (Turn::Call(slot) | Turn::Instead(slot), Some(items)) => {
                if turn == Turn::Instead(slot) {
                    items.restart(slot);
                }
                items.feed(slot, bytes, self.bytes_max.saturating_sub(self.bytes_fed));
                self.bytes_fed = self.bytes_fed.saturating_add(bytes.len());
            }
            (Turn::Call(_), None) => self.feed_text(bytes),
            (Turn::Instead(_), None) => {
                self.machine.restart();
                self.bytes_fed = 0;
                self.feed_text(bytes);
            }
        }
        turn
    }

    #[inline]
    fn feed_text(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes_fed);
        if self.finished || bytes.len() > room {
            self.feed_last(bytes, room);
        } else if self.machine.feed_plain(bytes) {
            self.bytes_fed += bytes.len();
        } else if !matches!(self.machine.state, State::Failed) {
            self.read(bytes);
        }
    }

    /// Reads what the limit on bytes leaves room for.
    #[inline(never)]
    fn feed_last(&mut self, bytes: &[u8], room: usize) {
        if self.finished || self.machine.state == State::Failed {
            return;
        }
        self.read(&bytes[..room]);
        match self.machine.state {
            State::Failed => {}
            State::Done => self.read(&bytes[room..]),
            _ => {
                let (offset, limit) = (self.bytes_fed, self.bytes_max);
                self.machine
                    .fail(ParseErrorKind::BytesLimit, None, Some(limit), offset);
            }
        }
    }

    #[inline]
    fn read(&mut self, bytes: &[u8]) {
        let base = self.bytes_fed;
        self.bytes_fed += bytes.len();
        match &mut self.search {
            Some(search) if !search.certain => search.read(&mut self.machine, self.bytes_max, base, bytes),
            Some(_) => {
                self.machine.feed(base, bytes);
            }
            None => {
                let read = self.machine.feed(base, bytes);
                if read < bytes.len() {
                    self.machine.read_behind(base + read, &bytes[read..]);
                }
            }
        }
    }

    /// Hands out all changes since the last flush, coalesced; true if there were any. Nothing is allocated while
    /// a string grows.
    pub fn flush<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        let mut restored = !self.restores.is_empty();
        self.restores.drain(..).for_each(|op| op.tell(sink));
        let told = match (&mut self.graft, &mut self.items) {
            (Some(graft), _) => {
                restored |= graft.put_right(sink);
                let mut onto = graft.onto(sink);
                self.machine.spine.flush(&mut onto);
                onto.told
            }
            (None, None) => self.machine.spine.flush(sink),
            (None, Some(items)) => items.flush(sink),
        };
        self.is_told |= told;
        told || restored
    }

    /// Whether anything that the text says was handed out; what viewers had to be told before it is none of that.
    pub const fn is_told(&self) -> bool {
        self.is_told
    }

    /// What was flushed until now is what everybody holds, but for this, which the next flush tells first.
    pub(super) fn held_but_for(&mut self, ops: Vec<Op>) {
        self.restores = ops;
        self.is_told = false;
    }

    /// No path can be told by the last op's any more.
    pub(super) fn forget_last_op(&mut self) {
        self.machine.spine.op_depth = None;
    }

    /// Whether one text is read, which has begun for certain, and is the whole value.
    pub(super) fn is_one_text(&self) -> bool {
        let is_certain = self.search.as_ref().is_none_or(|search| search.certain);
        is_certain && self.items.is_none() && self.graft.is_none()
    }

    pub(super) const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The string that is read, as far as it came; a name, too.
    pub fn open_text(&self) -> Option<&str> {
        self.machine.open_text()
    }

    /// The text is over, by the model's will. What became whole by that is handed out by the next flush.
    pub fn finish(&mut self) -> Outcome {
        if !self.finished {
            self.finished = true;
            self.end_text();
        }
        self.outcome()
    }

    /// The text was cut: what only its end would have made whole (a root number, an array of parallel calls) stays
    /// open.
    pub fn cut(&mut self) -> Outcome {
        self.finished = true;
        if let Some(search) = &mut self.search {
            search.end_notes();
        }
        self.outcome()
    }

    fn end_text(&mut self) {
        if let Some(items) = &mut self.items {
            items.finish();
            return;
        }
        self.machine.finish();
        if let Some(search) = &mut self.search {
            search.finish(&mut self.machine);
        }
    }

    fn outcome(&self) -> Outcome {
        let closed = self
            .items
            .as_ref()
            .map_or(self.machine.state == State::Done, |items| items.is_closed());
        let end = match self.error() {
            Some(error) => End::Invalid(error.clone()),
            None if closed => End::Complete,
            None => End::Truncated,
        };
        let made = self
            .items
            .as_ref()
            .map_or(self.machine.repairs_made, |items| items.repairs_made());
        Outcome {
            end,
            repairs: made,
            duplicate_keys: self.duplicate_keys(),
            ignored_calls: self.calls.ignored,
        }
    }

    /// Ends the text and gives the whole value; anything else is an error.
    pub fn into_value(mut self) -> Result<Value, ParseError> {
        match self.finish().end {
            End::Invalid(error) => return Err(error),
            End::Complete | End::Truncated => {}
        }
        let whole = match &self.items {
            Some(items) => items.value().filter(|_| items.is_closed()),
            None => self.machine.spine.root.take(),
        };
        match (whole, &self.graft) {
            (Some(answer), Some(graft)) => Ok(graft.spliced(Some(&answer))),
            (Some(root), None) => Ok(root),
            (None, _) => Err(ParseError {
                offset: self.bytes_fed,
                path: self.machine.place_path(),
                kind: ParseErrorKind::UnexpectedEnd,
                found: None,
                limit: None,
            }),
        }
    }

    /// Of a text that is some places of a value: those that it has not come to, or is still at, as far as it was flushed.
    pub fn unanswered(&self) -> Vec<Spot> {
        let at = self.machine.spine.open_path();
        let graft = self.graft.as_ref();
        graft.map_or_else(Vec::new, |graft| graft.unanswered(at.as_deref()))
    }

    /// Whether the text is some places of a value.
    pub const fn is_grafted(&self) -> bool {
        self.graft.is_some()
    }

    /// Whether the text goes on with a value that stands.
    pub fn is_rest(&self) -> bool {
        self.graft.as_ref().is_some_and(|graft| graft.goes_on())
    }

    /// What is visible now; equal to folding every flushed op right after a flush.
    pub fn value(&self) -> Option<Value> {
        let text = self.text_value();
        match &self.graft {
            Some(graft) => Some(graft.spliced(text.as_ref())),
            None => text,
        }
    }

    /// What the text alone says; something else than [`value`](Self::value) only where it is some places of that.
    pub fn text_value(&self) -> Option<Value> {
        match &self.items {
            None => self.machine.spine.value(),
            Some(items) => items.value(),
        }
    }

    /// Where a place of the text lies in the value; a place of the text that has none there is the root.
    pub fn place(&self, pointer: &str) -> String {
        self.own_place(pointer).unwrap_or_default()
    }

    /// Of places of the text: whether what is said of each holds for the value, too. Of a text that is some places of a
    /// value it does not where it comes nowhere, nor of a rest as a whole that says again what stands.
    pub fn hold(&self, pointers: &[&str]) -> Vec<bool> {
        let Some(graft) = &self.graft else {
            return vec![true; pointers.len()];
        };
        let text = (!pointers.is_empty()).then(|| self.text_value()).flatten();
        let holds = |pointer: &&str| graft.holds(pointer, text.as_ref());
        pointers.iter().map(holds).collect()
    }

    /// The pointer of the deepest open value that is shown of the text; of parallel calls, of the first that is open.
    pub fn open_in_text(&self) -> String {
        let open = match &self.items {
            None => self.machine.spine.open_path(),
            Some(items) => items.open_paths().into_iter().next(),
        };
        open.unwrap_or_default()
    }

    /// Where a place of the text lies in the value; `None` for one that comes nowhere.
    pub fn own_place(&self, pointer: &str) -> Option<String> {
        match &self.graft {
            Some(graft) => graft.place(pointer),
            None => Some(pointer.to_owned()),
        }
    }

    /// Whether the text was to be some places of a value, and none of them has come, as far as it was flushed.
    pub fn is_bare(&self) -> bool {
        self.graft.as_ref().is_some_and(|graft| graft.is_bare())
    }

    /// Of a text that is some places of a value: whether anything has come of them that stands if it goes on no more.
    pub fn has_closed(&self) -> bool {
        let at = self.machine.spine.open_path();
        let graft = self.graft.as_ref();
        graft.is_some_and(|graft| graft.has_closed(self.text_value().as_ref(), at.as_deref()))
    }

    /// The same as JSON text, without building a value; false (and nothing written) while nothing is shown.
    pub fn write_value(&self, out: &mut String) -> bool {
        if self.items.is_none() && self.graft.is_none() {
            return self.machine.spine.write_value(out);
        }
        self.value().inspect(|value| value.write_json(out)).is_some()
    }

    /// The pointer of the deepest open value that is shown: one entry, or none when nothing is open (rule C1); of
    /// parallel calls, one for each that is open.
    pub fn open_paths(&self) -> Vec<String> {
        match (&self.graft, &self.items) {
            (Some(graft), _) => self.open_places(graft),
            (None, None) => self.machine.spine.open_path().into_iter().collect(),
            (None, Some(items)) => items.open_paths(),
        }
    }

    /// The place that is being read, and those that the text has not come to.
    fn open_places(&self, graft: &Graft) -> Vec<String> {
        // What a value lacks is due; what stands already is not.
        if self.is_closed() && !graft.goes_on() {
            return Vec::new();
        }
        let own = self.machine.spine.open_path();
        graft.open(own.and_then(|path| graft.place(&path)))
    }

    /// What has become of the [`open_paths`](Self::open_paths) since the last call: asked behind each flush, so it
    /// looks at no path of a single text.
    pub fn track_open(&mut self) -> Open {
        if let Some(mut graft) = self.graft.take() {
            let open = self.open_places(&graft);
            let same = open == graft.open_told;
            graft.open_told = open;
            self.graft = Some(graft);
            return if same { Open::Same } else { Open::Other };
        }
        match &mut self.items {
            None => self.machine.spine.track_open(),
            Some(items) => items.track_open(),
        }
    }

    /// What was skipped since the last call, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        let search = self.search.as_mut();
        search.map_or_else(Vec::new, Search::take_notes)
    }

    /// The error that ended the text.
    pub fn error(&self) -> Option<&ParseError> {
        match &self.items {
            None => self.machine.error.as_ref(),
            Some(items) => items.error(),
        }
    }

    /// Whether the root is closed.
    pub fn is_closed(&self) -> bool {
        match &self.items {
            None => self.machine.spine.root.is_some(),
            Some(items) => items.is_closed(),
        }
    }

    /// The repairs made so far, as far as they are listed: the first 256 of a text. Those of a beginning that may be
    /// none are not told yet.
    pub fn repairs(&self) -> &[Repair] {
        match (&self.items, &self.search) {
            (Some(items), _) => &items.repairs,
            (None, Some(search)) if !search.certain => &[],
            (None, _) => &self.machine.repairs,
        }
    }

    /// Bytes read so far.
    pub fn bytes_fed(&self) -> usize {
        self.bytes_fed
    }

    /// Members that replaced an earlier one of the same name (rule T2).
    pub fn duplicate_keys(&self) -> usize {
        match &self.items {
            None => self.machine.spine.duplicate_keys,
            Some(items) => items.duplicate_keys(),
        }
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("mode", &self.mode)
            .field("state", &self.machine.state)
            .field("bytes_fed", &self.bytes_fed)
            .finish_non_exhaustive()
    }
}

/// Reads one whole text strictly, with the default limits.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let mut draft = Draft::new(DraftOptions::default());
    draft.feed(text.as_bytes());
    draft.into_value()
}

/// Reads back what this engine has written, a value or the ops of a patch: it is as large as its writer made it. Only
/// the nesting stays bounded, two levels over a draft's own.
pub fn parse_written(text: &str) -> Result<Value, ParseError> {
    Draft::of_written(text).into_value()
}

impl Draft {
    /// A draft that has read what this engine has written, as [`parse_written`] does.
    pub fn of_written(text: &str) -> Self {
        let limits = Limits {
            depth_max: Limits::default().depth_max + 2,
            bytes_max: usize::MAX,
            ..Limits::default()
        };
        let mut draft = Self::new(DraftOptions {
            limits,
            ..DraftOptions::default()
        });
        draft.feed(text.as_bytes());
        draft
    }
}

impl std::str::FromStr for Value {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}
