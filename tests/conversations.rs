//! `proto/vectors/conversations` over real WebSockets: what a client says and what the server answers.
//! The format is explained in `proto/vectors/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::conversation_node::Node;
use crate::conversation_socket::Socket;

type Pattern = Map<String, Json>;

/// How long a message may take before the vector has failed; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    #[allow(dead_code, reason = "for readers")]
    about: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    on: Option<String>,
    #[serde(flatten)]
    does: Does,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Does {
    Send {
        send: Json,
    },
    SendText {
        send_text: String,
    },
    SendBinary {
        send_binary: String,
    },
    SendSize {
        send_size: usize,
    },
    SendBytes {
        send_bytes: Vec<u8>,
    },
    Expect {
        expect: Pattern,
        #[serde(default)]
        save: BTreeMap<String, String>,
    },
    Until {
        until: Pattern,
        through: Vec<Pattern>,
    },
    UntilState {
        until_state: Pattern,
        through: Vec<Pattern>,
    },
    All {
        all: Vec<Pattern>,
        through: Vec<Pattern>,
    },
    State {
        state: Pattern,
    },
    SavePosition {
        save_position: String,
        of: String,
    },
    Close {
        close: bool,
    },
    ExpectClose {
        expect_close: u16,
    },
}

/// One vector on its way.
struct Run {
    address: SocketAddr,
    sockets: BTreeMap<String, Socket>,
    current: String,
    variables: BTreeMap<String, Json>,
}

impl Run {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            sockets: BTreeMap::new(),
            current: "a".to_owned(),
            variables: BTreeMap::new(),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(on) = &step.on {
            self.current.clone_from(on);
        }
        self.open(&step.does).await?;
        match &step.does {
            Does::Send { send } => {
                let text = self.filled(send).to_string();
                self.socket().send_text(text).await
            }
            Does::SendText { send_text } => self.socket().send_text(send_text.clone()).await,
            Does::SendBinary { send_binary } => self.socket().send_binary(send_binary.clone()).await,
            Does::SendSize { send_size } => self.socket().send_text("a".repeat(*send_size)).await,
            Does::SendBytes { send_bytes } => self.socket().send_bytes(send_bytes.clone()).await,
            Does::Expect { expect, save } => {
                let message = self.next().await?;
                self.holds(expect, &message)?;
                for (variable, member) in save {
                    self.variables.insert(variable.clone(), message[member].clone());
                }
                Ok(())
            }
            Does::Until { until, through } => self.until(until, through).await,
            Does::UntilState { until_state, through } => self.until_state(until_state, through).await,
            Does::All { all, through } => self.all(all, through).await,
            Does::State { state } => self.state_holds(state),
            Does::SavePosition { save_position, of } => {
                let job = self.filled(&json!(of));
                let state = self.socket().state(job.as_str().unwrap_or_default());
                let position = json!({"epoch": state["epoch"], "seq": state["seq"]});
                self.variables.insert(save_position.clone(), position);
                Ok(())
            }
            Does::Close { close } => {
                assert!(close, "a socket is closed or not mentioned");
                self.socket().close().await
            }
            Does::ExpectClose { expect_close } => {
                let (number, _) = patiently(self.socket().closed()).await??;
                equal(&json!(number), &json!(expect_close), "the close")
            }
        }
    }

    /// Opens the step's socket where it is new, and passes over its welcome unless the step expects it.
    async fn open(&mut self, does: &Does) -> Result<(), String> {
        if self.sockets.contains_key(&self.current) {
            return Ok(());
        }
        let socket = Socket::open(self.address).await?;
        self.sockets.insert(self.current.clone(), socket);
        let wanted =
            matches!(does, Does::Expect { expect, .. } if expect.get("type") == Some(&json!("welcome")));
        if !wanted {
            let welcome = self.next().await?;
            equal(&welcome["type"], &json!("welcome"), "the first message")?;
        }
        Ok(())
    }

    fn socket(&mut self) -> &mut Socket {
        self.sockets.get_mut(&self.current).expect("it was opened")
    }

    async fn next(&mut self) -> Result<Json, String> {
        patiently(self.socket().next()).await?
    }

    async fn until(&mut self, until: &Pattern, through: &[Pattern]) -> Result<(), String> {
        loop {
            let message = self.next().await?;
            let Err(missed) = self.holds(until, &message) else {
                return Ok(());
            };
            self.passes(through, &message)
                .map_err(|_| format!("{missed}, and it may not come before"))?;
        }
    }

    async fn until_state(&mut self, pattern: &Pattern, through: &[Pattern]) -> Result<(), String> {
        while self.state_holds(pattern).is_err() {
            let message = self.next().await?;
            self.passes(through, &message)?;
        }
        Ok(())
    }

    fn passes(&self, through: &[Pattern], message: &Json) -> Result<(), String> {
        let passes = through.iter().any(|pattern| self.holds(pattern, message).is_ok());
        if passes {
            Ok(())
        } else {
            Err(format!("unexpected: {message}"))
        }
    }

    async fn all(&mut self, patterns: &[Pattern], through: &[Pattern]) -> Result<(), String> {
        let mut missing: Vec<_> = patterns.iter().collect();
        while !missing.is_empty() {
            let message = self.next().await?;
            match missing
                .iter()
                .position(|pattern| self.holds(pattern, &message).is_ok())
            {
                Some(found) => drop(missing.remove(found)),
                None => self.passes(through, &message)?,
            }
        }
        Ok(())
    }

    fn state_holds(&mut self, pattern: &Pattern) -> Result<(), String> {
        let mut pattern = pattern.clone();
        let job = pattern.remove("job_id").expect("a state is some job's");
        let job = self.filled(&job);
        let state = self.socket().state(job.as_str().unwrap_or_default());
        self.holds(&pattern, &state)
    }

    /// Whether a message has what the pattern names.
    fn holds(&self, pattern: &Pattern, message: &Json) -> Result<(), String> {
        for (key, expected) in pattern {
            let found = if key.starts_with('/') {
                message.pointer(key)
            } else {
                message.get(key)
            };
            let fits = match (expected.as_str(), found) {
                (Some("$any"), found) => found.is_some(),
                (Some("$absent"), found) => found.is_none(),
                (_, found) => found == Some(&self.filled(expected)),
            };
            if !fits {
                let expected = self.filled(expected);
                return Err(format!("{key} should be {expected} in {message}"));
            }
        }
        Ok(())
    }

    /// The same with its variables filled in.
    fn filled(&self, json: &Json) -> Json {
        match json {
            Json::String(text) => match text
                .strip_prefix('$')
                .map(|name| name.split_once('.').unwrap_or((name, "")))
            {
                Some((name, "")) => self.variables.get(name).unwrap_or(json).clone(),
                Some((name, member)) => self.variables[name][member].clone(),
                None => json.clone(),
            },
            Json::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Json::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(key, value)| (key.clone(), self.filled(value)));
                Json::Object(filled.collect())
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
        }
    }
}

async fn patiently<T>(happens: impl Future<Output = T>) -> Result<T, String> {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.map_err(|_| "nothing came".to_owned())
}

fn equal(found: &Json, expected: &Json, what: &str) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what} is {found}, not {expected}"))
    }
}

fn vectors() -> Vec<Vector> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/vectors/conversations");
    let files = fs::read_dir(dir).expect("the vectors are there");
    let mut paths: Vec<_> = files.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let read = |path| {
        let text = fs::read_to_string(path).expect("readable");
        serde_json::from_str(&text).expect("a vector")
    };
    paths.iter().map(read).collect()
}

async fn converse(vector: &Vector) -> Result<(), String> {
    let node = Node::start();
    let mut run = Run::new(node.address());
    let mut done = Ok(());
    for (index, step) in vector.steps.iter().enumerate() {
        done = run.step(step).await;
        if let Err(fault) = &mut done {
            *fault = format!("{}, step {}: {fault}", vector.name, index + 1);
            break;
        }
    }
    drop(run);
    node.stop().await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_answers_as_the_vectors_say() {
    let vectors = vectors();
    assert!(vectors.len() >= 30, "only {} vectors were found", vectors.len());
    let mut faults = Vec::new();
    for vector in &vectors {
        faults.extend(converse(vector).await.err());
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        vectors.len(),
        faults.join("\n")
    );
}

#[test]
fn a_pattern_can_miss() {
    let mut run = Run::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    run.variables.insert("job".to_owned(), json!("x"));
    let message = json!({"type": "error", "job_id": "x", "list": [{"n": 1}]});
    let pattern = |json: Json| json.as_object().expect("an object").clone();
    let holds = |json| run.holds(&pattern(json), &message).is_ok();
    assert!(holds(
        json!({"type": "error", "job_id": "$job", "/list/0/n": 1, "code": "$absent", "list": "$any"})
    ));
    for missed in [
        json!({"type": "pong"}),
        json!({"job_id": "y"}),
        json!({"/list/0/n": 2}),
        json!({"/list/1": "$any"}),
        json!({"list": []}),
        json!({"type": "$absent"}),
    ] {
        assert!(!holds(missed.clone()), "{missed}");
    }
}
