//! `proto/vectors/fold`: messages, and the state that every client must have after each.

use std::fs;
use std::path::Path;

use livedraft::event::{End, Entry, Event, Fold, Position};
use livedraft::partial::{Value, parse};
use livedraft::wire::{Assembly, JobEnd, ServerMessage};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    #[allow(dead_code, reason = "for readers")]
    about: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    message: Box<RawValue>,
    /// The state behind the message, its whole self.
    state: Option<Box<RawValue>>,
    /// The message does not fit: a client drops its state and attaches anew.
    #[serde(default)]
    misfit: bool,
}

/// A client that knows nothing but the protocol and the fold.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) fold: Option<Fold>,
    parts: Assembly,
}

impl Client {
    /// Folds a message of a job in; answers leave the state as it is.
    pub(crate) fn take(&mut self, text: &str) -> Result<(), String> {
        match ServerMessage::decode(text).map_err(|error| error.to_string())? {
            ServerMessage::Accepted(told) if !told.existing => {
                let (epoch, seq) = (told.epoch, told.seq);
                self.fold = Some(Fold::submitted(Position { epoch, seq }));
                Ok(())
            }
            ServerMessage::Snapshot(snapshot) => {
                if let Some(fold) = self.parts.take(*snapshot).map_err(|error| error.to_string())? {
                    self.fold = Some(fold);
                }
                Ok(())
            }
            ServerMessage::Patch(patch) => self.patch(text, patch.seq),
            ServerMessage::LongPatch(patch) => self.patch(text, patch.seq),
            message => match event(message) {
                Some(entry) => self.state()?.apply(&entry).map_err(|error| error.to_string()),
                None => Ok(()),
            },
        }
    }

    fn patch(&mut self, text: &str, seq: u64) -> Result<(), String> {
        let fold = self.state()?;
        fold.patch(text).map_err(|error| error.to_string())?;
        fold.position.seq = seq;
        Ok(())
    }

    fn state(&mut self) -> Result<&mut Fold, String> {
        self.fold.as_mut().ok_or_else(|| "there is no state".to_owned())
    }
}

/// The event that a message tells; `None` for answers, which are none.
fn event(message: ServerMessage) -> Option<Entry> {
    let (position, event) = match message {
        ServerMessage::Status(told) => (told.position(), Event::Status(told.event)),
        ServerMessage::Attempt(told) => (told.position(), Event::Attempt(told.event)),
        ServerMessage::Note(told) => (told.position(), Event::Note(told.event)),
        ServerMessage::Hook(told) => (told.position(), Event::Hook(Box::new(told.event))),
        ServerMessage::End(told) => {
            let (epoch, seq) = (told.epoch, told.seq);
            (Position { epoch, seq }, Event::End(Box::new(end(*told))))
        }
        ServerMessage::Welcome(_)
        | ServerMessage::Accepted(_)
        | ServerMessage::Attached(_)
        | ServerMessage::Detached(_)
        | ServerMessage::Cancelling(_)
        | ServerMessage::Ruled(_)
        | ServerMessage::State(_)
        | ServerMessage::Snapshot(_)
        | ServerMessage::Patch(_)
        | ServerMessage::LongPatch(_)
        | ServerMessage::Degraded(_)
        | ServerMessage::Error(_)
        | ServerMessage::Goodbye(_)
        | ServerMessage::Pong => return None,
    };
    Some(Entry {
        position,
        opens: None,
        event,
    })
}

fn end(told: JobEnd) -> End {
    End {
        outcome: told.outcome,
        error: told.error,
        sha256: told.sha256,
        best: told.best.map(|best| best.get().to_owned()),
        usage: told.usage,
        attempts: told.attempts,
        timings: told.timings,
        durable: told.durable,
    }
}

/// The state as the vectors write it: one object, in which what is absent is not.
pub(crate) fn told(fold: Option<&Fold>) -> Value {
    let Some(fold) = fold else { return Value::Null };
    let position = format!(r#""epoch":"{}","seq":{}"#, fold.position.epoch, fold.position.seq);
    let mut members = vec![
        position,
        format!(r#""status":{}"#, json(&fold.status)),
        format!(r#""attempt":{}"#, fold.attempt),
        format!(r#""attempts":{}"#, json(&fold.attempts)),
    ];
    members.extend(fold.value.as_ref().map(|value| format!(r#""value":{value}"#)));
    members.extend(
        fold.cursor
            .as_ref()
            .map(|cursor| format!(r#""cursor":{}"#, json(cursor))),
    );
    members.push(format!(r#""at":{}"#, json(&fold.at)));
    parse(&format!("{{{}}}", members.join(","))).expect("JSON")
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

fn vectors() -> Vec<Vector> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/vectors/fold");
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("the vectors are there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let read = |path| {
        let text = fs::read_to_string(path).expect("readable");
        serde_json::from_str(&text).expect("a vector")
    };
    paths.iter().map(read).collect()
}

#[test]
fn the_fold_does_what_the_vectors_say() {
    let vectors = vectors();
    assert!(vectors.len() >= 10, "only {} vectors were found", vectors.len());
    for vector in vectors {
        let mut client = Client::default();
        for (index, step) in vector.steps.iter().enumerate() {
            let place = format!("{}, step {}: {}", vector.name, index + 1, step.message);
            match (client.take(step.message.get()), step.misfit) {
                (Ok(()), false) => {
                    let expected = step.state.as_ref().expect("a step that fits has a state");
                    let expected = parse(expected.get()).expect("JSON");
                    assert_eq!(told(client.fold.as_ref()), expected, "{place}");
                }
                (Err(_), true) => client.fold = None,
                (Ok(()), true) => panic!("it fits, but must not: {place}"),
                (Err(fault), false) => panic!("{fault}: {place}"),
            }
        }
    }
}
