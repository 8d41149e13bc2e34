//! `proto/PROTOCOL.md` says what the code does: its tables, and every example in it.

use std::collections::BTreeSet;

use livedraft::access::Scope;
use livedraft::compiler::CompilerOptions;
use livedraft::job::{JobSpec, JobState, Outcome, Priority, Script, SpecLimits, Transition, next};
use livedraft::llm::{BreakerOptions, LlmErrorKind};
use livedraft::partial::parse;
use livedraft::server::ServerOptions;
use livedraft::wire::{ClientMessage, Close, Code, Limits, ServerMessage};
use livedraft::worker::WorkerOptions;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::wire_samples::{CLIENT_TYPES, SERVER_TYPES, client_type, server_type};

/// The page.
pub(crate) const PAGE: &str = include_str!("../proto/PROTOCOL.md");

/// The rows of the table behind a marker, cells trimmed, without head and rule.
fn table(marker: &str) -> Vec<Vec<&'static str>> {
    rows_behind(PAGE, marker)
}

fn rows_behind(page: &'static str, marker: &str) -> Vec<Vec<&'static str>> {
    let marker = format!("<!-- {marker} -->\n");
    let (_, behind) = page.split_once(&marker).expect("the marker is there");
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
fn the_scopes_are_the_scopes() {
    let page: Vec<_> = table("scopes").iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(page, Scope::ALL.map(|scope| code(scope.word())));
}

#[test]
fn the_bounds_are_the_bounds() {
    let (server, compiler) = (ServerOptions::default(), CompilerOptions::default());
    let (spec, worker) = (SpecLimits::default(), WorkerOptions::default());
    let breaker = BreakerOptions::default();
    let shown = format!("{server:#?} {compiler:#?} {spec:#?} {worker:#?} {breaker:#?}");
    let rows = rows_behind(include_str!("../docs/security.md"), "bounds");
    assert!(rows.len() > 20);
    for row in rows {
        let name = row[0].trim_matches('`');
        let field = name.rsplit('.').next().expect("a name");
        let told = format!("{field}: {},", row[1].replace(',', ""));
        assert!(shown.contains(&told), "{told} is not in the defaults");
    }
}

/// The first two cells of a table: a name, and a number, a word or nothing.
fn defaults(marker: &str) -> Vec<(String, Json)> {
    let row = |row: &Vec<&str>| {
        let told = row[1].replace(',', "");
        let value = serde_json::from_str(&told).unwrap_or_default();
        (row[0].trim_matches('`').to_owned(), value)
    };
    table(marker).iter().map(row).collect()
}

/// The members of what the code has by default; whole numbers as such.
fn members(value: &impl serde::Serialize) -> Vec<(String, Json)> {
    let Json::Object(members) = serde_json::to_value(value).expect("plain data") else {
        panic!("an object was due")
    };
    let whole = |value: Json| match value.as_f64() {
        Some(number) if number.fract() == 0.0 => serde_json::json!(number as u64),
        _ => value,
    };
    members
        .into_iter()
        .map(|(name, value)| (name, whole(value)))
        .collect()
}

#[test]
fn the_defaults_are_the_defaults() {
    assert_eq!(defaults("limits"), members(&Limits::default()));
    assert_eq!(defaults("script"), members(&Script::default()));
}

/// A number with its thousands apart, as people write it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

#[test]
fn the_limits_of_a_request_are_told() {
    let (_, behind) = PAGE.split_once("### `job.create").expect("the section is there");
    let (section, _) = behind.split_once("```").expect("an example follows");
    let limits = SpecLimits::default();
    let told = |member: &str, words: String| {
        let row = section
            .lines()
            .find(|line| line.starts_with(&format!("| `{member}` |")));
        let row = row.unwrap_or_else(|| panic!("{member} has no row"));
        assert!(row.contains(&words), "{words:?} is not in {row:?}");
    };
    told("messages", format!("at most {} messages", limits.messages_max));
    told(
        "input",
        format!("at most {} bytes", grouped(limits.prompt_bytes_max as u64)),
    );
    told("max_reasks", format!("| {} |", JobSpec::DEFAULT_REASKS));
    told("max_reasks", format!("0 to {}", limits.reasks_max));
    told(
        "verdict_ms",
        format!("1 to {}", grouped(limits.verdict_ms_max.into())),
    );
    told(
        "on_last_viewer_gone",
        format!("0 to {}", grouped(limits.unviewed_ms_max.into())),
    );
    told("priority", format!("| {} |", Priority::default().0));
    told(
        "priority",
        format!("{} to {}", Priority::LAST.0, Priority::FIRST.0),
    );
    told("flush_ms", format!("| {} |", JobSpec::DEFAULT_FLUSH_MS));
    told(
        "flush_ms",
        format!("0 to {}", grouped(limits.flush_ms_max.into())),
    );
    told("limits", format!("1 to {}", grouped(limits.tokens_max.into())));
    told("limits", format!("1 to {}", grouped(limits.answer_bytes_max)));
    told("limits", format!("1 to {}", grouped(limits.seconds_max.into())));
    told("metadata", format!("at most {}", limits.metadata_max));
    told(
        "metadata",
        format!("at most {} bytes", grouped(limits.metadata_bytes_max as u64)),
    );
}

#[test]
fn every_fault_of_a_provider_is_named() {
    use LlmErrorKind::{
        BadRequest, BadStream, Connect, Cut, FirstByteTimeout, IdleTimeout, InStream, Overloaded,
        RateLimited, Server, Unauthorized, UnknownModel,
    };
    let (_, behind) = PAGE
        .split_once("`error.code` of an end:")
        .expect("the table is there");
    let (ends, _) = behind.split_once("## 11").expect("a section follows");
    for kind in [
        Connect,
        FirstByteTimeout,
        RateLimited,
        Overloaded,
        Unauthorized,
        BadRequest,
        UnknownModel,
        Server,
        BadStream,
        InStream,
    ] {
        assert!(ends.contains(&code(kind.code())), "{}", kind.code());
    }
    for kind in [Cut, IdleTimeout] {
        assert!(
            ends.contains(&code(&format!("provider_{}", kind.code()))),
            "{}",
            kind.code()
        );
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
        let message = ClientMessage::decode(&text, &Limits::default())
            .unwrap_or_else(|fault| panic!("{fault}: {text}"));
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
fn the_hash_in_an_example_is_the_value_s() {
    let mut checked = 0;
    for text in examples("server") {
        let ServerMessage::End(end) = ServerMessage::decode(&text).expect("decodes") else {
            continue;
        };
        if let (Some(value), Some(told)) = (&end.value, &end.sha256) {
            let compact = parse(value.get()).expect("JSON").to_json();
            let hash: String = Sha256::digest(compact.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(*told, hash, "{compact}");
            checked += 1;
        }
    }
    assert!(checked > 0, "no example shows a hash");
}

#[test]
fn every_code_in_an_example_is_known() {
    for text in examples("server") {
        if let ServerMessage::Error(error) = ServerMessage::decode(&text).expect("decodes") {
            assert!(Code::named(&error.code).is_some(), "{text}");
        }
    }
}
