//! The growing value: open containers on a stack by value, one buffer for the open string, and what viewers
//! already hold of all that.
//!
//! A container moves into its parent when it closes, so nothing is ever looked up from the root. Everything told
//! at the last flush lies on one chain: the containers that were open then. Those that still are form the front
//! of the stack (`told_frames`); those that have closed since hang below the last of them, in `tail`. So a flush
//! looks at one frame, the tail and what is newly open, however large the draft is.

use std::sync::Arc;

use super::guide::NodeId;
use super::map::Map;
use super::path;
use super::value::Value;

/// An open container.
#[derive(Debug)]
pub(super) struct Frame {
    /// The container with its closed children.
    pub(super) value: Value,
    /// The name of the member that is read or comes next.
    pub(super) key: Box<str>,
    /// Where the next child goes: behind the others, or on the member that it replaces.
    pub(super) slot: usize,
    /// Where the schema stands.
    pub(super) node: NodeId,
    /// How many of the first children viewers hold.
    pub(super) told: usize,
    /// Those among them that were replaced since.
    pub(super) again: Vec<usize>,
    /// Where this container's own pointer ends in the spine's pointer.
    pub(super) path_end: usize,
    /// Its number among all that was opened.
    opened: u32,
    /// The members that have to stand before it is shown, and how many of them do not yet.
    awaited: Option<Arc<[Box<str>]>>,
    missing: usize,
    /// The member that is read stands already.
    stands: bool,
    /// Whether the open child was pushed behind the others for the moment.
    pushed: bool,
}

/// What the text buffer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Leaf {
    /// No string is open.
    #[default]
    None,
    /// A member name.
    Key,
    /// A string that appears when it closes, or with the object around it (rule V5).
    Hidden,
    /// A string that is seen growing (rule V4).
    Shown,
}

/// A value that was told open and has closed since.
#[derive(Debug)]
pub(super) struct Told {
    /// Its place in its parent.
    pub(super) slot: usize,
    /// Children or bytes that viewers hold.
    pub(super) told: usize,
    /// Children among them that were replaced.
    pub(super) again: Vec<usize>,
}

/// What has become of the open places since they were asked for last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// They are where they were.
    Same,
    /// There is one: the place of the last op, with so many segments taken off.
    Up(usize),
    /// They are elsewhere.
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Spine {
    pub(super) frames: Vec<Frame>,
    /// The first frame that waits for a member: it and all below it are not seen.
    hidden: Option<usize>,
    /// The root once it has closed.
    pub(super) root: Option<Value>,
    pub(super) leaf: Leaf,
    pub(super) text: String,
    pub(super) duplicate_keys: usize,
    pub(super) told_frames: usize,
    /// Bytes of the open string that viewers hold; `None` if they do not know it yet.
    pub(super) text_told: Option<usize>,
    /// Deepest first.
    pub(super) tail: Vec<Told>,
    pub(super) root_told: bool,
    /// Viewers hold a value that was dropped.
    pub(super) removed: bool,
    /// Something else than the open string has changed since the last flush.
    pub(super) changed: bool,
    /// The pointer of the deepest open container, or of the open string once it was needed.
    pub(super) pointer: String,
    pub(super) scratch: String,
    /// How many containers and strings were opened, and the number of the open string.
    opened: u32,
    text_opened: u32,
    /// The number of the open value that viewers know of; 0 if they know of none.
    open_told: u32,
    /// How many segments the path of the last op has; `None` where that path does not begin like the open value's.
    pub(super) op_depth: Option<usize>,
}

impl Frame {
    fn new(value: Value, node: NodeId, path_end: usize, opened: u32) -> Self {
        Self {
            opened,
            value,
            key: Box::default(),
            slot: 0,
            node,
            told: 0,
            again: Vec::new(),
            path_end,
            awaited: None,
            missing: 0,
            stands: false,
            pushed: false,
        }
    }

    /// How many children have closed, counting one that is being replaced.
    pub(super) fn len(&self) -> usize {
        children(&self.value)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// Waits for members before it is shown.
    fn wait_for(&mut self, awaited: Arc<[Box<str>]>) {
        self.missing = awaited.len();
        self.awaited = Some(awaited);
    }

    /// The member that is read stands: whether nothing is missing any more because of that.
    fn miss_one_less(&mut self) -> bool {
        let is_new = !self.stands && self.slot == self.len();
        let awaited = self.awaited.as_deref().unwrap_or_default();
        if self.missing == 0 || !is_new || awaited.binary_search(&self.key).is_err() {
            return false;
        }
        self.stands = true;
        self.missing -= 1;
        self.missing == 0
    }

    /// Puts a closed child into its slot.
    fn put(&mut self, child: Value) {
        match &mut self.value {
            Value::Array(items) => {
                items.push(child);
                self.slot = items.len();
            }
            Value::Object(members) if self.slot == members.len() => {
                members.push(std::mem::take(&mut self.key), child);
            }
            Value::Object(members) => members.put(self.slot, child),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Puts the open child into its slot for as long as the whole is looked at.
    pub(super) fn lend(&mut self, child: Value) {
        self.pushed = self.slot == self.len();
        let slot = self.slot;
        self.put(child);
        self.slot = slot;
    }

    /// Takes the open child out again.
    pub(super) fn give_back(&mut self) -> Value {
        match &mut self.value {
            Value::Array(items) => items.pop().unwrap_or_default(),
            Value::Object(members) if self.pushed => {
                let (key, child) = members.pop().unwrap_or_default();
                self.key = key;
                child
            }
            Value::Object(members) => members.put_null(self.slot),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Value::Null,
        }
    }

    /// Takes the child that was put last out again; its slot is the next one once more.
    fn take_last(&mut self) -> Option<Value> {
        match &mut self.value {
            Value::Array(items) => {
                let last = items.pop()?;
                self.slot = items.len();
                Some(last)
            }
            Value::Object(members) => {
                self.key = members.at(self.slot)?.0.into();
                Some(members.put_null(self.slot))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// Appends the pointer segment of the open child.
    pub(super) fn push_segment(&self, pointer: &mut String) {
        if self.is_object() {
            path::push_segment(pointer, &self.key);
        } else {
            path::push_index(pointer, self.slot);
        }
    }
}

pub(super) fn children(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl Spine {
    /// Drops everything, so that another value can begin; viewers who hold something are told.
    pub(super) fn restart(&mut self) {
        let held = self.removed || self.told_frames > 0 || self.root_told || self.text_told.is_some();
        *self = Self {
            removed: held,
            changed: held,
            opened: self.opened,
            open_told: self.open_told,
            ..Self::default()
        };
    }

    pub(super) fn is_shown(&self) -> bool {
        self.root.is_some() || self.seen_frames() > 0 || self.leaf == Leaf::Shown
    }

    /// How many of the open containers are seen.
    pub(super) fn seen_frames(&self) -> usize {
        self.hidden.unwrap_or(self.frames.len())
    }

    /// Whether the frame at `depth` has an open child that is seen.
    pub(super) fn has_open_child(&self, depth: usize) -> bool {
        depth + 1 < self.seen_frames() || (depth + 1 == self.frames.len() && self.leaf == Leaf::Shown)
    }

    pub(super) fn open_container(&mut self, value: Value, node: NodeId, awaited: Option<Arc<[Box<str>]>>) {
        let depth = self.frames.len();
        let awaited = awaited.filter(|names| !names.is_empty());
        if awaited.is_none() {
            self.arrive();
            self.uncover(depth);
        } else {
            self.hidden.get_or_insert(depth);
        }
        let path_end = match self.frames.last() {
            Some(parent) => {
                self.pointer.truncate(parent.path_end);
                parent.push_segment(&mut self.pointer);
                self.pointer.len()
            }
            None => 0,
        };
        self.opened += 1;
        let mut frame = Frame::new(value, node, path_end, self.opened);
        if let Some(awaited) = awaited {
            frame.wait_for(awaited);
        }
        self.frames.push(frame);
        self.changed = true;
    }

    pub(super) fn close_container(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.hidden = self.hidden.filter(|first| *first < self.frames.len());
        let told = self.told_frames > self.frames.len();
        if told {
            self.told_frames = self.frames.len();
            if !self.tail.is_empty() || frame.told < frame.len() || !frame.again.is_empty() {
                self.tail.push(Told {
                    slot: self.next_slot(),
                    told: frame.told,
                    again: frame.again,
                });
            }
        }
        self.place(frame.value, told);
    }

    pub(super) fn open_text(&mut self, leaf: Leaf) {
        self.leaf = leaf;
        if leaf == Leaf::Shown {
            self.arrive();
            self.leaf = self.growing();
        }
        if self.leaf == Leaf::Shown {
            self.uncover(self.frames.len());
            self.changed = true;
            self.opened += 1;
            self.text_opened = self.opened;
        }
        self.text.clear();
        self.text_told = None;
    }

    /// What a string that may be seen growing is here: nothing grows in what is not seen.
    fn growing(&self) -> Leaf {
        match self.hidden {
            None => Leaf::Shown,
            Some(_) => Leaf::Hidden,
        }
    }

    /// The open string is whole.
    pub(super) fn close_text(&mut self) {
        self.leaf = Leaf::None;
        let told = self.text_told.take();
        if let Some(told) = told.filter(|told| *told < self.text.len()) {
            self.tail.push(Told {
                slot: self.next_slot(),
                told,
                again: Vec::new(),
            });
        }
        let text = self.text.as_str().to_owned();
        self.place(Value::String(text), told.is_some());
    }

    /// The string that has just closed goes on; false if the last child is none.
    pub(super) fn reopen_text(&mut self) -> bool {
        let is_last_told = self.frames.len() == self.told_frames;
        let leaf = self.growing();
        let Some(frame) = self.frames.last_mut() else {
            return false;
        };
        let Some(Value::String(text)) = frame.take_last() else {
            return false;
        };
        let slot = frame.slot;
        self.text = text;
        self.leaf = leaf;
        self.changed = true;
        self.opened += 1;
        self.text_opened = self.opened;
        let partly = self
            .tail
            .last()
            .is_some_and(|told| is_last_told && told.slot == slot);
        self.text_told = if frame.again.contains(&slot) || slot >= frame.told {
            None
        } else if partly {
            self.tail.pop().map(|told| told.told)
        } else {
            Some(self.text.len())
        };
        frame.again.retain(|again| *again != slot);
        frame.told = frame.told.min(frame.len());
        true
    }

    /// The open member name is whole: finds the slot of its value.
    pub(super) fn close_key(&mut self) {
        self.leaf = Leaf::None;
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let Value::Object(members) = &frame.value else {
            return;
        };
        frame.slot = members.index_of(&self.text).unwrap_or(members.len());
        if frame.slot < members.len() {
            self.duplicate_keys += 1;
        }
        frame.key = self.text.as_str().into();
        frame.stands = false;
    }

    /// Puts a whole value into its parent, or makes it the root. `told`: viewers hold it, or the tail says what
    /// they lack of it.
    pub(super) fn place(&mut self, value: Value, told: bool) {
        self.changed = true;
        self.arrive();
        let is_last_told = self.frames.len() == self.told_frames;
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(value);
            self.root_told = told;
            return;
        };
        let slot = frame.slot;
        frame.put(value);
        if told {
            frame.told = frame.told.max(slot + 1);
        } else if slot < frame.told {
            frame.again.push(slot);
            if is_last_told {
                forget_replaced(&mut self.tail, slot);
            }
        }
    }

    /// The child that is read stands: whatever has waited for it alone is seen from now on.
    #[inline]
    fn arrive(&mut self) {
        if let Some(first) = self.hidden {
            self.arrive_in(first);
        }
    }

    #[inline(never)]
    fn arrive_in(&mut self, first: usize) {
        for depth in (first..self.frames.len()).rev() {
            if !self.frames[depth].miss_one_less() {
                return;
            }
            self.hidden = Some(first).filter(|first| *first < depth);
            self.uncover(depth);
        }
    }

    /// A value that is seen at `depth` over an older one of the same name takes its place at once (rule T2).
    fn uncover(&mut self, depth: usize) {
        let is_last_told = depth == self.told_frames;
        let Some(frame) = depth.checked_sub(1).and_then(|above| self.frames.get_mut(above)) else {
            return;
        };
        let slot = frame.slot;
        if let Value::Object(members) = &mut frame.value
            && slot < members.len()
        {
            members.put_null(slot);
            if is_last_told {
                forget_replaced(&mut self.tail, slot);
            }
        }
    }

    fn next_slot(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.slot)
    }

    /// The pointer of the value that is read or expected.
    pub(super) fn value_path(&self) -> String {
        let mut path = self.container_path().to_owned();
        if let Some(frame) = self.frames.last() {
            frame.push_segment(&mut path);
        }
        path
    }

    /// The pointer of the innermost open container.
    pub(super) fn container_path(&self) -> &str {
        let end = self.frames.last().map_or(0, |frame| frame.path_end);
        &self.pointer[..end]
    }

    /// The pointer of the deepest open value that is seen.
    pub(super) fn open_path(&self) -> Option<String> {
        if self.leaf == Leaf::Shown {
            return Some(self.value_path());
        }
        self.open_container_path().map(str::to_owned)
    }

    /// What has become of the deepest open value that is seen since the last call.
    pub(super) fn track_open(&mut self) -> Open {
        let seen = self.seen_frames();
        let (number, depth) = match self.leaf {
            Leaf::Shown => (self.text_opened, self.frames.len()),
            Leaf::None | Leaf::Key | Leaf::Hidden => match self.frames[..seen].last() {
                Some(frame) => (frame.opened, seen - 1),
                None => (0, 0),
            },
        };
        if number == self.open_told {
            return Open::Same;
        }
        self.open_told = number;
        let up = self.op_depth.and_then(|op| op.checked_sub(depth));
        up.filter(|_| number > 0).map_or(Open::Other, Open::Up)
    }

    /// The pointer of the deepest container that is seen open.
    fn open_container_path(&self) -> Option<&str> {
        let deepest = self.seen_frames().checked_sub(1)?;
        Some(&self.pointer[..self.frames.get(deepest)?.path_end])
    }

    /// A clone of what is seen.
    pub(super) fn value(&self) -> Option<Value> {
        let leaf = (self.leaf == Leaf::Shown).then(|| Value::String(self.text.clone()));
        let seen = self.frames[..self.seen_frames()].iter().rev();
        let open = seen.fold(leaf, |child, frame| {
            let mut value = frame.value.clone();
            if let Some(child) = child {
                match &mut value {
                    Value::Array(items) => items.push(child),
                    Value::Object(members) if frame.slot == members.len() => {
                        members.push(frame.key.clone(), child);
                    }
                    Value::Object(members) => members.put(frame.slot, child),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                }
            }
            Some(value)
        });
        open.or_else(|| self.root.clone())
    }

    /// An object that is empty.
    pub(super) fn empty_object() -> Value {
        Value::Object(Map::new())
    }
}

/// What was told of a replaced value is of no use any more.
fn forget_replaced(tail: &mut Vec<Told>, slot: usize) {
    if tail.last().is_some_and(|told| told.slot == slot) {
        tail.clear();
    }
}
