//! An answer that is only some places of a value that stands: its members are told, and read, where they belong.
//!
//! The answer is an object, `{"fix_1": …, "rest_2": …}`: a `fix` replaces what stands at its place, or comes there, a
//! `rest` is what a container still lacks. Viewers hold the base: of the answer they are told what lies under a known
//! member, at its place; the object itself and members that nobody asked for are told nobody.

use super::op::{Folded, Op, OpSink};
use super::path;
use super::rest::Rest;
use super::value::Value;

/// What a member of an answer is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spot {
    /// What is to stand at this pointer in place of what does, or a member that its object lacks.
    Fix(String),
    /// What the container at this pointer lacks: more members, or more items behind those that it has.
    Rest(String),
}

/// A base, and the places at which an answer's members come into it.
#[derive(Clone, Debug)]
pub struct Graft {
    base: Value,
    places: Vec<Place>,
    /// What viewers have to be told first, where they hold something else than the base.
    restores: Vec<Op>,
    /// Places that are taken away with that: until then, they are no more than begun.
    drops: Vec<String>,
    /// Whether the answer is for what a value lacks that broke off.
    goes_on: bool,
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
    /// Where the place stays, and grows.
    rest: Option<Rest>,
    /// The answer has something of another type for it, which comes nowhere.
    is_alien: bool,
}

impl Spot {
    /// Its place.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Fix(pointer) | Self::Rest(pointer) => pointer,
        }
    }

    /// The answer's member for it, if it is the one with this number, from 0.
    pub fn member(&self, index: usize) -> String {
        let kind = match self {
            Self::Fix(_) => "fix",
            Self::Rest(_) => "rest",
        };
        format!("{kind}_{}", index + 1)
    }
}

impl Graft {
    /// The answer's member that replaces the place with this number, from 0.
    pub fn member(index: usize) -> String {
        Spot::Fix(String::new()).member(index)
    }

    /// A graft of as many members as there are places. Each is one that is there in the base, or a member that its
    /// object lacks; none is the root or lies in another. Anything else gives `None`.
    pub fn new(base: Value, places: &[String]) -> Option<Self> {
        let spots: Vec<Spot> = places.iter().cloned().map(Spot::Fix).collect();
        Self::of(base, &spots)
    }

    /// The same where some of them are what a container of the base lacks; in such a one others may lie.
    pub fn of(base: Value, spots: &[Spot]) -> Option<Self> {
        let apart = spots.iter().enumerate().all(|(index, one)| {
            let mut others = spots.iter().enumerate().filter(|(other, _)| *other != index);
            others.all(|(_, other)| match one {
                Spot::Fix(place) => !path::is_within(other.pointer(), place),
                Spot::Rest(place) => other.pointer() != place,
            })
        });
        if !apart {
            return None;
        }
        let folded = Folded {
            value: Some(base),
            cursor: None,
        };
        let places: Option<Vec<Place>> = spots.iter().map(|spot| Place::of(spot, &folded)).collect();
        let mut graft = Self {
            places: places?,
            base: folded.value?,
            restores: Vec::new(),
            drops: Vec::new(),
            goes_on: false,
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

    /// The same where the answer goes on with a base that broke off, for viewers who also hold what was begun at these
    /// places, which the base has not: it is taken away with the first that is told.
    pub fn behind(mut self, drops: Vec<String>) -> Self {
        let remove = |path: &String| Op::Remove { path: path.clone() };
        self.restores = drops.iter().map(remove).collect();
        self.drops = drops;
        self.goes_on = true;
        self.open_told = self.reopened();
        self
    }

    /// What is open before anything of the answer has come.
    pub fn reopened(&self) -> Vec<String> {
        self.open(None)
    }

    /// What is open where the answer is at `own` in the value: that, and all that it has not come to. A container with
    /// something open within is open by that.
    pub(super) fn open(&self, own: Option<String>) -> Vec<String> {
        let mut open: Vec<String> = own.into_iter().chain(self.drops.iter().cloned()).collect();
        for place in self.places.iter().filter(|place| !place.begun) {
            if !open.contains(&place.reopened) {
                open.push(place.reopened.clone());
            }
        }
        let is_told = |at: &String| open.iter().any(|other| other != at && path::is_within(other, at));
        let rests = self.places.iter().filter(|place| place.rest.is_some());
        let told: Vec<&String> = rests
            .map(|place| &place.pointer)
            .filter(|at| is_told(at))
            .collect();
        let kept = |at: &String| !told.contains(&at);
        open.iter().filter(|at| kept(at)).cloned().collect()
    }

    /// Whether nothing of the answer has come to its place.
    pub(super) fn is_bare(&self) -> bool {
        self.places.iter().all(|place| !place.begun)
    }

    /// The places that the answer has not come to, or is still at; `at` is where in the answer.
    pub(super) fn unanswered(&self, at: Option<&str>) -> Vec<Spot> {
        let current = at.and_then(split).map(|(index, _)| index);
        let places = self.places.iter().enumerate();
        places
            .filter(|(index, place)| !place.begun || current == Some(*index))
            .map(|(_, place)| place.spot())
            .collect()
    }

    /// Whether an answer that is open at `at` has brought something that stands if it goes on no more: a whole place, or
    /// of what a container lacks something that has closed.
    pub(super) fn has_closed(&self, answer: Option<&Value>, at: Option<&str>) -> bool {
        let Some(Value::Object(members)) = answer else {
            return false;
        };
        let known = |(name, value)| Some((index(name)?, value));
        let came = members.iter().filter_map(known);
        let is_taken = |index: usize| self.places.get(index).is_some_and(|place| !place.is_alien);
        let came: Vec<(usize, &Value)> = came.filter(|(index, _)| is_taken(*index)).collect();
        match (came.as_slice(), at.and_then(split)) {
            ([], _) => false,
            ([(one, value)], Some((open, inner))) if *one == open => {
                let grows = self.places.get(open).is_some_and(|place| place.rest.is_some());
                grows && has_closed(value, inner)
            }
            _ => true,
        }
    }

    /// The deepest level of the places, in segments.
    pub fn depth(&self) -> usize {
        let levels = self.places.iter().map(|place| place.pointer.matches('/').count());
        levels.max().unwrap_or(0)
    }

    /// Whether the answer goes on with what stands, and is no correction alone.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on || self.places.iter().any(|place| place.rest.is_some())
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
                let mut set = |path: &str, value: &Value| {
                    let (path, value) = (path.to_owned(), value.clone());
                    // Every place is one that can be set.
                    let _ = folded.apply(Op::Set { path, value });
                };
                match &place.rest {
                    Some(rest) => rest.each(&place.pointer, value, &mut set),
                    None => set(&place.pointer, value),
                }
            }
        }
        folded.value.unwrap_or_default()
    }

    /// Where a pointer into the answer leads in the value; `None` for the answer itself, and what was not asked for.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        let (index, inner) = split(pointer)?;
        let place = self.places.get(index)?;
        let mut leads = String::new();
        place.lead(inner, &mut leads).then_some(leads)
    }

    /// Whether what is said of a place of the answer holds for the value: not where it lies in what comes nowhere, nor of
    /// a container's rest that says again what stands, since what is counted there is not what the value will have.
    pub(super) fn holds(&self, pointer: &str, answer: Option<&Value>) -> bool {
        let Some((index, inner)) = split(pointer) else {
            return pointer.is_empty();
        };
        let Some(place) = self.places.get(index) else {
            return false;
        };
        let Some(rest) = &place.rest else { return true };
        let told = answer.and_then(|answer| match answer {
            Value::Object(members) => members.get(&pointer[1..pointer.len() - inner.len()]),
            _ => None,
        });
        match told {
            Some(told) if !rest.takes(told) => false,
            Some(told) if inner.is_empty() => !rest.repeats(told),
            _ => rest.lead(inner, &mut String::new()),
        }
    }

    /// Tells what viewers have to be told before anything of the answer; true if there was anything.
    pub(super) fn put_right<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        let is_due = !self.restores.is_empty();
        self.drops.clear();
        self.restores.drain(..).for_each(|op| op.tell(sink));
        is_due
    }

    /// A sink for the answer's ops that tells `sink` those of the value.
    pub(super) const fn onto<'a, S: OpSink + ?Sized>(&'a mut self, sink: &'a mut S) -> Onto<'a, S> {
        Onto {
            graft: self,
            sink,
            told: false,
        }
    }
}

impl Place {
    fn of(spot: &Spot, base: &Folded) -> Option<Self> {
        match spot {
            Spot::Fix(pointer) => Self::fix(pointer, base),
            Spot::Rest(pointer) => Some(Self {
                pointer: pointer.clone(),
                reopened: pointer.clone(),
                begun: false,
                rest: Some(Rest::of(base.at(pointer)?)?),
                is_alien: false,
            }),
        }
    }

    fn fix(pointer: &str, base: &Folded) -> Option<Self> {
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
            rest: None,
            is_alien: false,
        })
    }

    fn spot(&self) -> Spot {
        let pointer = self.pointer.clone();
        match self.rest {
            Some(_) => Spot::Rest(pointer),
            None => Spot::Fix(pointer),
        }
    }

    /// Writes where `inner`, a pointer into the answer's member, leads; false where that is nowhere.
    fn lead(&self, inner: &str, out: &mut String) -> bool {
        out.clear();
        out.push_str(&self.pointer);
        match &self.rest {
            Some(rest) => (inner.is_empty() || !self.is_alien) && rest.lead(inner, out),
            None => {
                out.push_str(inner);
                true
            }
        }
    }
}

/// The number of the place that a member of the answer is for.
fn index(name: &str) -> Option<usize> {
    let number = name.strip_prefix("fix_").or_else(|| name.strip_prefix("rest_"));
    path::index(number?)?.checked_sub(1)
}

/// The number of the place, and what comes behind the answer's member.
fn split(pointer: &str) -> Option<(usize, &str)> {
    let member = pointer.strip_prefix('/')?;
    let end = member.find('/').unwrap_or(member.len());
    Some((index(&member[..end])?, &member[end..]))
}

/// Whether anything within a value has closed that is open at `inner`.
fn has_closed(value: &Value, inner: &str) -> bool {
    let mut value = value;
    for segment in path::segments(inner).unwrap_or_default() {
        let (count, open) = match value {
            Value::Object(members) => (members.len(), members.get(&segment)),
            Value::Array(items) => (items.len(), items.last()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return false,
        };
        match open {
            Some(open) if count == 1 => value = open,
            _ => return count > 0,
        }
    }
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Tells ops of the answer as ops of the value.
pub(super) struct Onto<'a, S: ?Sized> {
    graft: &'a mut Graft,
    sink: &'a mut S,
    /// Whether anything was told through it.
    pub(super) told: bool,
}

impl<S: OpSink + ?Sized> Onto<'_, S> {
    /// Tells an op at its place, if it has one that is not the container that stays.
    fn tell(&mut self, pointer: &str, op: impl FnOnce(&mut S, &str)) {
        let Some((index, inner)) = split(pointer) else {
            return;
        };
        let Some(place) = self.graft.places.get_mut(index) else {
            return;
        };
        // What comes nowhere begins nothing.
        place.begun = !place.is_alien;
        let at = &mut self.graft.scratch;
        if (place.rest.is_some() && inner.is_empty()) || !place.lead(inner, at) {
            return;
        }
        self.told = true;
        op(self.sink, at);
        if let Some(rest) = &mut place.rest {
            rest.heard(inner);
        }
    }

    /// Begins what a container lacks, with what there is of it.
    fn begin_rest(&mut self, index: usize, value: &Value) {
        self.restore(index);
        let Some(place) = self.graft.places.get_mut(index) else {
            return;
        };
        let Some(rest) = &mut place.rest else { return };
        place.is_alien = !rest.takes(value);
        place.begun = !place.is_alien;
        let (sink, told) = (&mut *self.sink, &mut self.told);
        rest.each(&place.pointer, value, |at, child| {
            *told = true;
            sink.set(at, child);
        });
        rest.heard_all(value);
    }

    /// Takes back what came to a place: the base stands there again.
    fn restore(&mut self, index: usize) {
        let Some(place) = self.graft.places.get_mut(index).filter(|place| place.begun) else {
            return;
        };
        place.begun = false;
        if let Some(rest) = &mut place.rest {
            for child in rest.take_heard() {
                let mut at = place.pointer.clone();
                path::push_segment(&mut at, &child);
                self.told = true;
                self.sink.remove(&at);
            }
            return;
        }
        let base = Folded {
            value: Some(std::mem::take(&mut self.graft.base)),
            cursor: None,
        };
        self.told = true;
        match base.at(&place.pointer) {
            Some(value) => self.sink.set(&place.pointer, value),
            None => self.sink.remove(&place.pointer),
        }
        self.graft.base = base.value.unwrap_or_default();
    }

    /// The number of the place, if it is one that stays and grows.
    fn is_rest(&self, pointer: &str) -> Option<usize> {
        let (index, _) = split(pointer).filter(|(_, inner)| inner.is_empty())?;
        let place = self.graft.places.get(index)?;
        place.rest.is_some().then_some(index)
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
                    self.set(&pointer, member);
                }
            }
            _ => match self.is_rest(path) {
                Some(index) => self.begin_rest(index, value),
                None => self.tell(path, |sink, at| sink.set(at, value)),
            },
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
