//! A viewer that comes back whatever happens, folds what it is told, and writes down all of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::dice::Dice;
use super::history::{Step, View, is_end, kind};
use crate::fold::Fold;
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// How long connecting, the upgrade and the welcome may take.
const CONNECTS: Duration = Duration::from_secs(2);
/// A socket that is silent for so long is taken for dead; the fleet pings more often.
const SILENT: Duration = Duration::from_secs(4);
/// The waits before another try, ms.
const AGAIN_MS: (u64, u64) = (30, 400);

/// Where gateways can be found, each through its own way.
pub(crate) type Gateways = Arc<Vec<SocketAddr>>;

/// One viewer of one job.
#[derive(Debug)]
pub(crate) struct Watcher {
    gateways: Gateways,
    dice: Dice,
    turn: usize,
    /// The job, once it is known.
    pub(crate) job: Option<String>,
    fold: Fold,
    /// When it last heard something of the job, microseconds.
    heard: Option<u64>,
    pub(crate) view: View,
}

/// How a socket was left.
enum Left {
    /// The end was seen, or it was said that there is no such job.
    Done,
    /// It broke, was closed, or went silent.
    Broken,
}

impl Watcher {
    /// One that begins at the gateway of this turn.
    pub(crate) fn new(name: &str, gateways: Gateways, turn: usize, dice: Dice) -> Self {
        Self {
            gateways,
            dice,
            turn,
            job: None,
            fold: Fold::default(),
            view: View {
                name: name.to_owned(),
                ..View::default()
            },
            heard: None,
        }
    }

    /// Submits until it is accepted, whatever becomes of answers and sockets; every id that was named. The socket that
    /// heard the acceptance watches the job already.
    pub(crate) async fn submit(&mut self, message: &Value) -> (Vec<String>, Viewer) {
        let mut ids = Vec::new();
        loop {
            if let Ok(Ok(mut socket)) = tokio::time::timeout(CONNECTS, self.connect()).await
                && let Ok(Some(id)) = self.create(&mut socket, message).await
            {
                ids.push(id.clone());
                self.job = Some(id);
                return (ids, socket);
            }
            self.rest().await;
        }
    }

    async fn create(&mut self, socket: &mut Viewer, message: &Value) -> Outcome<Option<String>> {
        socket.send(message).await?;
        loop {
            let text = tokio::time::timeout(SILENT, socket.text()).await??;
            let answer: Value = serde_json::from_str(&text)?;
            match answer["type"].as_str() {
                Some("job.accepted") => {
                    let id = answer["job_id"].as_str().map(str::to_owned);
                    if answer["existing"] == true {
                        self.view.steps.push(Step::Attached { resumed: false });
                    } else {
                        self.take(&text, &answer);
                    }
                    return Ok(id);
                }
                // Refused for now: draining, unavailable. Another try follows.
                Some("error" | "goodbye") => return Ok(None),
                _ => {}
            }
        }
    }

    /// Follows the job to its end, on `socket` first, if there is one.
    pub(crate) async fn follow(&mut self, mut socket: Option<Viewer>) {
        loop {
            if let Some(mut open) = socket.take() {
                if matches!(self.read(&mut open).await, Ok(Left::Done)) {
                    return;
                }
                self.rest().await;
            }
            socket = match tokio::time::timeout(CONNECTS, self.attach()).await {
                Ok(Ok(socket)) => Some(socket),
                Ok(Err(_)) | Err(_) => None,
            };
            if socket.is_none() {
                self.rest().await;
            }
        }
    }

    /// Writes down that no end came.
    pub(crate) fn give_up(&mut self) {
        if self.view.end().is_none() {
            self.view.steps.push(Step::GivenUp);
        }
    }

    /// Asks for the job's end on a socket of its own until that is acknowledged; false where it had ended before.
    pub(crate) async fn cancel(&mut self, job: &str) -> bool {
        loop {
            if let Ok(Ok(taken)) = tokio::time::timeout(SILENT, self.ask_cancel(job)).await {
                return taken;
            }
            self.rest().await;
        }
    }

    async fn ask_cancel(&mut self, job: &str) -> Outcome<bool> {
        let mut socket = self.connect().await?;
        socket
            .send(&json!({ "type": "job.cancel", "job_id": job }))
            .await?;
        loop {
            let answer: Value = serde_json::from_str(&socket.text().await?)?;
            match answer["type"].as_str() {
                Some("job.cancelling") => return Ok(answer.get("already").is_none()),
                Some("error" | "goodbye") => return Err("refused for now".into()),
                _ => {}
            }
        }
    }

    async fn connect(&mut self) -> Outcome<Viewer> {
        self.turn += 1;
        let gateway = self.gateways[self.turn % self.gateways.len()];
        Viewer::connect([127, 0, 0, 1], gateway).await
    }

    async fn attach(&mut self) -> Outcome<Viewer> {
        let mut socket = self.connect().await?;
        let mut message = json!({ "type": "job.attach", "job_id": self.job });
        if let Some((epoch, seq)) = &self.fold.position {
            message["position"] = json!({ "epoch": epoch, "seq": seq });
        }
        socket.send(&message).await?;
        Ok(socket)
    }

    /// Reads until the end, or until the socket is of no more use.
    async fn read(&mut self, socket: &mut Viewer) -> Outcome<Left> {
        loop {
            let Ok(text) = tokio::time::timeout(SILENT, socket.news()).await else {
                return Ok(Left::Broken);
            };
            // A ping is a sign of life.
            let Some(text) = text? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            match kind(&message) {
                "attached" => {
                    let resumed = message["resumed"] == true;
                    self.view.steps.push(Step::Attached { resumed });
                }
                "error" if message["code"] == "not_found" => {
                    self.view.steps.push(Step::Gone(text.to_string()));
                    return Ok(Left::Done);
                }
                "error" | "goodbye" => return Ok(Left::Broken),
                _ => {
                    if !self.take(&text, &message) {
                        return Ok(Left::Broken);
                    }
                }
            }
            if self.view.end().is_some() {
                return Ok(Left::Done);
            }
        }
    }

    /// Folds and writes down; false where it does not fit, and what is held is dropped.
    fn take(&mut self, text: &str, message: &Value) -> bool {
        let kind = kind(message);
        let mut fold = self.fold.clone();
        match fold.take(message) {
            Ok(true) => {
                let position = fold.position.clone().unwrap_or_default();
                let state = fold.text();
                let now = clock::micros();
                let since = self.heard.replace(now).map_or(0, |heard| now - heard);
                self.view.silence = self.view.silence.max(since);
                self.view.steps.push(if kind == "snapshot" {
                    Step::Snapshot { position, state }
                } else {
                    Step::Event {
                        position,
                        kind: kind.to_owned(),
                        text: without_ref(text, message),
                        state,
                    }
                });
                self.fold = fold;
                if is_end(kind) {
                    self.judge_value(message);
                }
                true
            }
            Ok(false) => {
                let is_late = kind == "degraded" && message["active"] == true;
                self.view.degraded += u64::from(is_late);
                self.fold = fold;
                true
            }
            Err(why) => {
                self.view.steps.push(Step::Misfit(format!("{text}: {why}")));
                self.fold = Fold::default();
                false
            }
        }
    }

    /// The end names its value, by itself or by its hash.
    fn judge_value(&mut self, end: &Value) {
        let held = self.fold.value();
        let wrong = match (end.get("value"), end["sha256"].as_str()) {
            (Some(value), _) => Some(value) != held,
            (None, Some(hash)) => {
                held.map(|value| hex(&Sha256::digest(value.to_string())))
                    .as_deref()
                    != Some(hash)
            }
            (None, None) => held.is_some(),
        };
        let reached = end["type"] == "job.completed" && !held.is_some_and(whole);
        if wrong || reached {
            self.view
                .steps
                .push(Step::WrongValue(format!("holds {held:?}, the end says {end}")));
        }
    }

    async fn rest(&mut self) {
        let wait = self.dice.within(AGAIN_MS.0, AGAIN_MS.1);
        clock::sleep(Duration::from_millis(wait)).await;
    }
}

/// Whether a completed value is of the schema that all jobs of this nemesis have.
fn whole(value: &Value) -> bool {
    value["title"].is_string()
        && value["count"].is_i64()
        && value["lines"]
            .as_array()
            .is_some_and(|lines| lines.iter().all(Value::is_string))
}

/// The text of a message as all viewers get it: an acceptance has the reference of who asked.
fn without_ref(text: &str, message: &Value) -> String {
    if message.get("ref").is_none() {
        return text.to_owned();
    }
    let mut message = message.clone();
    if let Some(members) = message.as_object_mut() {
        members.shift_remove("ref");
    }
    message.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
