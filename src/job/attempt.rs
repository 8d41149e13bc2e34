//! One LLM answer: why it was asked for, what was wrong before it, what it cost.

use serde::{Deserialize, Serialize};

use super::money::Money;
use super::spec::Message;
use super::state::Outcome;

/// Why an attempt began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is the first.
    First,
    /// The answer before was invalid (a re-ask).
    Invalid,
    /// The provider failed.
    Provider,
    /// The answer before was cut by its length.
    Truncated,
    /// The worker was lost.
    WorkerLost,
    /// The answer before did not go on from the text that it was given.
    Astray,
}

/// One thing that was wrong with an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptError {
    /// JSON Pointer into the value; `""` is the whole.
    pub path: String,
    /// The schema keyword that was broken, or the parser's code.
    pub keyword: String,
    /// What is wrong, in words.
    pub message: String,
    /// The offending value's JSON, cut to a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// An attempt as viewers see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1, rising with each attempt of the job.
    pub n: u32,
    /// Why it began.
    pub reason: Reason,
    /// What was wrong before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
}

/// Tokens, as the provider counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Of the answer's tokens, those spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// Of the prompt's tokens, those the provider had cached.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Whether any of it is our estimate, because the provider did not say (a call that was cut or aborted).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What they cost, where a price is known for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
}

/// What one attempt came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptUsage {
    /// The attempt's number.
    pub n: u32,
    /// The model that was asked last in it, as `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// How many places of its text were put right by lenient reading.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repairs: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a checkpoint keeps of the attempts so far, so that another worker can go on.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The number of the running or last attempt; 0 before the first.
    pub n: u32,
    /// How many of the attempts were re-asks.
    pub reasks: u32,
    /// How often a provider was too busy to begin one: that burns no attempt.
    #[serde(default)]
    pub refusals: u32,
    /// What the conversation has grown by: invalid answers and what was said to them.
    pub conversation: Vec<Message>,
    /// The cost of the attempts that have ended.
    pub usage: Vec<AttemptUsage>,
    /// What calls cost that were dropped before an attempt began with them.
    #[serde(default, skip_serializing_if = "Usage::is_none")]
    pub dropped: Usage,
    /// Why the next attempt is made, where that is neither an invalid answer nor a lost worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// The last whole but invalid answer, compact JSON.
    pub best: Option<String>,
    /// The whole answer as it was before invalid items were taken out of it, compact JSON; absent where none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undropped: Option<String>,
    /// The call that the running attempt was made with, while its cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// What the next attempt is asked to mend, where the one before was judged invalid.
    pub mends: Option<Vec<AttemptError>>,
    /// The places of `best` that the running or next attempt is asked for alone, as pointers; absent: for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splice: Option<Vec<String>>,
    /// How the running or next attempt stands to what came before it.
    #[serde(default, skip_serializing_if = "Continuation::is_none")]
    pub continuation: Continuation,
    /// When the draft first changed, ms since 1970.
    pub changed_ms: Option<u64>,
    /// The valid value that waits, or has waited, for a verdict from outside and was not asked for again yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<Awaited>,
    /// The last verdict that came from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<RuledOn>,
    /// How long values have waited for verdicts, ms: that is no time of the job's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
}

/// A call whose answer comes, as another worker has to count it where this one is lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Running {
    /// The model that was asked, as `provider/model`.
    pub model: String,
    /// Bytes of the prompt, what was given of the answer included.
    pub prompt_bytes: u64,
    /// Bytes of the attempt's text that were given, and not said by the model.
    pub given_bytes: u64,
}

/// A valid value that waits for a verdict from outside; the value itself is what the log folds to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Awaited {
    /// The attempt that reached it.
    pub attempt: u32,
    /// What its end tells of it: the hash of its compact JSON.
    pub sha256: String,
    /// What the conversation grows by where it is asked for again: the model's answer, and the messages that say what
    /// is wrong with it, the first of which is still empty.
    pub turns: Vec<Message>,
    /// Since when it waits, ms since 1970.
    pub since_ms: u64,
}

/// A verdict that came from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuledOn {
    /// The attempt whose value it was on.
    pub attempt: u32,
    /// Whether that was accepted; else it was asked for again.
    pub accepted: bool,
}

impl AttemptRecord {
    /// Whether its value waits for a verdict that has not come.
    pub const fn waits_for_verdict(&self) -> bool {
        self.awaited.is_some() && self.mends.is_none()
    }

    /// What an end of this outcome shows beside the value: the answer that items were taken out of, or, where the value is
    /// not valid, the last whole one.
    pub fn best_beside(&self, outcome: Outcome) -> Option<String> {
        let invalid = self.best.as_ref().filter(|_| outcome != Outcome::Completed);
        self.undropped.as_ref().or(invalid).cloned()
    }
}

/// What an attempt makes of the draft that stands. (An answer for some places of a whole one is told by
/// [`AttemptRecord::splice`].)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Nothing: the answer is the whole.
    #[default]
    Whole,
    /// The model goes on with its own text.
    Prefill,
    /// It is asked for what the value lacks.
    Residual,
}

/// How an answer that breaks off is gone on with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Continuation {
    /// What the running or next attempt does.
    pub plan: Plan,
    /// Why the next attempt is made, where the one before broke off.
    pub because: Option<Broke>,
    /// How many attempts were made because one broke off.
    pub made: u32,
    /// How many in a row brought nothing.
    pub barren: u32,
    /// How many were stopped as loops.
    pub loops: u32,
    /// The containers whose rest the running attempt is asked for, as pointers.
    pub rests: Vec<String>,
    /// The places that it is asked for anew beside.
    pub fixes: Vec<String>,
    /// A place that is not to be gone on with as it is, until viewers were told that it is taken away.
    pub dropped: Option<String>,
}

/// Why an answer broke off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Broke {
    /// The reason of the attempt that goes on.
    pub reason: Reason,
    /// What happened, as viewers are told.
    pub error: AttemptError,
    /// Whether a new answer may fare better where this one cannot be gone on with.
    pub anew: bool,
    /// Whether the attempt that goes on is none of those that are counted: it was a limit of rate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_free: bool,
}

impl Continuation {
    /// Whether no answer of the job has broken off.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Counts an attempt that has ended, and whether it brought anything.
    pub const fn count(&mut self, progress: bool) {
        self.barren = if progress { 0 } else { self.barren + 1 };
    }

    /// The next answer is another one, for what was wrong with one that was whole.
    pub fn settle(&mut self) {
        *self = Self {
            made: self.made,
            loops: self.loops,
            ..Self::default()
        };
    }
}

impl Usage {
    /// About four bytes a token: what is said where a provider did not count.
    pub const fn estimate(input_bytes: usize, output_bytes: usize) -> Self {
        Self {
            input_tokens: input_bytes.div_ceil(4) as u64,
            output_tokens: output_bytes.div_ceil(4) as u64,
            reasoning_tokens: 0,
            cached_input_tokens: 0,
            estimated: true,
            cost: None,
        }
    }

    /// Whether no token was used.
    pub const fn is_none(&self) -> bool {
        self.input_tokens == 0 && self.output_tokens == 0
    }

    /// Tokens in both directions.
    pub const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            estimated: self.estimated || other.estimated,
            cost: match (self.cost, other.cost) {
                (Some(one), Some(other)) => Some(one.plus(other)),
                (cost, None) if other.is_none() => cost,
                (None, cost) if self.is_none() => cost,
                (Some(_), None) | (None, Some(_) | None) => None,
            },
        }
    }
}

impl AttemptRecord {
    /// What the job has cost so far.
    pub fn total(&self) -> Usage {
        self.parts().fold(Usage::default(), Usage::plus)
    }

    /// What is known to be spent: calls whose price is not known are left out.
    pub fn known_cost(&self) -> Money {
        let costs = self.parts().filter_map(|part| part.cost);
        costs.fold(Money::default(), Money::plus)
    }

    fn parts(&self) -> impl Iterator<Item = Usage> {
        let attempts = self.usage.iter().map(|attempt| attempt.usage);
        attempts.chain([self.dropped])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a checkpoint of before costs has it.
    #[test]
    fn a_record_of_an_older_version_is_read() {
        let text = r#"{"n":2,"reasks":1,"refusals":1,"conversation":[],"usage":[{"n":1,"input_tokens":9,"output_tokens":4,
            "reasoning_tokens":0,"cached_input_tokens":0,"estimated":true}],"best":"{}","mends":null,"changed_ms":5}"#;
        let record: AttemptRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.usage[0].n, record.usage[0].model.as_ref()), (1, None));
        assert_eq!((record.total().tokens(), record.total().cost), (13, None));
        assert_eq!((record.dropped, record.why), (Usage::default(), None));
        assert_eq!(record.continuation, Continuation::default());
        let again = serde_json::to_string(&record).unwrap();
        assert!(!again.contains("dropped") && !again.contains("why") && !again.contains("cost"));
        assert_eq!(serde_json::from_str::<AttemptRecord>(&again).unwrap(), record);
    }

    #[test]
    fn a_sum_has_a_cost_where_all_of_it_has() {
        let of = |tokens, cost: Option<u64>| Usage {
            output_tokens: tokens,
            cost: cost.map(Money::micros),
            ..Usage::default()
        };
        let cost = |one: Usage, other: Usage| one.plus(other).cost.map(Money::as_micros);
        assert_eq!(cost(of(1, Some(2)), of(1, Some(3))), Some(5));
        assert_eq!(cost(of(0, None), of(1, Some(3))), Some(3));
        assert_eq!(cost(of(1, Some(2)), of(0, None)), Some(2));
        assert_eq!(cost(of(1, None), of(1, Some(3))), None);
        assert_eq!(cost(of(1, Some(2)), of(1, None)), None);
        let usage = |n, cost| AttemptUsage {
            n,
            model: None,
            usage: of(1, cost),
            repairs: 0,
        };
        let record = AttemptRecord {
            usage: vec![usage(1, Some(2)), usage(2, None), usage(3, Some(5))],
            ..AttemptRecord::default()
        };
        assert_eq!((record.total().cost, record.known_cost().as_micros()), (None, 7));
    }
}
