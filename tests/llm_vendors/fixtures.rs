//! Answers as the vendors' pages describe them, in `tests/golden/llm/KIND/NAME.txt`, and the chunks they are, a line
//! each, in `NAME.chunks`.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use livedraft::llm::{Chunk, Chunks, Finish, Kind, LlmError, LlmErrorKind, Reader, ReaderLimits};

/// Answers that each kind has one of: the faults are played from them.
const EVERYWHERE: [&str; 9] = [
    "error",
    "length",
    "malformed",
    "no_usage",
    "reasoning",
    "refusal",
    "text",
    "tools",
    "two_calls",
];

fn folder(kind: Kind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/llm")
        .join(kind.word())
}

/// An answer's bytes.
pub(super) fn answer(kind: Kind, name: &str) -> Vec<u8> {
    fs::read(folder(kind).join(format!("{name}.txt"))).expect(name)
}

/// Its chunks, as they are told here.
pub(super) fn told(kind: Kind, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder(kind).join(format!("{name}.chunks"))).expect(name);
    text.lines().map(str::to_owned).collect()
}

fn names(kind: Kind) -> Vec<String> {
    let files = fs::read_dir(folder(kind)).expect("the folder is there");
    let paths = files.map(|file| file.expect("readable").path());
    let answers = paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut names: Vec<String> = answers
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A chunk, or the error instead of one, in a line. Where a frame is malformed, the number of the frame is told.
pub(super) fn tell(chunk: &Result<Chunk<'_>, LlmError>) -> String {
    match chunk {
        Ok(Chunk::Text(text)) => format!("text {}", quoted(text)),
        Ok(Chunk::Reasoning(text)) => format!("reasoning {}", quoted(text)),
        Ok(Chunk::Refusal(text)) => format!("refusal {}", quoted(text)),
        Ok(Chunk::Call {
            index,
            id,
            name,
            arguments,
        }) => {
            let or = |word: &Option<Cow<'_, str>>| word.as_deref().unwrap_or("-").to_owned();
            format!(
                "call {index} id={} name={} {}",
                or(id),
                or(name),
                quoted(arguments)
            )
        }
        Ok(Chunk::Usage(usage)) => format!(
            "usage in={} out={} reasoning={} cached={}",
            usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cached_input_tokens
        ),
        Ok(Chunk::Finish(finish)) => format!("finish {}", word(finish)),
        Err(error) => {
            let message = error.message.strip_prefix("test: ").unwrap_or(&error.message);
            let shown = match message.split_once(" of the answer is malformed") {
                Some((frame, _)) => frame.to_owned(),
                None => quoted(message),
            };
            format!("error {} {shown}", error.kind.code())
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

fn word(finish: &Finish) -> String {
    match finish {
        Finish::Stop => "stop".to_owned(),
        Finish::Length => "length".to_owned(),
        Finish::ContentFilter => "content_filter".to_owned(),
        Finish::ToolCalls => "tool_calls".to_owned(),
        Finish::Other(reason) => format!("other {reason}"),
    }
}

/// Reads pieces as a connection would bring them.
fn read<'a>(kind: Kind, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let limits = ReaderLimits {
        line_bytes: 1 << 20,
        event_bytes: 1 << 20,
        calls: 16,
    };
    let mut reader = Reader::new(kind, limits);
    let mut out = Chunks::default();
    let mut end = None;
    for piece in pieces {
        match reader.feed(piece, &mut out) {
            Ok(false) => {}
            Ok(true) => end = Some(reader.end(&mut out)),
            Err(error) => end = Some(Err(error)),
        }
        if end.is_some() {
            break;
        }
    }
    let end = end.unwrap_or_else(|| reader.finish(&mut out));
    let mut told = Vec::new();
    while let Some(chunk) = out.take() {
        told.push(tell(&Ok(chunk)));
    }
    told.extend(end.err().map(|error| tell(&Err(error))));
    told
}

#[test]
fn every_answer_is_read_as_its_chunks_at_every_cut() {
    for kind in Kind::ALL {
        let names = names(kind);
        for wanted in EVERYWHERE {
            assert!(
                names.iter().any(|name| name == wanted),
                "{kind:?} has no {wanted}"
            );
        }
        for name in names {
            let (body, expected) = (answer(kind, &name), told(kind, &name));
            for cut in 0..=body.len() {
                let (front, back) = body.split_at(cut);
                let told = read(kind, [front, back].into_iter());
                assert_eq!(told, expected, "{kind:?} {name} cut at {cut}");
            }
            assert_eq!(
                read(kind, body.chunks(1)),
                expected,
                "{kind:?} {name} byte by byte"
            );
        }
    }
}

/// The last blank line may be missing, and a frame that was cut is not malformed.
#[test]
fn an_answer_that_ends_anywhere_is_whole_or_cut() {
    for kind in Kind::ALL {
        let (body, whole) = (answer(kind, "text"), told(kind, "text"));
        let (mut ended, mut cut) = (0, 0);
        for length in 0..body.len() {
            let told = read(kind, [&body[..length]].into_iter());
            let (last, before) = told.split_last().unwrap();
            let texts: Vec<&String> = before.iter().filter(|line| line.starts_with("text ")).collect();
            assert!(
                texts.iter().zip(&whole).all(|(told, whole)| *told == whole),
                "{kind:?} up to {length}: {told:?}"
            );
            if last == "finish stop" {
                assert_eq!(texts.len(), 2, "{kind:?} up to {length}: {told:?}");
                ended += 1;
            } else {
                assert!(
                    last.starts_with("error cut "),
                    "{kind:?} up to {length}: {told:?}"
                );
                cut += 1;
            }
        }
        assert!(ended > 0 && cut > 200, "{kind:?}: {ended} {cut}");
    }
}

#[test]
fn limits_hold_in_every_kind() {
    let limits = ReaderLimits {
        line_bytes: 128,
        event_bytes: 128,
        calls: 1,
    };
    for kind in Kind::ALL {
        let mut reader = Reader::new(kind, limits);
        let mut out = Chunks::default();
        let error = reader.feed(&[b'x'; 129], &mut out).unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::BadStream, "{kind:?}");
        let wide = ReaderLimits {
            line_bytes: 4_096,
            event_bytes: 4_096,
            ..limits
        };
        let error = Reader::new(kind, wide)
            .feed(&answer(kind, "two_calls"), &mut out)
            .unwrap_err();
        assert_eq!(error.message, "more than 1 parallel tool calls", "{kind:?}");
    }
}
