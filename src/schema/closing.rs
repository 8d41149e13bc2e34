//! Validation on close (rule C2): what closes while an answer streams is checked at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checks::{Check, Checks, PlaceChecks};
use super::judge::{Extent, Judge};
use super::places::Places;
use super::violation::Violation;
use crate::partial::{Closed, Guide, NodeId, Value};

/// Looks at a subschema that the checks of one draft may cost, far less than the final judgement may: they run where
/// the stream is read. What closes after that waits for the end.
const STEPS_MAX: u64 = 10_000_000;

/// The guide of one draft that also checks what closes.
///
/// Scalars and children of the root are held against their subschemas; a container further in against what can be
/// said without looking into its children, and the members by which the forms of a union tell themselves apart. Whatever it finds [`Schema::validate`](super::Schema::validate) finds in the
/// end, too, as long as the answer goes on to a whole value. Each byte is looked at twice at the most before that.
#[derive(Debug)]
pub struct Closing {
    places: Arc<Places>,
    /// Whether the model was told to say `null` of what is missing.
    null_is_missing: bool,
    checks: Arc<Checks>,
    steps_left: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
    /// What is wrong with members by which the forms of the root tell themselves apart: at the end, that no form fits.
    formless: Vec<Violation>,
    /// How many of them were taken as news.
    told: usize,
}

impl Closing {
    pub(super) fn new(places: Arc<Places>, checks: Arc<Checks>, null_is_missing: bool) -> Self {
        Self {
            places,
            null_is_missing,
            checks,
            steps_left: AtomicU64::new(STEPS_MAX),
            found: Mutex::default(),
        }
    }

    /// What was found so far, in the order in which it closed; at most
    /// [`SchemaLimits::violations_max`](super::SchemaLimits::violations_max). Then checking stops.
    pub fn violations(&self) -> Vec<Violation> {
        self.found().violations.clone()
    }

    /// What leaves the root without a form that could fit, of a union whose forms tell themselves apart by a member. The
    /// judgement at the end says it of the root.
    pub fn formless(&self) -> Vec<Violation> {
        self.found().formless.clone()
    }

    /// What was found since the last call.
    pub fn take_news(&self) -> Vec<Violation> {
        let mut found = self.found();
        let news = found.violations[found.told..].to_vec();
        found.told = found.violations.len();
        news
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // A list stays a list, whoever panicked while it was held.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes steps from the budget; false if there are not as many.
    fn spend(&self, steps: u64) -> bool {
        // One draft is fed by one thread at a time: nothing is lost between the two.
        let left = self.steps_left.load(Ordering::Relaxed).checked_sub(steps);
        self.steps_left.store(left.unwrap_or(0), Ordering::Relaxed);
        left.is_some()
    }

    /// Holds a value against a part of its schema that looks at no children.
    fn check(&self, check: &Check, closed: &Closed<'_>) {
        if !self.spend(check.measures.cost) || check.validator.is_valid(closed.value) {
            return;
        }
        let path = closed.path();
        let faults = check.validator.iter_errors(closed.value);
        let limits = &self.checks.limits;
        for fault in faults.take(limits.violations_max) {
            self.keep(Violation::of(&fault, closed.value, &path, limits));
        }
    }

    /// Holds a child of the root against its whole subschema.
    fn check_whole(&self, check: &Check, closed: &Closed<'_>, extent: Extent) {
        if !self.spend(extent.nodes.saturating_mul(check.measures.cost)) {
            return;
        }
        let judge = Judge {
            source: &self.checks.source,
            node: check.node,
            validator: &check.validator,
            limits: &self.checks.limits,
            measures: check.measures,
            base: &closed.path(),
        };
        // What is too costly to list waits.
        for violation in judge.faults(closed.value, extent).unwrap_or_default() {
            self.keep(violation);
        }
    }

    fn keep(&self, violation: Violation) {
        let mut found = self.found();
        if found.violations.contains(&violation) {
            return;
        }
        if found.violations.len() < self.checks.limits.violations_max {
            found.violations.push(violation);
        } else {
            self.steps_left.store(0, Ordering::Relaxed);
        }
    }
}

impl Guide for Closing {
    fn root(&self) -> NodeId {
        self.places.root()
    }

    fn member(&self, node: NodeId, key: &str) -> NodeId {
        self.places.member(node, key)
    }

    fn item(&self, node: NodeId, index: usize) -> NodeId {
        self.places.item(node, index)
    }

    fn is_atomic(&self, node: NodeId) -> bool {
        self.places.is_atomic(node)
    }

    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        self.places.awaited(node)
    }

    fn is_missing_as_null(&self, node: NodeId) -> bool {
        self.null_is_missing && self.places.excludes_null(node)
    }

    fn hears(&self) -> bool {
        true
    }

    fn closed(&self, closed: Closed<'_>) {
        let Some(place) = self.checks.at.get(closed.node.0 as usize) else {
            return;
        };
        // The final judgement follows a root at once.
        if closed.depth == 0 {
            return;
        }
        let forms = self.checks.forms.get(&closed.around.0);
        match forms.and_then(|forms| forms.fault(&closed.path(), closed.value)) {
            Some(fault) if closed.depth == 1 => self.found().formless.push(fault),
            // One further in is healed with what is around it.
            Some(fault) => self.keep(fault),
            None => {}
        }
        let PlaceChecks {
            scalar,
            container,
            whole,
        } = place;
        let children = match closed.value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.checks
                    .listed(scalar)
                    .for_each(|check| self.check(check, &closed));
                return;
            }
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
        };
        if container.is_empty() && whole.is_empty() {
            return;
        }
        if self.spend(u64::try_from(children).unwrap_or(u64::MAX)) {
            self.checks
                .listed(container)
                .for_each(|check| self.check(check, &closed));
        }
        if closed.depth == 1 && !whole.is_empty() {
            let extent = Extent::of(closed.value);
            self.checks
                .listed(whole)
                .for_each(|check| self.check_whole(check, &closed, extent));
        }
    }

    fn dropped(&self, path: &str) {
        let mut found = self.found();
        if found.violations.is_empty() && found.formless.is_empty() {
            return;
        }
        let is_within = |violation: &Violation| {
            let rest = violation.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let told = found.told;
        found.told -= found.violations[..told]
            .iter()
            .filter(|one| is_within(one))
            .count();
        found.violations.retain(|violation| !is_within(violation));
        found.formless.retain(|violation| !is_within(violation));
    }
}
