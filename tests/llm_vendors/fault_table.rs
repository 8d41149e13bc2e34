//! Every fault of a provider against a whole job: what a viewer saw, how it ended, what was paid. Printed by
//! `cargo test --test it -- fault_table --nocapture`, and kept in `docs/providers.md`.

#![allow(clippy::print_stdout, reason = "the table is to be printed")]

use std::fmt::Write as _;

use livedraft::llm::ProvidersOptions;
use livedraft::llm::{Kind, RemoteOptions};
use serde_json::json;

use super::fixtures::answer as fixture;
use super::{options_of, stream_of};
use crate::llm_openai::server::{Act, Seen, Server, answer};
use crate::pipeline::{Node, Watching};

const PAGE: &str = include_str!("../../docs/providers.md");

/// A fault, and what the provider does with the calls: the last for ever.
struct Play {
    fault: &'static str,
    acts: Vec<Act>,
    mode: &'static str,
}

fn text(kind: Kind) -> Act {
    stream_of(kind, &fixture(kind, "text"))
}

fn held(act: Act) -> Act {
    Act { hold: true, ..act }
}

/// The first half of an answer's frames.
fn half(kind: Kind) -> Act {
    let body = fixture(kind, "length");
    stream_of(kind, &body[..body.len() / 2])
}

fn status(line: &str, headers: &str) -> Act {
    answer(line, headers, "")
}

fn page(media: &str) -> Act {
    answer(
        "200 OK",
        &format!("content-type: {media}\r\n"),
        "<html>login</html>",
    )
}

/// A connection that is closed with these bytes announced and not sent.
fn broken(kind: Kind) -> Act {
    let head = super::head(kind).replace("connection: close", "content-length: 9999");
    Act {
        pieces: vec![head.into()],
        hold: false,
    }
}

/// An error inside a stream that begins with it.
fn overloaded(kind: Kind) -> Act {
    let error = match kind {
        Kind::Anthropic => {
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
        }
        _ => "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503}}\n\n",
    };
    stream_of(kind, error.as_bytes())
}

fn plays(kind: Kind) -> Vec<Play> {
    let play = |fault, acts| Play {
        fault,
        acts,
        mode: "json_schema",
    };
    let of = |name: &str| stream_of(kind, &fixture(kind, name));
    let silent = || Act {
        pieces: Vec::new(),
        hold: true,
    };
    vec![
        play("none", vec![text(kind)]),
        play(
            "429 with Retry-After",
            vec![status("429 Too Many Requests", "retry-after: 3\r\n"), text(kind)],
        ),
        play("500", vec![status("500 Oops", ""), text(kind)]),
        play("500, always", vec![status("500 Oops", "")]),
        play("529", vec![status("529 Overloaded", ""), text(kind)]),
        play("401", vec![status("401 Unauthorized", "")]),
        play("closed behind the head", vec![broken(kind), text(kind)]),
        play("reset or closed within the answer", vec![half(kind), text(kind)]),
        play("hangs before the head", vec![silent(), text(kind)]),
        play(
            "hangs behind the head",
            vec![held(stream_of(kind, b"")), text(kind)],
        ),
        play("hangs within the answer", vec![held(half(kind)), text(kind)]),
        play(
            "malformed first frame",
            vec![stream_of(kind, b"data: {\"choices\":[{]}\n\n"), text(kind)],
        ),
        play(
            "malformed frame within the answer",
            vec![of("malformed"), text(kind)],
        ),
        play(
            "error in the stream, before a word",
            vec![overloaded(kind), text(kind)],
        ),
        play(
            "error in the stream, within the answer",
            vec![of("error"), text(kind)],
        ),
        play("length", vec![of("length"), text(kind)]),
        play("refusal", vec![of("refusal"), text(kind)]),
        play(
            "page of HTML with status 200",
            vec![page("text/html"), text(kind)],
        ),
        play("wrong content type", vec![page("application/pdf"), text(kind)]),
        Play {
            fault: "two tool calls interleaved",
            acts: vec![of("two_calls"), of("tools")],
            mode: "tools",
        },
        play("usage missing", vec![of("no_usage")]),
        play("broken JSON", vec![aged(kind, "36}", "36,}"), text(kind)]),
        play(
            "value that breaks the schema",
            vec![aged(kind, "36", "7"), text(kind)],
        ),
    ]
}

fn aged(kind: Kind, from: &str, to: &str) -> Act {
    let text = String::from_utf8(fixture(kind, "text")).unwrap();
    stream_of(kind, text.replace(from, to).as_bytes())
}

async fn played(kind: Kind, play: &Play) -> (Server, Watching) {
    let server = Server::start(play.acts.clone()).await;
    let options = RemoteOptions {
        name: "fake".to_owned(),
        ..options_of(kind, &server)
    };
    let node = Node::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options],
        ..ProvidersOptions::default()
    });
    let request = json!({
        "model": "fake/m", "input": "Ada, 36", "flush_ms": 0, "mode": play.mode, "reask": "whole",
        "schema": {"type": "object", "title": "User", "properties": {"name": {"type": "string"},
            "age": {"type": "integer", "minimum": 18}}, "required": ["name", "age"]},
    });
    let watching = node.follow(request).await.watched_out().await;
    (server, watching)
}

/// A run of the same word once, with how often.
fn short(story: &[String]) -> String {
    let mut told: Vec<(&str, u32)> = Vec::new();
    for word in &story[..story.len() - 1] {
        match told.last_mut() {
            Some((last, count)) if last == word => *count += 1,
            _ => told.push((word, 1)),
        }
    }
    let words = told
        .iter()
        .filter(|(word, _)| *word != "running")
        .map(|(word, count)| match count {
            1 => (*word).to_owned(),
            count => format!("{count} × {word}"),
        });
    words.collect::<Vec<_>>().join(" → ")
}

#[tokio::test(start_paused = true)]
async fn fault_table() {
    let kind = Kind::OpenAi;
    let mut table =
        "| fault | a viewer saw | end | calls | tokens in / out |\n|---|---|---|---|---|\n".to_owned();
    for play in plays(kind) {
        let (mut server, watching) = played(kind, &play).await;
        let calls = server.requests.lock().unwrap().len();
        let usage = &watching.end().usage;
        let about = if usage.estimated { "about " } else { "" };
        let end = watching.story.last().unwrap();
        writeln!(
            table,
            "| {} | {} | {end} | {calls} | {about}{} / {} |",
            play.fault,
            short(&watching.story),
            usage.input_tokens,
            usage.output_tokens
        )
        .unwrap();
        // Where a call was given up, its connection is not left to hang.
        if play.fault.starts_with("hangs") {
            server.saw(Seen::Closed).await;
        }
    }
    println!("{table}");
    assert!(PAGE.contains(&table), "docs/providers.md should hold:\n{table}");
}

/// The frames differ, the ends do not.
#[tokio::test(start_paused = true)]
async fn faults_end_alike_in_every_wire_format() {
    let alike = [
        "none",
        "429",
        "500",
        "529",
        "401",
        "closed",
        "hangs before",
        "hangs behind",
        "page",
        "wrong",
        "usage",
        "value",
    ];
    for play_of in plays(Kind::OpenAi)
        .iter()
        .filter(|play| alike.iter().any(|name| play.fault.starts_with(name)))
    {
        let (_, expected) = played(Kind::OpenAi, play_of).await;
        for kind in Kind::ALL {
            let plays = plays(kind);
            let play = plays.iter().find(|play| play.fault == play_of.fault).unwrap();
            let (_, watching) = played(kind, play).await;
            assert_eq!(
                watching.story.last(),
                expected.story.last(),
                "{kind:?} {}",
                play.fault
            );
        }
    }
}
