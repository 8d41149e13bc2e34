//! What is still to be asked for where an answer broke off: the value without what was only begun, and the places that
//! its containers lack something at.
//!
//! Kept is what has closed: members and items, never half a string. A container that was open stays with what has
//! closed in it, where the schema of its rest can be told; else it goes, and what stands around it lacks it.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::compile::Schema;
use super::decided::Decided;
use super::mend::{BadPlace, around, described, healed_at};
use super::part::Part;
use super::rest::{Lack, lack};
use crate::partial::{Folded, Op, Spot, Value, path};

/// An answer that broke off, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Broken {
    /// The open places: what lies around one is open, too.
    pub at: Vec<String>,
    /// Of an answer that was itself the rest of a value: what it was for. What lies around these was whole.
    pub spots: Vec<Spot>,
    /// A place that is not to be gone on with as it is.
    pub dropped: Option<String>,
}

/// What stands of a value, and what is to be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// What stands.
    pub kept: Value,
    /// What was taken away for that, in this order.
    pub drops: Vec<String>,
    /// What it lacks, the innermost first; nothing where it is whole.
    pub spots: Vec<Spot>,
    /// What was found wrong at those spots that replace something.
    pub bad: Vec<BadPlace>,
}

impl Schema {
    /// What of a value that broke off stands, and what it lacks; `None` where nothing can be kept: the root is no
    /// container, or what it lacks cannot be told from what is there, or nothing has closed.
    ///
    /// What has closed and is wrong by itself is asked for anew, where that is at most `places_max` places.
    pub fn residual(&self, held: Value, broken: &Broken, places_max: usize) -> Option<Residual> {
        let decided = Decided::of(self)?;
        let part = Part::new(&self.source, &decided.graph);
        let mut cutting = Cutting {
            decided: &decided,
            part: &part,
            folded: Folded {
                value: Some(held),
                cursor: None,
            },
            drops: Vec::new(),
            open: BTreeSet::new(),
            anew: Vec::new(),
        };
        cutting.begin(broken)?;
        cutting.settle()?;
        let Cutting {
            folded,
            drops,
            open,
            anew,
            ..
        } = cutting;
        let kept = folded.value?;
        let is_bare = match &kept {
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        };
        if is_bare {
            return None;
        }
        let lacking = |pointer: &&String| lack(&decided, &part, &kept, pointer) != Some(Lack::Nothing);
        let mut rests: Vec<String> = open.iter().filter(lacking).cloned().collect();
        rests.sort_by_key(|pointer| std::cmp::Reverse(pointer.matches('/').count()));
        let bad = self.bad_among(&decided, &kept, &open, &anew, places_max);
        let fixes = bad.iter().map(|place| place.pointer.clone()).chain(anew);
        let spots = rests
            .into_iter()
            .map(Spot::Rest)
            .chain(fixes.map(Spot::Fix))
            .collect();
        Some(Residual {
            kept,
            drops,
            spots,
            bad,
        })
    }

    /// The schema of an object that has for each of these spots of `kept` a member with what is to come there, named
    /// as [`Graft`](crate::partial::Graft) reads it; `None` where that cannot be told, or is longer than a schema may be.
    pub fn rest(&self, kept: &Value, spots: &[Spot]) -> Option<Json> {
        let decided = Decided::of(self)?;
        let part = Part::new(&self.source, &decided.graph);
        let mut members = Vec::new();
        for (index, spot) in spots.iter().enumerate() {
            let schema = match spot {
                Spot::Rest(pointer) => match lack(&decided, &part, kept, pointer)? {
                    Lack::Of(schema) => schema,
                    Lack::Nothing => return None,
                },
                Spot::Fix(pointer) => {
                    let ids = decided.at(kept, pointer)?;
                    let schemas: Option<Vec<Json>> = ids.iter().map(|id| part.subschema(*id)).collect();
                    described(pointer, schemas?)
                }
            };
            members.push((spot.member(index), schema));
        }
        let description =
            "What the result still lacks, each member for the place that its description names.";
        self.assembled(part, description, members)
    }

    /// What has closed and is wrong; nothing where it is too much, or cannot be replaced alone: then the end will tell.
    fn bad_among(
        &self,
        decided: &Decided<'_>,
        kept: &Value,
        open: &BTreeSet<String>,
        anew: &[String],
        places_max: usize,
    ) -> Vec<BadPlace> {
        let mut places: Vec<BadPlace> = Vec::new();
        for violation in self.validate(kept) {
            // What an open container lacks is still to come.
            let of_open = violation.missing.as_deref().and_then(around);
            if open.contains(&violation.path) || of_open.is_some_and(|around| open.contains(around)) {
                continue;
            }
            let Some(place) = healed_at(&violation) else {
                continue;
            };
            let covers = |inner: &String| path::is_within(inner, place);
            let is_asked = |outer: &str| path::is_within(place, outer);
            if open.iter().any(covers) || anew.iter().any(|one| covers(one) || is_asked(one)) {
                continue;
            }
            let pointer = place.to_owned();
            if decided.at(kept, &pointer).is_none() {
                continue;
            }
            match places
                .iter_mut()
                .find(|one| path::is_within(&pointer, &one.pointer))
            {
                Some(outer) => outer.violations.push(violation),
                None => {
                    places.retain(|one| !path::is_within(&one.pointer, &pointer));
                    places.push(BadPlace {
                        pointer,
                        violations: vec![violation],
                    });
                }
            }
        }
        if places.len() > places_max {
            places.clear();
        }
        places
    }
}

/// A value from which is taken what was only begun.
struct Cutting<'c, 's> {
    decided: &'c Decided<'s>,
    part: &'c Part<'c, 's>,
    folded: Folded,
    drops: Vec<String>,
    /// The containers that are open.
    open: BTreeSet<String>,
    /// The places in the middle of something that are to be asked for as a whole.
    anew: Vec<String>,
}

impl Cutting<'_, '_> {
    /// Finds what is open, and takes away what was only begun and is no container.
    fn begin(&mut self, broken: &Broken) -> Option<()> {
        let mut begun = Vec::new();
        for place in &broken.at {
            let covering = broken
                .spots
                .iter()
                .filter(|spot| path::is_within(place, spot.pointer()));
            let nearest = covering.max_by_key(|spot| spot.pointer().len());
            if let Some(Spot::Fix(pointer)) = nearest {
                if !self.anew.contains(pointer) {
                    self.anew.push(pointer.clone());
                }
                continue;
            }
            let outermost = nearest.map_or("", Spot::pointer);
            self.open.extend(containers(place, outermost).map(str::to_owned));
            // Those around it, as far as they were asked to grow.
            let rests = broken.spots.iter().filter(|spot| matches!(spot, Spot::Rest(_)));
            let around = rests
                .map(Spot::pointer)
                .filter(|rest| path::is_within(place, rest));
            self.open.extend(around.map(str::to_owned));
            begun.push(place.clone());
        }
        let folded = &self.folded;
        let is_container =
            |place: &String| matches!(folded.at(place), Some(Value::Object(_) | Value::Array(_)));
        self.open.retain(is_container);
        let half: Vec<String> = begun
            .into_iter()
            .filter(|place| self.folded.at(place).is_some() && !self.open.contains(place))
            .collect();
        for place in half {
            self.take(&place)?;
        }
        match &broken.dropped {
            Some(place) if self.folded.at(place).is_some() => self.take(place),
            _ => Some(()),
        }
    }

    /// Takes away the open containers whose rest cannot be told, the innermost first.
    fn settle(&mut self) -> Option<()> {
        let mut open: Vec<String> = self.open.iter().cloned().collect();
        open.sort_by_key(|pointer| std::cmp::Reverse(pointer.matches('/').count()));
        for place in open {
            let is_known = |kept: &Value| lack(self.decided, self.part, kept, &place).is_some();
            if self.open.contains(&place) && !self.folded.value.as_ref().is_some_and(is_known) {
                self.take(&place)?;
            }
        }
        // What was found to be asked for as a whole lies in what stands.
        let decided = self.decided;
        let kept = self.folded.value.as_ref()?;
        let known = self.anew.iter().all(|place| decided.at(kept, place).is_some());
        known.then_some(())
    }

    /// Takes a place away; one in the middle stays until it is replaced. Where neither can be, what stands around it
    /// goes; `None` where that is the root.
    fn take(&mut self, place: &str) -> Option<()> {
        let mut place = place.to_owned();
        loop {
            self.open.retain(|open| !path::is_within(open, &place));
            self.anew.retain(|anew| !path::is_within(anew, &place));
            let outer = around(&place)?.to_owned();
            if self.open.contains(&outer) && self.is_last(&outer, &place) {
                self.folded.apply(Op::Remove { path: place.clone() }).ok()?;
                self.drops.push(place);
                return Some(());
            }
            let kept = self.folded.value.as_ref()?;
            if self.decided.at(kept, &place).is_some() {
                self.anew.push(place);
                return Some(());
            }
            place = outer;
        }
    }

    fn is_last(&self, outer: &str, place: &str) -> bool {
        let mut last = outer.to_owned();
        match self.folded.at(outer) {
            Some(Value::Array(items)) if !items.is_empty() => {
                path::push_segment(&mut last, &(items.len() - 1).to_string());
            }
            Some(Value::Object(members)) => match members.iter().last() {
                Some((name, _)) => path::push_segment(&mut last, name),
                None => return false,
            },
            _ => return false,
        }
        last == place
    }
}

/// A pointer, and those around it up to `outermost`.
fn containers<'p>(pointer: &'p str, outermost: &str) -> impl Iterator<Item = &'p str> {
    let least = outermost.len();
    std::iter::successors(Some(pointer), |at| around(at)).take_while(move |at| at.len() >= least)
}
