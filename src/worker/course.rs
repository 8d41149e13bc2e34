//! How an attempt comes to the value: from nothing, from some places of a whole answer, from its own text that broke
//! off, or from what stands and lacks something.

use super::joint::Joint;
use super::journal::{Journal, Opening};
use super::prepare::{Prepared, Preparing};
use super::splice::{self, Splice};
use crate::job::{AttemptRecord, Broke, Message, Plan, Role};
use crate::llm::{Request, RestOf};
use crate::partial::{Draft, Graft, Spot, Value};
use crate::schema::dialect;
use crate::schema::{BadPlace, Broken, Closing};
use std::sync::Arc;

/// The way of one attempt.
pub(super) enum Course {
    /// The whole is asked for, and the draft emptied.
    Whole,
    /// Some places of a whole answer are asked for again.
    Splice(Splice),
    /// The model goes on with its text.
    Prefill(Box<Prefill>),
    /// It is asked for what the value lacks.
    Rest(Box<Rest>),
    /// Nothing is lacking: the value that stands is whole.
    Nothing(Value),
    /// None is left: the job ends as this answer did.
    End(Broke),
}

/// Which of the ways an attempt takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Whole,
    Splice,
    Prefill,
    Rest,
}

impl Way {
    /// What the attempt of this number makes of the draft, as operators count it.
    pub(super) const fn word(self, attempt: u32) -> &'static str {
        match self {
            Self::Whole if attempt == 1 => "whole",
            Self::Whole => "restart",
            Self::Splice => "splice",
            Self::Prefill => "prefill",
            Self::Rest => "residual",
        }
    }
}

/// A text that is gone on with.
pub(super) struct Prefill {
    asked: Arc<Prepared>,
    text: String,
    /// Has read the text.
    draft: Draft,
    closing: Arc<Closing>,
}

/// A value that is added to.
pub(super) struct Rest {
    asked: Arc<Prepared>,
    graft: Graft,
    kept: Value,
    turns: Vec<Message>,
    of: Arc<RestOf>,
}

/// What an attempt begins with.
pub(super) struct Begun {
    pub(super) opening: Opening,
    pub(super) reading: Reading,
}

/// What reads its answer.
pub(super) struct Reading {
    pub(super) draft: Draft,
    pub(super) closing: Arc<Closing>,
    /// Where the text has to go on from one that was given.
    pub(super) joint: Option<Joint>,
}

impl Course {
    /// The way that the record says, or the next that can be taken.
    pub(super) async fn chart(preparing: &Preparing, whole: &Prepared, journal: &mut Journal) -> Self {
        if is_lost(&journal.record) {
            splice::take_over(preparing, whole, journal).await;
        }
        if journal.record.splice.is_some() {
            return match Splice::of(preparing, whole, journal).await {
                Some(splice) => Self::Splice(splice),
                // Its text is not the value's.
                None => Self::last(&mut journal.record),
            };
        }
        let record = &journal.record;
        let has_broken = record.continuation.because.is_some();
        let is_lost = is_lost(record);
        // A rest that was no answer is asked for once more.
        let is_once_more = record.mends.is_some() && record.continuation.plan == Plan::Residual;
        let plan = match record.continuation.plan {
            // Another worker has begun this; its text is the value's.
            Plan::Whole if is_lost => Plan::Prefill,
            plan => plan,
        };
        let is_due = is_lost || has_broken || is_once_more;
        let held = journal.reached().filter(|_| is_due).cloned();
        let Some(held) = held else {
            return Self::whole(&mut journal.record);
        };
        if plan == Plan::Prefill
            && let Some(prefill) = Prefill::of(preparing, whole, journal.text(), &held).await
        {
            journal.record.continuation.plan = Plan::Prefill;
            return Self::Prefill(Box::new(prefill));
        }
        if plan != Plan::Whole
            && let Some(course) = Rest::of(preparing, whole, journal, held).await
        {
            return course;
        }
        Self::last(&mut journal.record)
    }

    /// A new answer, where that may fare better.
    fn last(record: &mut AttemptRecord) -> Self {
        match record.continuation.because.take_if(|broke| !broke.anew) {
            Some(broke) => Self::End(broke),
            None => Self::whole(record),
        }
    }

    fn whole(record: &mut AttemptRecord) -> Self {
        record.continuation.plan = Plan::Whole;
        record.continuation.rests.clear();
        record.continuation.fixes.clear();
        record.continuation.dropped = None;
        Self::Whole
    }

    pub(super) const fn way(&self) -> Way {
        match self {
            Self::Whole | Self::Nothing(_) | Self::End(_) => Way::Whole,
            Self::Splice(_) => Way::Splice,
            Self::Prefill(_) => Way::Prefill,
            Self::Rest(_) => Way::Rest,
        }
    }

    /// What is asked, of whom.
    pub(super) fn asked(&self, whole: &Arc<Prepared>) -> Arc<Prepared> {
        Arc::clone(match self {
            Self::Whole | Self::Nothing(_) | Self::End(_) => whole,
            Self::Splice(splice) => &splice.asked,
            Self::Prefill(prefill) => &prefill.asked,
            Self::Rest(rest) => &rest.asked,
        })
    }

    /// The request of the attempt.
    pub(super) fn request(&self, asked: &Prepared, record: &AttemptRecord) -> Request {
        let mut request = asked.request(record);
        match self {
            Self::Whole | Self::Splice(_) | Self::Nothing(_) | Self::End(_) => {}
            Self::Prefill(prefill) => {
                request.prefilled = true;
                request
                    .messages
                    .push(Message::text(Role::Assistant, prefill.text.as_str()));
            }
            Self::Rest(rest) => {
                request.messages.extend_from_slice(&rest.turns);
                request.rest = Some(Arc::clone(&rest.of));
            }
        }
        request
    }

    /// The attempt's draft, standing where the attempt begins.
    pub(super) fn begin(self, asked: &Prepared, record: &AttemptRecord) -> Begun {
        let base_bytes = match &self {
            Self::Splice(_) => record.best.as_ref().map_or(0, String::len),
            Self::Rest(rest) => rest.kept.to_json().len(),
            Self::Whole | Self::Prefill(_) | Self::Nothing(_) | Self::End(_) => 0,
        };
        if let Self::Prefill(prefill) = self {
            return prefill.begin();
        }
        let (draft, closing) = asked.draft();
        match self {
            Self::Whole | Self::Prefill(_) | Self::Nothing(_) | Self::End(_) => {
                Begun::anew(Draft::new(draft), closing)
            }
            Self::Splice(Splice { graft, .. }) => Begun::onto(Draft::onto(draft, graft), closing, base_bytes),
            Self::Rest(rest) => Begun::onto(Draft::onto(draft, rest.graft), closing, base_bytes),
        }
    }
}

/// Whether an attempt had begun that has come to no end.
const fn is_lost(record: &AttemptRecord) -> bool {
    record.n > 0 && record.mends.is_none() && record.continuation.because.is_none()
}

impl Begun {
    fn anew(draft: Draft, closing: Arc<Closing>) -> Self {
        Self {
            opening: Opening::default(),
            reading: Reading {
                draft,
                closing,
                joint: None,
            },
        }
    }

    fn onto(draft: Draft, closing: Arc<Closing>, base_bytes: usize) -> Self {
        let opening = Opening {
            at: Some(draft.open_paths()),
            text: String::new(),
            base_bytes,
        };
        Self {
            opening,
            reading: Reading {
                draft,
                closing,
                joint: None,
            },
        }
    }
}

impl Prefill {
    async fn of(preparing: &Preparing, whole: &Prepared, text: &str, held: &Value) -> Option<Self> {
        if !whole.goes_on() {
            return None;
        }
        let asked = preparing.prefilled(whole).await?;
        let (options, closing) = asked.draft();
        let (text, held) = (text.to_owned(), held.clone());
        let found = tokio::task::spawn_blocking(move || {
            let joint = Draft::joint(options.clone(), &text)?;
            let text = text[..joint].to_owned();
            let mut draft = Draft::new(options);
            draft.feed(text.as_bytes());
            // What it says of what came before was told.
            draft.take_notes();
            draft.go_on_from(&held).then_some((draft, text))
        });
        let (draft, text) = found.await.ok()??;
        Some(Self {
            asked: Arc::new(asked),
            text,
            draft,
            closing,
        })
    }

    fn begin(self) -> Begun {
        let (options, _) = self.asked.draft();
        let joint = Joint::new(&self.text, options);
        let opening = Opening {
            at: Some(self.draft.open_paths()),
            text: self.text,
            base_bytes: 0,
        };
        Begun {
            opening,
            reading: Reading {
                draft: self.draft,
                closing: self.closing,
                joint: Some(joint),
            },
        }
    }
}

impl Rest {
    async fn of(
        preparing: &Preparing,
        whole: &Prepared,
        journal: &mut Journal,
        held: Value,
    ) -> Option<Course> {
        let continuation = &journal.record.continuation;
        let rests = continuation.rests.iter().cloned().map(Spot::Rest);
        let fixes = continuation.fixes.iter().cloned().map(Spot::Fix);
        let broken = Broken {
            at: journal.open().to_vec(),
            spots: rests.chain(fixes).collect(),
            dropped: continuation.dropped.clone(),
        };
        let schema = Arc::clone(&whole.schema);
        let places_max = preparing.splice_places_max;
        let found = tokio::task::spawn_blocking(move || {
            let residual = schema.residual(held, &broken, places_max)?;
            if residual.spots.is_empty() {
                // What was only begun, and is nothing that anybody waits for, is not taken back without an answer.
                return residual.drops.is_empty().then_some((residual, None));
            }
            let rest = schema.rest(&residual.kept, &residual.spots)?;
            Some((residual, Some(rest)))
        });
        let (residual, rest) = found.await.ok()??;
        let Some(rest) = rest else {
            return Some(Course::Nothing(residual.kept));
        };
        let graft = Graft::of(residual.kept.clone(), &residual.spots)?.behind(residual.drops);
        let mut asked = preparing.rest(whole, &rest).await?;
        asked.lie_deeper_by(graft.depth());
        let pointers = |is_fix: bool| {
            let spots = residual
                .spots
                .iter()
                .filter(move |spot| matches!(spot, Spot::Fix(_)) == is_fix);
            spots.map(|spot| spot.pointer().to_owned()).collect()
        };
        let record = &mut journal.record;
        record.splice = None;
        record.continuation.plan = Plan::Residual;
        record.continuation.rests = pointers(false);
        record.continuation.fixes = pointers(true);
        let turns = turns(&asked, &residual.kept, &residual.spots, &residual.bad);
        let of = RestOf {
            schema: Arc::new(whole.schema.source().clone()),
            kept: residual.kept.clone(),
            spots: residual.spots,
        };
        Some(Course::Rest(Box::new(Self {
            asked: Arc::new(asked),
            graft,
            kept: residual.kept,
            turns,
            of: Arc::new(of),
        })))
    }
}

/// The model's own answer as far as it stands, and what is asked for.
fn turns(asked: &Prepared, kept: &Value, spots: &[Spot], bad: &[BadPlace]) -> Vec<Message> {
    vec![
        Message::text(Role::Assistant, kept.to_json()),
        Message::text(Role::User, dialect::ask_rest(asked.dialect, spots, bad)),
    ]
}
