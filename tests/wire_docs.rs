//! `proto/PROTOCOL.md` says what the code does: its tables, and every example in it.

use std::collections::BTreeSet;

use livedraft::job::{JobState, Outcome, Transition, next};
use livedraft::wire::{ClientMessage, Close, Code, ServerMessage};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::wire_samples::{CLIENT_TYPES, SERVER_TYPES, client_type, server_type};

/// The page.
pub(crate) const PAGE: &str = include_str!("../proto/PROTOCOL.md");

/// The rows of the table behind a marker, cells trimmed, without head and rule.
fn table(marker: &str) -> Vec<Vec<&'static str>> {
    let marker = format!("<!-- {marker} -->\n");
    let (_, behind) = PAGE.split_once(&marker).expect("the marker is there");
    let rows = behind.lines().take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    rows.skip(2).map(cells).collect()
}

fn code(word: &str) -> String {
    format!("`{word}`")
}

/// The JSON texts of the blocks fenced as ```` ```json <speaker> ````.
pub(crate) fn examples(speaker: &str) -> Vec<String> {
    let fence = format!("```json {speaker}\n");
    let blocks = PAGE.split(&fence).skip(1);
    let texts = blocks.flat_map(|rest| {
        let (block, _) = rest.split_once("```").expect("the fence is closed");
        let texts = serde_json::Deserializer::from_str(block).into_iter::<Box<RawValue>>();
        texts.map(|text| text.expect("an example is JSON").get().to_owned())
    });
    texts.collect()
}

#[test]
fn the_codes_are_the_codes() {
    let told: Vec<_> = Code::all()
        .map(|known| {
            let again = if known.again() { "yes" } else { "no" };
            vec![
                code(known.name()),
                known.status().to_string(),
                again.to_owned(),
                known.meaning().to_owned(),
            ]
        })
        .collect();
    assert_eq!(table("codes"), told);
}

#[test]
fn the_closes_are_the_closes() {
    let told: Vec<_> = Close::ALL
        .iter()
        .map(|close| {
            let back = if Close::invites_back(close.number()) {
                "yes"
            } else {
                "no"
            };
            [
                close.number().to_string(),
                close.reason().to_owned(),
                back.to_owned(),
            ]
        })
        .collect();
    let page: Vec<_> = table("closes")
        .iter()
        .map(|row| [0, 1, 2].map(|cell| row[cell].to_owned()))
        .collect();
    assert_eq!(page, told);
    for (number, back) in [
        (2999, false),
        (3000, true),
        (3499, true),
        (3500, false),
        (4499, true),
        (4500, false),
    ] {
        assert_eq!(Close::invites_back(number), back, "{number}");
    }
}

#[test]
fn the_transitions_are_the_transitions() {
    use JobState::{Cancelled, Completed, Failed, Incomplete, Queued, Recovering, Running, Waiting};
    let states = [
        Queued, Running, Waiting, Recovering, Completed, Failed, Cancelled, Incomplete,
    ];
    let events = [
        Transition::Claim,
        Transition::Defer,
        Transition::LoseLease,
        Transition::Promote,
        Transition::End(Outcome::Completed),
        Transition::End(Outcome::Failed),
        Transition::End(Outcome::Cancelled),
        Transition::End(Outcome::Incomplete),
    ];
    let told: Vec<Vec<String>> = states
        .iter()
        .map(|from| {
            let to = events.iter().map(|event| match next(*from, *event) {
                Ok(state) => code(state.as_str()),
                Err(_) => "–".to_owned(),
            });
            std::iter::once(code(from.as_str())).chain(to).collect()
        })
        .collect();
    assert_eq!(table("transitions"), told);
}

#[test]
fn every_client_example_is_taken() {
    let mut types = BTreeSet::new();
    for text in examples("client") {
        let message = ClientMessage::decode(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        types.insert(client_type(&message));
    }
    assert_eq!(types, CLIENT_TYPES.iter().copied().collect());
}

#[test]
fn every_server_example_is_what_a_server_would_write() {
    let mut types = BTreeSet::new();
    for text in examples("server") {
        let message = ServerMessage::decode(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        let again: Json = serde_json::from_str(&message.encode().expect("encodes")).expect("JSON");
        assert_eq!(again, serde_json::from_str::<Json>(&text).expect("JSON"));
        types.insert(server_type(&message));
    }
    assert_eq!(types, SERVER_TYPES.iter().copied().collect());
}

#[test]
fn every_code_in_an_example_is_known() {
    for text in examples("server") {
        if let ServerMessage::Error(error) = ServerMessage::decode(&text).expect("decodes") {
            assert!(Code::named(&error.code).is_some(), "{text}");
        }
    }
}
