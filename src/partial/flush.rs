//! Telling viewers what has changed: the coalesced ops since the last flush.

use std::ops::Range;

use super::op::OpSink;
use super::path;
use super::spine::{Leaf, Spine, Told, children};
use super::value::{Value, write_json_string};

impl Spine {
    /// Hands all changes since the last call to `sink`; true if there were any.
    ///
    /// What was opened and closed in between goes as one set; of what viewers hold in part goes the rest.
    pub(super) fn flush<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        if !self.changed {
            return self.tell_growth(sink);
        }
        self.changed = false;
        let removed = std::mem::take(&mut self.removed);
        if removed {
            sink.remove("");
            self.op_depth = None;
        }
        let told = match self.told_frames.checked_sub(1) {
            Some(depth) => self.tell_from(depth, sink),
            None => self.tell_root(sink),
        };
        removed || told
    }

    /// The path of every token inside a string: no walk, no allocation.
    fn tell_growth<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        match self.text_told {
            Some(told) if self.leaf == Leaf::Shown && told < self.text.len() => {
                sink.append(&self.pointer, &self.text[told..]);
                self.text_told = Some(self.text.len());
                self.op_depth = Some(self.frames.len());
                true
            }
            _ => false,
        }
    }

    fn tell_root<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        let Some(root) = &self.root else {
            return self.tell_open(sink);
        };
        if !self.root_told {
            sink.set("", root);
            self.root_told = true;
            self.op_depth = Some(0);
            return true;
        }
        self.scratch.clear();
        let last = tell_tail(&self.tail, root, &mut self.scratch, sink);
        self.tail.clear();
        self.op_depth = last.or(self.op_depth);
        last.is_some()
    }

    /// Tells what is new in the deepest container that viewers know open, and below it.
    fn tell_from<S: OpSink + ?Sized>(&mut self, depth: usize, sink: &mut S) -> bool {
        let open = self.has_open_child(depth);
        let Self {
            frames,
            scratch,
            pointer,
            tail,
            ..
        } = self;
        let Some(frame) = frames.get_mut(depth) else {
            return false;
        };
        let (slot, first, len) = (frame.slot, frame.told, frame.len());
        // Most often only the open child has changed.
        if open && first == len && tail.is_empty() && frame.again.is_empty() {
            return self.tell_open(sink);
        }
        let mut last = None;
        scratch.clear();
        scratch.push_str(&pointer[..frame.path_end]);
        if let Some(told) = tail.last()
            && let Some(child) = push_child(&frame.value, told.slot, scratch)
        {
            last = tell_tail(tail, child, scratch, sink);
            scratch.truncate(frame.path_end);
        }
        tail.clear();
        frame.again.sort_unstable();
        frame.again.dedup();
        let again = frame.again.drain(..);
        // A member that is being replaced may stand among new ones: their order must be the draft's.
        let before = if open { slot.min(len) } else { len };
        for new in again.filter(|again| !open || *again != slot).chain(first..before) {
            last = tell_child(&frame.value, new, scratch, sink).or(last);
        }
        frame.told = len;
        self.op_depth = last.map(|below| depth + 1 + below).or(self.op_depth);
        let wrote = last.is_some() | (open && self.tell_open(sink));
        wrote | (open && self.tell_behind(depth, first.max(slot + 1)..len, sink))
    }

    /// Tells the new children behind the open one, which replaces an older.
    fn tell_behind<S: OpSink + ?Sized>(&mut self, depth: usize, new: Range<usize>, sink: &mut S) -> bool {
        let Some(frame) = self.frames.get(depth).filter(|_| !new.is_empty()) else {
            return false;
        };
        self.scratch.clear();
        self.scratch.push_str(&self.pointer[..frame.path_end]);
        for slot in new {
            tell_child(&frame.value, slot, &mut self.scratch, sink);
        }
        self.op_depth = None;
        true
    }

    /// Tells the open value below the deepest container that viewers know.
    fn tell_open<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        let first = self.told_frames;
        let seen = self.seen_frames();
        if first < seen {
            self.tell_open_container(first, seen, sink);
            return true;
        }
        if self.leaf != Leaf::Shown {
            return false;
        }
        self.point_at_text();
        if self.text_told.is_some() {
            return self.tell_growth(sink);
        }
        let text = Value::String(std::mem::take(&mut self.text));
        sink.set(&self.pointer, &text);
        if let Value::String(text) = text {
            self.text = text;
        }
        self.text_told = Some(self.text.len());
        self.op_depth = Some(self.frames.len());
        true
    }

    fn tell_open_container<S: OpSink + ?Sized>(&mut self, first: usize, seen: usize, sink: &mut S) {
        self.op_depth = Some(first);
        if let [only] = &mut self.frames[first..seen]
            && self.leaf != Leaf::Shown
        {
            sink.set(&self.pointer[..only.path_end], &only.value);
            only.told = only.len();
            self.told_frames = seen;
            return;
        }
        let value = self.lend(first, seen);
        let end = self.frames.get(first).map_or(0, |frame| frame.path_end);
        sink.set(&self.pointer[..end], &value);
        self.give_back(first, seen, value);
        for frame in &mut self.frames[first..seen] {
            frame.told = frame.len();
            frame.again.clear();
        }
        self.told_frames = seen;
        if self.leaf == Leaf::Shown {
            self.point_at_text();
            self.text_told = Some(self.text.len());
        }
    }

    /// Puts the open values into one another, by moves alone.
    fn lend(&mut self, first: usize, seen: usize) -> Value {
        let leaf = (self.leaf == Leaf::Shown).then(|| Value::String(std::mem::take(&mut self.text)));
        let frames = self.frames[first..seen].iter_mut().rev();
        frames
            .fold(leaf, |child, frame| {
                if let Some(child) = child {
                    frame.lend(child);
                }
                Some(std::mem::take(&mut frame.value))
            })
            .unwrap_or_default()
    }

    fn give_back(&mut self, first: usize, seen: usize, value: Value) {
        let mut value = value;
        for depth in first..seen {
            let has_child = self.has_open_child(depth);
            let frame = &mut self.frames[depth];
            frame.value = value;
            if !has_child {
                return;
            }
            value = frame.give_back();
        }
        if let Value::String(text) = value {
            self.text = text;
        }
    }

    /// Makes the pointer that of the open string.
    fn point_at_text(&mut self) {
        match self.frames.last() {
            Some(frame) => {
                self.pointer.truncate(frame.path_end);
                frame.push_segment(&mut self.pointer);
            }
            None => self.pointer.clear(),
        }
    }

    /// Appends what is seen as JSON text; false if nothing is.
    pub(super) fn write_value(&self, out: &mut String) -> bool {
        match &self.root {
            Some(root) => root.write_json(out),
            None if self.is_shown() => self.write_open(0, out),
            None => return false,
        }
        true
    }

    fn write_open(&self, depth: usize, out: &mut String) {
        let Some(frame) = self.frames.get(depth) else {
            write_json_string(&self.text, out);
            return;
        };
        let open = self.has_open_child(depth);
        let is_object = frame.is_object();
        out.push(if is_object { '{' } else { '[' });
        let count = frame.len() + usize::from(open && frame.slot == frame.len());
        for slot in 0..count {
            if slot > 0 {
                out.push(',');
            }
            let closed = child_at(&frame.value, slot);
            if is_object {
                let key = closed.map_or(&*frame.key, |(key, _)| key);
                write_json_string(key, out);
                out.push(':');
            }
            match closed {
                Some((_, value)) if !open || slot != frame.slot => value.write_json(out),
                _ => self.write_open(depth + 1, out),
            }
        }
        out.push(if is_object { '}' } else { ']' });
    }
}

/// The child at a slot, with its name if it has one.
fn child_at(value: &Value, slot: usize) -> Option<(&str, &Value)> {
    match value {
        Value::Array(items) => items.get(slot).map(|item| ("", item)),
        Value::Object(members) => members.at(slot),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Appends the pointer segment of a child and gives the child.
fn push_child<'a>(value: &'a Value, slot: usize, pointer: &mut String) -> Option<&'a Value> {
    let (key, child) = child_at(value, slot)?;
    if matches!(value, Value::Object(_)) {
        path::push_segment(pointer, key);
    } else {
        path::push_index(pointer, slot);
    }
    Some(child)
}

/// Sets one child of the value at `pointer`, which comes back as it was; gives how far below the child the op is.
fn tell_child<S: OpSink + ?Sized>(
    value: &Value,
    slot: usize,
    pointer: &mut String,
    sink: &mut S,
) -> Option<usize> {
    let end = pointer.len();
    let child = push_child(value, slot, pointer)?;
    sink.set(pointer, child);
    pointer.truncate(end);
    Some(0)
}

/// Tells what viewers lack of a value that they knew open and that has closed, deepest first; gives how far below it
/// the last op is.
fn tell_tail<S: OpSink + ?Sized>(
    tail: &[Told],
    value: &Value,
    pointer: &mut String,
    sink: &mut S,
) -> Option<usize> {
    let (own, deeper) = tail.split_last()?;
    if let Value::String(text) = value {
        sink.append(pointer, &text[own.told..]);
        return Some(0);
    }
    let mut last = None;
    if let Some(told) = deeper.last() {
        let end = pointer.len();
        if let Some(child) = push_child(value, told.slot, pointer) {
            last = tell_tail(deeper, child, pointer, sink);
        }
        pointer.truncate(end);
    }
    let mut again = own.again.clone();
    again.sort_unstable();
    again.dedup();
    for slot in again.into_iter().chain(own.told..children(value)) {
        last = tell_child(value, slot, pointer, sink).or(last);
    }
    last.map(|below| below + 1)
}
