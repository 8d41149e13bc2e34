//! What the scripted model will say, and how it will end: settled before the first token.

use serde_json::Value;

use super::answer::value;
use super::words;
use crate::llm::chunk::Finish;
use crate::llm::request::{Carrier, Request};

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
    Call { id: String, name: String },
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
        let (kind, answer, finish) = answer(request);
        acts.push(Act {
            kind,
            text: block + &answer,
        });
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
        .is_none_or(|attempts| request.attempt <= attempts);
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

fn answer(request: &Request) -> (Kind, String, Finish) {
    let script = &request.script;
    if script.refuse {
        return (Kind::Refusal, words::REFUSAL.to_owned(), Finish::Stop);
    }
    let broken = request.attempt <= script.broken_attempts;
    match request.carrier {
        Carrier::Tools => {
            let kind = Kind::Call {
                id: format!("call_scripted_{}", request.attempt),
                name: tool_name(request),
            };
            let text = if broken {
                words::NO_JSON.to_owned()
            } else {
                value(request).to_string()
            };
            (kind, text, Finish::ToolCalls)
        }
        Carrier::Text if broken => (Kind::Text, words::NO_JSON.to_owned(), Finish::Stop),
        Carrier::Text => (Kind::Text, dressed(request, &value(request)), Finish::Stop),
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

fn tool_name(request: &Request) -> String {
    let chosen = request
        .tool_choice
        .as_ref()
        .and_then(|choice| choice.pointer("/function/name"));
    let first = request
        .tools
        .as_ref()
        .and_then(|tools| tools.pointer("/0/function/name"));
    let name = chosen.or(first).and_then(Value::as_str);
    name.unwrap_or("extract").to_owned()
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
