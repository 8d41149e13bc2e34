//! Whether an answer that still comes is worth hearing on: it is not, once nothing behind it can make it valid and no
//! repair of places alone can help.

use std::sync::Arc;

use super::prepare::Prepared;
use crate::job::{JobSpec, LenientChoice, OnBadItem, OnViolation, ReaskChoice};
use crate::partial::Draft;
use crate::schema::dialect::Dialect;
use crate::schema::{Closing, Schema, Violation};

/// How often one answer is looked through for the places that are wrong: each look costs the value once more.
const LOOKS_MAX: usize = 32;

/// What one answer is held against while it comes.
pub(super) struct Doom {
    policy: OnViolation,
    schema: Arc<Schema>,
    closing: Arc<Closing>,
    /// Whether nothing is asked again after this answer, and nothing else can save it.
    is_last: bool,
    /// Places that are asked for alone at the most; `None` where the whole would be asked for anyway, and is heard to
    /// its end so that all that is wrong with it is told at once, and for an answer that is some places already.
    places_max: Option<usize>,
    /// Whether what closes is certain: not where text around the value, or text that is put right, may change that.
    is_certain: bool,
    root_seen: bool,
    looks_left: usize,
}

/// Those of the violations of a text that hold for the value it makes, too.
pub(super) fn holding(draft: &Draft, violations: Vec<Violation>) -> Vec<Violation> {
    let paths: Vec<&str> = violations.iter().map(|one| one.path.as_str()).collect();
    let hold = draft.hold(&paths);
    let judged = violations.into_iter().zip(hold);
    judged.filter_map(|(one, holds)| holds.then_some(one)).collect()
}

impl Doom {
    /// For an answer to what was `asked`: the whole, or `places` of it.
    pub(super) fn new(
        spec: &JobSpec,
        asked: &Prepared,
        closing: &Arc<Closing>,
        splice_places_max: usize,
        reasks: u32,
        for_places: bool,
    ) -> Self {
        let by_places = spec.reask == ReaskChoice::Auto && splice_places_max > 0;
        Self {
            policy: spec.on_violation,
            schema: Arc::clone(&asked.schema),
            closing: Arc::clone(closing),
            is_last: reasks >= spec.max_reasks && spec.on_bad_item == OnBadItem::Fail,
            places_max: (by_places && !for_places).then_some(splice_places_max),
            is_certain: spec.lenient == LenientChoice::Off && asked.dialect != Dialect::MdJson,
            root_seen: false,
            looks_left: LOOKS_MAX,
        }
    }

    /// What makes it pointless to hear on, behind text that was read; `news`: something was found wrong in it.
    pub(super) fn strikes(&mut self, draft: &Draft, news: bool) -> Option<Vec<Violation>> {
        if self.policy == OnViolation::Finish || !self.is_certain || draft.is_closed() {
            return None;
        }
        if !self.root_seen {
            let root = draft.text_value()?;
            self.root_seen = true;
            if let Some(misfit) = self.schema.misfit_root(&root) {
                return Some(vec![misfit]);
            }
        }
        let formless = holding(draft, self.closing.formless());
        if !formless.is_empty() {
            return Some([formless, holding(draft, self.closing.violations())].concat());
        }
        if !news {
            return None;
        }
        let violations = holding(draft, self.closing.violations());
        let strikes = match self.policy {
            _ if violations.is_empty() => false,
            OnViolation::Abort => true,
            OnViolation::Auto | OnViolation::Finish => self.is_last || self.whole_is_sure(draft, &violations),
        };
        strikes.then_some(violations)
    }

    fn whole_is_sure(&mut self, draft: &Draft, violations: &[Violation]) -> bool {
        let Some(places_max) = self.places_max.filter(|_| self.looks_left > 0) else {
            return false;
        };
        self.looks_left -= 1;
        draft
            .text_value()
            .is_some_and(|value| self.schema.needs_whole(&value, violations, places_max))
    }
}
