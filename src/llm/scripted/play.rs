//! What the scripted model will say, and how it will end: settled before the first token.

use serde_json::Value;

use super::answer::value;
use super::words;
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
        acts.retain(|act| !act.text.is_empty());
        Self {
            acts,
            finish,
            input_tokens: input_tokens(request),
            ending: ending(request),
        }
    }

    /// The early end that is due once `tokens` were told.
    pub(super) fn ending_at(&self, tokens: u64) -> Option<Ending> {
        self.ending
            .filter(|(due, _)| *due == tokens)
            .map(|(_, ending)| ending)
    }
}

fn ending(request: &Request) -> Option<(u64, Ending)> {
    let script = &request.script;
    let struck = script
        .fault_attempts
        .is_none_or(|attempts| request.attempt + request.retries <= attempts);
    let faults = [
        (script.hang_after, Ending::Hang),
        (script.error_after, Ending::Error),
        (script.cut_after, Ending::Cut),
        (script.stop_by_length_after, Ending::Length),
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
