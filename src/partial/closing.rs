//! Telling the guide what has closed, and what of that was dropped again.

use super::guide::NodeId;
use super::machine::Machine;
use super::path;
use super::spine::Spine;
use super::value::Value;

/// A value that has just closed.
#[derive(Clone, Copy, Debug)]
pub struct Closed<'v> {
    /// Where the schema stands.
    pub node: NodeId,
    /// The same for the container around it; none of the root.
    pub around: NodeId,
    /// The value, whole.
    pub value: &'v Value,
    /// How many containers stand around it; 0 is the root.
    pub depth: usize,
    /// The pointer of what the parser reads as a root.
    outer: &'v str,
    parent: &'v str,
    segment: Segment<'v>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'v> {
    Root,
    Name(&'v str),
    Index(usize),
}

impl<'v> Closed<'v> {
    /// The same value where what was read stands at the pointer `outer`, so many levels down.
    pub(super) const fn below(self, outer: &'v str, levels: usize) -> Self {
        Self {
            outer,
            depth: self.depth + levels,
            ..self
        }
    }

    /// Its pointer; made only when it is asked for.
    pub fn path(&self) -> String {
        let mut pointer = format!("{}{}", self.outer, self.parent);
        match self.segment {
            Segment::Root => {}
            Segment::Name(name) => path::push_segment(&mut pointer, name),
            Segment::Index(index) => path::push_segment(&mut pointer, &index.to_string()),
        }
        pointer
    }
}

impl Spine {
    /// The value that was placed last.
    fn placed(&self, node: NodeId) -> Option<Closed<'_>> {
        let depth = self.frames.len();
        let parent = self.container_path();
        let Some(frame) = self.frames.last() else {
            let value = self.root.as_ref()?;
            return Some(Closed {
                node,
                around: NodeId::NONE,
                value,
                depth,
                outer: "",
                parent,
                segment: Segment::Root,
            });
        };
        let (segment, value) = match &frame.value {
            Value::Array(items) => (Segment::Index(items.len().checked_sub(1)?), items.last()?),
            Value::Object(members) => {
                let (name, member) = members.at(frame.slot)?;
                (Segment::Name(name), member)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        Some(Closed {
            node,
            around: frame.node,
            value,
            depth,
            outer: "",
            parent,
            segment,
        })
    }
}

impl Machine {
    /// Puts a number or literal, whole at once, into its parent.
    pub(super) fn place_scalar(&mut self, value: Value) {
        let node = if self.hears {
            self.node_of_next()
        } else {
            NodeId::NONE
        };
        if value == Value::Null && self.says_missing(node) {
            return;
        }
        self.spine.place(value, false);
        self.tell_closed(node);
    }

    /// Whether the `null` that is read says that there is no such member, where there was none of its name before.
    fn says_missing(&self, node: NodeId) -> bool {
        let frame = self.spine.frames.last();
        frame.is_some_and(|frame| frame.is_object() && frame.slot == frame.len())
            && node != NodeId::NONE
            && self
                .guide
                .as_ref()
                .is_some_and(|guide| guide.is_missing_as_null(node))
    }

    /// The value at `node` stands in its parent.
    #[inline]
    pub(super) fn tell_closed(&self, node: NodeId) {
        if !self.hears || node == NodeId::NONE {
            return;
        }
        if let (Some(guide), Some(closed)) = (&self.guide, self.spine.placed(node)) {
            guide.closed(closed);
        }
    }

    /// What stood at the place that is read next, or all of it, is dropped: an older member of the same name, a string
    /// that goes on, a start that was none.
    pub(super) fn tell_dropped(&self) {
        if let Some(guide) = self.guide.as_ref().filter(|_| self.hears) {
            guide.dropped(&self.spine.value_path());
        }
    }
}
