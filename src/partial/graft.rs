//! An answer that is only some places of a value that stands: its members are told, and read, where they belong.
//!
//! The answer is an object `{"fix_1": …, "fix_2": …}`. Viewers hold the base: of the answer they are told what lies
//! under a known member, at its place; the object itself and members that nobody asked for are told nobody.

use super::op::{Folded, Op, OpSink};
use super::path;
use super::value::Value;

/// What the members of an answer are called, with their number behind it.
const MEMBER: &str = "fix_";

/// A base, and the places at which an answer's members replace it.
#[derive(Clone, Debug)]
pub struct Graft {
    base: Value,
    places: Vec<Place>,
    /// What viewers have to be told first, where they hold something else than the base.
    restores: Vec<Op>,
    /// The open places as they were told last.
    pub(super) open_told: Vec<String>,
    /// The place of an op while it is told.
    scratch: String,
}

#[derive(Clone, Debug)]
struct Place {
    pointer: String,
    /// What is open until the answer comes to it: the place, or where it is to come into.
    reopened: String,
    /// Whether viewers hold something of the answer there.
    begun: bool,
}

impl Graft {
    /// The answer's member for the place with this number, from 0.
    pub fn member(index: usize) -> String {
        format!("{MEMBER}{}", index + 1)
    }

    /// A graft of as many members as there are places. Each is one that is there in the base, or a member that its
    /// object lacks; none is the root or lies in another. Anything else gives `None`.
    pub fn new(base: Value, places: &[String]) -> Option<Self> {
        let apart = places.iter().enumerate().all(|(index, one)| {
            let others = places.iter().enumerate().filter(|(other, _)| *other != index);
            others
                .map(|(_, other)| other)
                .all(|other| !path::is_within(other, one))
        });
        if !apart {
            return None;
        }
        let folded = Folded {
            value: Some(base),
            cursor: None,
        };
        let places: Option<Vec<Place>> = places.iter().map(|pointer| Place::of(pointer, &folded)).collect();
        let mut graft = Self {
            places: places?,
            base: folded.value?,
            restores: Vec::new(),
            open_told: Vec::new(),
            scratch: String::new(),
        };
        graft.open_told = graft.reopened();
        Some(graft)
    }

    /// The same for viewers who hold `held`: the base, but at the places what came of an answer before this one.
    /// `None` where it differs elsewhere.
    pub fn held_as(mut self, held: Value) -> Option<Self> {
        let base = Folded {
            value: Some(std::mem::take(&mut self.base)),
            cursor: None,
        };
        let mut held = Folded {
            value: Some(held),
            cursor: None,
        };
        for place in &self.places {
            let restore = match (base.at(&place.pointer), held.at(&place.pointer)) {
                (Some(value), Some(other)) if value == other => continue,
                (Some(value), _) => Op::Set {
                    path: place.pointer.clone(),
                    value: value.clone(),
                },
                (None, Some(_)) => Op::Remove {
                    path: place.pointer.clone(),
                },
                (None, None) => continue,
            };
            held.apply(restore.clone()).ok()?;
            self.restores.push(restore);
        }
        self.base = base.value?;
        // Members have an order, which the text tells.
        (held.value?.to_json() == self.base.to_json()).then_some(self)
    }

    /// What is open before anything of the answer has come.
    pub fn reopened(&self) -> Vec<String> {
        let mut open: Vec<String> = Vec::new();
        for place in self.places.iter().filter(|place| !place.begun) {
            if !open.contains(&place.reopened) {
                open.push(place.reopened.clone());
            }
        }
        open
    }

    /// Whether nothing of the answer has come to its place.
    pub(super) fn is_bare(&self) -> bool {
        self.places.iter().all(|place| !place.begun)
    }

    /// The deepest level of the places, in segments.
    pub fn depth(&self) -> usize {
        let levels = self.places.iter().map(|place| place.pointer.matches('/').count());
        levels.max().unwrap_or(0)
    }

    /// The base with what an answer has for the places.
    pub(super) fn spliced(&self, answer: Option<&Value>) -> Value {
        let mut folded = Folded {
            value: Some(self.base.clone()),
            cursor: None,
        };
        if let Some(Value::Object(members)) = answer {
            for (name, value) in members.iter() {
                let Some(place) = index(name).and_then(|index| self.places.get(index)) else {
                    continue;
                };
                let (path, value) = (place.pointer.clone(), value.clone());
                // Every place is one that can be set.
                let _ = folded.apply(Op::Set { path, value });
            }
        }
        folded.value.unwrap_or_default()
    }

    /// Where a pointer into the answer leads in the value; `None` for the answer itself, and what was not asked for.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        let (index, rest) = split(pointer)?;
        Some(format!("{}{rest}", self.places.get(index)?.pointer))
    }

    /// A sink for the answer's ops that tells `sink` those of the value.
    pub(super) fn onto<'a, S: OpSink + ?Sized>(&'a mut self, sink: &'a mut S) -> Onto<'a, S> {
        let told = !self.restores.is_empty();
        for op in self.restores.drain(..) {
            op.tell(sink);
        }
        Onto {
            graft: self,
            sink,
            told,
        }
    }
}

impl Place {
    fn of(pointer: &str, base: &Folded) -> Option<Self> {
        let (parent, _) = pointer.rsplit_once('/')?;
        path::segments(pointer)?;
        let is_there = base.at(pointer).is_some();
        let reopened = match base.at(parent)? {
            _ if is_there => pointer,
            Value::Object(_) => parent,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return None;
            }
        };
        Some(Self {
            pointer: pointer.to_owned(),
            reopened: reopened.to_owned(),
            begun: false,
        })
    }
}

/// The number of the place that a member of the answer is for.
fn index(name: &str) -> Option<usize> {
    path::index(name.strip_prefix(MEMBER)?)?.checked_sub(1)
}

/// The number of the place, and what comes behind the answer's member.
fn split(pointer: &str) -> Option<(usize, &str)> {
    let member = pointer.strip_prefix('/')?;
    let end = member.find('/').unwrap_or(member.len());
    Some((index(&member[..end])?, &member[end..]))
}

/// Tells ops of the answer as ops of the value.
pub(super) struct Onto<'a, S: ?Sized> {
    graft: &'a mut Graft,
    sink: &'a mut S,
    pub(super) told: bool,
}

impl<S: OpSink + ?Sized> Onto<'_, S> {
    /// Tells an op at its place, if it has one.
    fn tell(&mut self, pointer: &str, op: impl FnOnce(&mut S, &str)) {
        let Some((index, rest)) = split(pointer) else {
            return;
        };
        let Some(place) = self.graft.places.get_mut(index) else {
            return;
        };
        place.begun = true;
        self.told = true;
        let at = &mut self.graft.scratch;
        at.clear();
        at.push_str(&place.pointer);
        at.push_str(rest);
        op(self.sink, at);
    }

    /// Takes back what came to a place: the base stands there again.
    fn restore(&mut self, index: usize) {
        let base = Folded {
            value: Some(std::mem::take(&mut self.graft.base)),
            cursor: None,
        };
        if let Some(place) = self.graft.places.get_mut(index).filter(|place| place.begun) {
            place.begun = false;
            self.told = true;
            match base.at(&place.pointer) {
                Some(value) => self.sink.set(&place.pointer, value),
                None => self.sink.remove(&place.pointer),
            }
        }
        self.graft.base = base.value.unwrap_or_default();
    }
}

impl<S: OpSink + ?Sized> OpSink for Onto<'_, S> {
    fn append(&mut self, path: &str, text: &str) {
        self.tell(path, |sink, at| sink.append(at, text));
    }

    fn set(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(members) if path.is_empty() => {
                let mut pointer = String::new();
                for (name, member) in members.iter() {
                    pointer.clear();
                    path::push_segment(&mut pointer, name);
                    self.tell(&pointer, |sink, at| sink.set(at, member));
                }
            }
            _ => self.tell(path, |sink, at| sink.set(at, value)),
        }
    }

    fn remove(&mut self, path: &str) {
        match split(path) {
            None if path.is_empty() => (0..self.graft.places.len()).for_each(|index| self.restore(index)),
            Some((index, "")) => self.restore(index),
            None | Some(_) => self.tell(path, |sink, at| sink.remove(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No front end takes back more than a bare brace today; a sink must bear it all the same.
    #[test]
    fn what_is_removed_of_an_answer_gives_the_base_back() -> Result<(), Box<dyn std::error::Error>> {
        let base: Value = r#"{"a":[1,2],"b":{}}"#.parse()?;
        let places = ["/a/1", "/b/new"].map(str::to_owned);
        for removed in [&[""][..], &["/fix_1", "/fix_2"], &["/fix_2/x", "/other", ""]] {
            let mut graft = Graft::new(base.clone(), &places).ok_or("places")?;
            let mut ops: Vec<Op> = Vec::new();
            let mut onto = graft.onto(&mut ops);
            onto.set("", &r#"{"fix_2":{"x":1},"other":3}"#.parse()?);
            onto.set("/fix_1", &"\"text\"".parse()?);
            onto.append("/fix_1", " that grows");
            removed.iter().for_each(|path| onto.remove(path));
            assert_eq!(graft.reopened(), ["/a/1", "/b"]);
            let mut folded = Folded {
                value: Some(base.clone()),
                cursor: None,
            };
            for op in ops {
                folded.apply(op)?;
            }
            assert_eq!(folded.value.as_ref(), Some(&base), "{removed:?}");
        }
        Ok(())
    }
}
