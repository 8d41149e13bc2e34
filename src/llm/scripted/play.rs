//! What the scripted model will say, and how it will end: settled before the first token.

use serde_json::Value;

use super::answer::value;
use super::words;
use crate::job::ScriptedPrefill;
use crate::llm::chunk::Finish;
use crate::llm::request::{Carrier, Request};
use crate::partial::{NO_ITEMS, TASKS};

/// The whole answer.
#[derive(Debug)]
pub(super) struct Play {
    /// Told one after the other; none is empty.
    pub(super) acts: Vec<Act>,
    pub(super) finish: Finish,
    pub(super) input_tokens: u64,
    ending: Option<(u64, Ending)>,
}

/// A run of tokens of one kind.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Text,
    Refusal,
    Call { index: u32, id: String, name: String },
}

/// An end before the end. The order decides between two that are due at the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    Hang,
    Error,
    Cut,
    Length,
    Blanks,
    Loop,
}

impl Play {
    pub(super) fn new(request: &Request) -> Self {
        let script = &request.script;
        let think = script.think.then(|| words::THOUGHTS.join(" "));
        let mut acts = Vec::new();
        let in_text = request.carrier == Carrier::Text && (request.fenced || script.prose);
        let mut block = String::new();
        match think {
            Some(thoughts) if in_text => block = format!("<think>\n{thoughts}\n</think>\n\n"),
            Some(thoughts) => acts.push(Act {
                kind: Kind::Reasoning,
                text: thoughts,
            }),
            None => {}
        }
        let (mut answer, finish) = answer(request);
        if request.attempt <= script.sloppy_attempts {
            answer.iter_mut().for_each(|act| make_sloppy(&mut act.text));
        }
        if let Some(first) = answer.first_mut() {
            first.text.insert_str(0, &block);
        }
        acts.append(&mut answer);
        take_up(request, &mut acts);
        acts.retain(|act| !act.text.is_empty());
        let ending = ending(request, &acts);
        lengthen(ending, request, &mut acts);
        Self {
            acts,
            finish,
            input_tokens: input_tokens(request),
            ending: ending.filter(|(_, ending)| !ending.goes_on()),
        }
    }

    /// The early end that is due once `tokens` were told.
    pub(super) fn ending_at(&self, tokens: u64) -> Option<Ending> {
        self.ending
            .filter(|(due, _)| *due == tokens)
            .map(|(_, ending)| ending)
    }
}

impl Ending {
    /// Whether more comes, and never an end.
    const fn goes_on(self) -> bool {
        matches!(self, Self::Blanks | Self::Loop)
    }
}

/// Characters of what comes again and again in a loop, and how much of it is told as if it had no end.
const LOOP_CHARS: usize = 32;
const ENDLESS_CHARS: usize = 4 << 20;

/// Where the beginning of the answer was given: what the model then says.
fn take_up(request: &Request, acts: &mut [Act]) {
    let given = request.messages.last().filter(|_| request.prefilled);
    let Some(given) = given.and_then(|given| given.content.as_str()) else {
        return;
    };
    let Some(answer) = acts.iter_mut().find(|act| act.kind == Kind::Text) else {
        return;
    };
    let whole = std::mem::take(&mut answer.text);
    answer.text = match request.script.prefill {
        // One who would have said something else cannot go on.
        ScriptedPrefill::GoesOn => whole.strip_prefix(given).unwrap_or(&whole).to_owned(),
        ScriptedPrefill::Fences => format!("```json\n{whole}\n```"),
        ScriptedPrefill::Restarts => whole.replacen('{', "{ ", 1),
        ScriptedPrefill::None | ScriptedPrefill::Echoes | ScriptedPrefill::Refuses => whole,
    };
}

/// Puts behind the token at which an endless fault is due what then comes.
fn lengthen(ending: Option<(u64, Ending)>, request: &Request, acts: &mut Vec<Act>) {
    let Some((due, ending)) = ending.filter(|(_, ending)| ending.goes_on()) else {
        return;
    };
    let token_chars = u64::from(request.script.token_chars.max(1));
    let mut left = due;
    for index in 0..acts.len() {
        let tokens = tokens(&acts[index], token_chars);
        if left >= tokens && index + 1 < acts.len() {
            left -= tokens;
            continue;
        }
        acts.truncate(index + 1);
        let Some(act) = acts.last_mut() else { return };
        let chars = usize::try_from(left.saturating_mul(token_chars)).unwrap_or(usize::MAX);
        let at = act.text.char_indices().nth(chars).map(|(at, _)| at);
        act.text.truncate(at.unwrap_or(act.text.len()));
        let again = match ending {
            Ending::Blanks => " ".to_owned(),
            _ => {
                let from = act.text.char_indices().rev().nth(LOOP_CHARS - 1);
                act.text[from.map_or(0, |(at, _)| at)..].to_owned()
            }
        };
        let times = ENDLESS_CHARS / again.chars().count().max(1);
        act.text.push_str(&again.repeat(times));
        return;
    }
}

fn tokens(act: &Act, token_chars: u64) -> u64 {
    (act.text.chars().count() as u64).div_ceil(token_chars)
}

fn ending(request: &Request, acts: &[Act]) -> Option<(u64, Ending)> {
    let script = &request.script;
    let struck = script
        .fault_attempts
        .is_none_or(|attempts| request.attempt + request.retries <= attempts);
    let token_chars = u64::from(script.token_chars.max(1));
    let all: u64 = acts.iter().map(|act| tokens(act, token_chars)).sum();
    let part = |percent: Option<u32>| percent.map(|percent| all.saturating_mul(percent.into()) / 100);
    let faults = [
        (script.hang_after, Ending::Hang),
        (script.error_after, Ending::Error),
        (script.cut_after, Ending::Cut),
        (script.stop_by_length_after, Ending::Length),
        (part(script.cut_at_percent), Ending::Cut),
        (part(script.stop_by_length_at_percent), Ending::Length),
        (script.blanks_after, Ending::Blanks),
        (script.loop_after, Ending::Loop),
    ];
    let faults = faults.into_iter().filter(|_| struck);
    let limit = request.sampling.max_output_tokens.map(u64::from);
    faults
        .chain([(limit, Ending::Length)])
        .filter_map(|(due, ending)| Some((due?, ending)))
        .min()
}

fn answer(request: &Request) -> (Vec<Act>, Finish) {
    let script = &request.script;
    let text = |kind, text| (vec![Act { kind, text }], Finish::Stop);
    if script.refuse {
        return text(Kind::Refusal, words::REFUSAL.to_owned());
    }
    let broken = request.attempt <= script.broken_attempts;
    match request.carrier {
        Carrier::Text if broken => text(Kind::Text, words::NO_JSON.to_owned()),
        Carrier::Text => text(Kind::Text, dressed(request, &value(request))),
        Carrier::Tools | Carrier::ParallelTools if broken => {
            let call = call(request, 0, tool_name(request), words::NO_JSON.to_owned());
            (vec![call], Finish::ToolCalls)
        }
        Carrier::Tools => {
            let call = call(request, 0, tool_name(request), value(request).to_string());
            (vec![call], Finish::ToolCalls)
        }
        Carrier::ParallelTools => (calls(request, &value(request)), Finish::ToolCalls),
    }
}

/// A comment behind the first brace, and a comma before the last: nothing that changes the value.
fn make_sloppy(text: &mut String) {
    if let Some(last) = text.rfind(['}', ']']) {
        text.insert(last, ',');
    }
    if let Some(first) = text.find(['{', '[']) {
        text.insert_str(first + 1, " // as asked\n");
    }
}

fn call(request: &Request, index: u32, name: &str, text: String) -> Act {
    let id = match index {
        0 => format!("call_scripted_{}", request.attempt),
        _ => format!("call_scripted_{}_{index}", request.attempt),
    };
    let name = name.to_owned();
    Act {
        kind: Kind::Call { index, id, name },
        text,
    }
}

/// One call for each item of the list, or the one that says that there is none. A list that was spoilt into something
/// else is a call of that.
fn calls(request: &Request, value: &Value) -> Vec<Act> {
    match value.get(TASKS) {
        Some(Value::Array(items)) if items.is_empty() => vec![call(request, 0, NO_ITEMS, "{}".to_owned())],
        Some(Value::Array(items)) => (0..)
            .zip(items)
            .map(|(index, item)| call(request, index, tool_name(request), item.to_string()))
            .collect(),
        Some(other) => vec![call(request, 0, tool_name(request), other.to_string())],
        None => vec![call(request, 0, tool_name(request), "null".to_owned())],
    }
}

/// The value as the message's text: bare, in a fence, or in a fence between prose.
fn dressed(request: &Request, value: &Value) -> String {
    if !request.fenced && !request.script.prose {
        return value.to_string();
    }
    let fence = format!("```json\n{value:#}\n```");
    if request.script.prose {
        format!("{}\n\n{fence}\n\n{}", words::PREFACE, words::AFTERWORD)
    } else {
        fence
    }
}

fn tool_name(request: &Request) -> &str {
    request.tool_name().unwrap_or("extract")
}

/// Four characters a token, as everywhere in the play.
fn input_tokens(request: &Request) -> u64 {
    let chars: usize = request
        .messages
        .iter()
        .map(|message| message.content.to_string().chars().count())
        .sum();
    chars.div_ceil(4) as u64
}
