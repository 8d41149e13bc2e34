//! What a client says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::code::Code;
use super::limits::{DEPTH_MAX, Limits};
use super::strict::{self, Strict};
use crate::event::Position;
use crate::job::{AttemptError, JobSpec, Plain};

/// A message from a client.
#[derive(Clone, PartialEq, Debug)]
pub enum ClientMessage {
    /// `auth`: says who the client is, where the upgrade did not.
    Auth(Auth),
    /// `job.create`: submits a job and watches it.
    Create(Box<JobCreate>),
    /// `job.attach`: watches a job, from a position if it has one.
    Attach(JobAttach),
    /// `job.detach`: watches it no longer; the job goes on.
    Detach(Named),
    /// `job.cancel`: asks for its end.
    Cancel(Named),
    /// `job.accept`: takes a value that waits for a verdict.
    Accept(JobAccept),
    /// `job.reask`: has it asked for again.
    Reask(JobReask),
    /// `job.get`: asks for its state and value now.
    Get(Named),
    /// `ping`: asks for a `pong`.
    Ping,
}

/// `auth`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The secret; never logged.
    pub token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth { token: <redacted> }")
    }
}

/// `job.create`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobCreate {
    /// Comes back in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The same key and request again name the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What is asked for.
    pub request: JobSpec,
    /// How the creator watches.
    #[serde(default)]
    pub deliver: Deliver,
}

/// `job.attach`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAttach {
    /// Comes back in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The job, a UUID.
    pub job_id: String,
    /// What the client holds already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// How it watches.
    #[serde(default)]
    pub deliver: Deliver,
}

/// A message that names a job and nothing else: `job.detach`, `job.cancel`, `job.get`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Comes back in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The job, a UUID.
    pub job_id: String,
}

/// `job.accept`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAccept {
    /// Comes back in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The job, a UUID.
    pub job_id: String,
    /// The attempt whose value is meant; absent: the one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// `job.reask`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobReask {
    /// Comes back in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The job, a UUID.
    pub job_id: String,
    /// The attempt whose value is meant; absent: the one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What is wrong with it.
    pub errors: Vec<RulingError>,
}

/// One thing that somebody outside finds wrong with a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulingError {
    /// JSON Pointer into the value; `""` is the whole.
    pub path: String,
    /// What is wrong, in words: the model is told.
    pub message: String,
    /// The rule that was broken, in a word of the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<String>,
}

impl RulingError {
    /// The rule of an error that names none.
    pub const KEYWORD: &str = "refused";

    /// As attempts tell what was wrong before them.
    pub fn told(self) -> AttemptError {
        AttemptError {
            path: self.path,
            keyword: self.keyword.unwrap_or_else(|| Self::KEYWORD.to_owned()),
            message: self.message,
            value: None,
        }
    }
}

/// A message that is its type and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {}

/// How a viewer wants its job told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deliver {
    /// The form.
    #[serde(rename = "as")]
    pub form: Form,
    /// How unseen members look.
    pub unseen: Unseen,
    /// How numbers look that doubles would not keep.
    pub bigints: Bigints,
    /// The shortest time between two deliveries of changes, ms.
    pub interval_ms: u32,
    /// Whether `job.note` is told.
    pub notes: bool,
    /// Whether `job.hook` is told, and of the notes what is put right and what is wrong.
    pub hooks: bool,
}

/// The form in which changes are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Ops.
    #[default]
    Patch,
    /// The whole draft each time.
    Snapshot,
    /// The end only.
    Final,
}

/// How members that the schema declares and nobody has seen yet look.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// They are absent.
    #[default]
    Absent,
    /// They are `null`.
    Null,
}

/// How numbers look that a reader whose numbers are doubles would not keep (JavaScript's `JSON.parse`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bigints {
    /// As they are.
    #[default]
    Number,
    /// As strings, digits as written.
    String,
}

impl Deliver {
    /// Whether values look as they are, so that ops fold to what an end tells.
    pub fn is_plain(&self) -> bool {
        self.unseen == Unseen::Absent && self.bigints == Bigints::Number
    }
}

/// A message that cannot be taken: the code, where, and what.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadMessage {
    /// The code.
    pub code: Code,
    /// JSON Pointer into the message; `None` where it is no JSON.
    pub path: Option<String>,
    /// What is wrong and how it would be right.
    pub message: String,
    /// The message's `ref`, where it could be read.
    pub reference: Option<String>,
}

/// What one is told who gives an empty idempotency key: all who do would share one job.
pub const EMPTY_KEY: &str = "an idempotency key is not empty: give one, or leave it out";

/// How much of a client's own words a refusal repeats, in bytes.
const TOLD_BYTES_MAX: usize = 512;

const TYPES: [&str; 9] = [
    "auth",
    "job.create",
    "job.attach",
    "job.detach",
    "job.cancel",
    "job.accept",
    "job.reask",
    "job.get",
    "ping",
];

impl ClientMessage {
    /// Reads a text frame within the limits on depth and values.
    ///
    /// # Errors
    /// What is no message, and where.
    pub fn decode(text: &str, limits: &Limits) -> Result<Self, BadMessage> {
        let mut members = object(text, limits)?;
        let reference = members.get("ref").and_then(Json::as_str).map(str::to_owned);
        let kind = match members.remove("type") {
            Some(Json::String(kind)) => kind,
            other => {
                let given = if other.is_some() {
                    "`type` must be a string"
                } else {
                    "`type` is missing"
                };
                let known = TYPES.join(", ");
                return Err(bad("/type", &format!("{given}: one of {known}"), reference));
            }
        };
        let told = reference.clone();
        match kind.as_str() {
            "auth" => read(members).map(Self::Auth),
            "job.create" => read(members).map(|create| Self::Create(Box::new(create))),
            "job.attach" => read(members).map(Self::Attach),
            "job.detach" => read(members).map(Self::Detach),
            "job.cancel" => read(members).map(Self::Cancel),
            "job.accept" => read(members).map(Self::Accept),
            "job.reask" => read(members).map(Self::Reask),
            "job.get" => read(members).map(Self::Get),
            "ping" => read(members).map(|Bare {}| Self::Ping),
            other => {
                let fault = strict::unknown("type", other, &TYPES);
                Err(bad("/type", &fault.to_string(), reference))
            }
        }
        .map_err(|mut fault| {
            fault.reference = told;
            fault
        })
    }

    /// The message's `ref`, if it has one.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Create(create) => create.reference.as_deref(),
            Self::Attach(attach) => attach.reference.as_deref(),
            Self::Detach(named) | Self::Cancel(named) | Self::Get(named) => named.reference.as_deref(),
            Self::Accept(accept) => accept.reference.as_deref(),
            Self::Reask(reask) => reask.reference.as_deref(),
            Self::Auth(_) | Self::Ping => None,
        }
    }

    /// The message as text, for clients.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let (kind, body) = match self {
            Self::Auth(body) => ("auth", serde_json::to_value(body)?),
            Self::Create(body) => ("job.create", serde_json::to_value(body)?),
            Self::Attach(body) => ("job.attach", serde_json::to_value(body)?),
            Self::Detach(body) => ("job.detach", serde_json::to_value(body)?),
            Self::Cancel(body) => ("job.cancel", serde_json::to_value(body)?),
            Self::Accept(body) => ("job.accept", serde_json::to_value(body)?),
            Self::Reask(body) => ("job.reask", serde_json::to_value(body)?),
            Self::Get(body) => ("job.get", serde_json::to_value(body)?),
            Self::Ping => ("ping", Json::Object(Map::new())),
        };
        let mut members = Map::new();
        members.insert("type".to_owned(), Json::String(kind.to_owned()));
        if let Json::Object(body) = body {
            members.extend(body);
        }
        serde_json::to_string(&members)
    }
}

/// Reads a body of `POST /v1/jobs`: a request, optionally with its `idempotency_key` beside its fields;
/// within the limits on depth and values.
///
/// # Errors
/// What is no such body, and where.
pub fn decode_request(text: &str, limits: &Limits) -> Result<(JobSpec, Option<String>), BadMessage> {
    let mut members = object(text, limits)?;
    let key = match members.remove("idempotency_key") {
        None | Some(Json::Null) => None,
        Some(Json::String(key)) => Some(key),
        Some(_) => return Err(bad("/idempotency_key", "must be a string", None)),
    };
    Ok((read(members)?, key))
}

/// What `POST /v1/jobs/{id}/accept` may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    #[serde(default)]
    attempt: Option<u32>,
}

/// What `POST /v1/jobs/{id}/reask` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReaskBody {
    #[serde(default)]
    attempt: Option<u32>,
    errors: Vec<RulingError>,
}

/// Reads a body of `POST /v1/jobs/{id}/accept`, which may be empty: the attempt that is meant.
///
/// # Errors
/// What is no such body, and where.
pub fn decode_accept(text: &str, limits: &Limits) -> Result<Option<u32>, BadMessage> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    read::<AcceptBody>(object(text, limits)?).map(|body| body.attempt)
}

/// Reads a body of `POST /v1/jobs/{id}/reask`: the attempt that is meant, and what is wrong with its value.
///
/// # Errors
/// What is no such body, and where.
pub fn decode_reask(text: &str, limits: &Limits) -> Result<(Option<u32>, Vec<RulingError>), BadMessage> {
    read::<ReaskBody>(object(text, limits)?).map(|body| (body.attempt, body.errors))
}

fn object(text: &str, limits: &Limits) -> Result<Map<String, Json>, BadMessage> {
    let no_object = |code, told: String| BadMessage {
        code,
        path: None,
        message: format!("a message is one JSON object: {told}"),
        reference: None,
    };
    if let Some((code, told)) = over(text, limits) {
        return Err(no_object(code, told));
    }
    match serde_json::from_str(text) {
        Ok(Plain(Json::Object(members))) => Ok(members),
        Ok(Plain(_)) => Err(no_object(
            Code::BadJson,
            "this is JSON of another type".to_owned(),
        )),
        Err(error) => Err(no_object(Code::BadJson, error.to_string())),
    }
}

/// What of a text is more than may be: looked for before anything recurses over it or takes memory for its values, each
/// of which costs some ten times its bytes. Whether it is JSON at all is the reader's to say.
fn over(text: &str, limits: &Limits) -> Option<(Code, String)> {
    let depth_max = limits.depth_max.min(DEPTH_MAX);
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    // Before each value stands a comma or a bracket that opens, except before the first.
    let mut values = 1_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' if depth == depth_max => {
                let told = format!(
                    "it nests more than {depth_max} deep at {}: put inner parts beside each other",
                    place(text, at)
                );
                return Some((Code::TooDeep, told));
            }
            b'[' | b'{' => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if values > limits.values_max {
            let told = format!(
                "it has more than {} values at {}: send less in one message",
                limits.values_max,
                place(text, at)
            );
            return Some((Code::BadRequest, told));
        }
    }
    None
}

/// Line and column of a byte, for words.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    format!("line {line} column {column}")
}

fn read<T: for<'de> Deserialize<'de>>(members: Map<String, Json>) -> Result<T, BadMessage> {
    serde_path_to_error::deserialize(Strict(Json::Object(members))).map_err(|error| {
        let path = pointer(error.path());
        bad(&path, &error.into_inner().to_string(), None)
    })
}

pub(super) fn bad(path: &str, message: &str, reference: Option<String>) -> BadMessage {
    BadMessage {
        code: Code::BadRequest,
        path: Some(cut(path)),
        message: cut(message),
        reference,
    }
}

/// What a client sent comes back in part only.
fn cut(told: &str) -> String {
    if told.len() <= TOLD_BYTES_MAX {
        return told.to_owned();
    }
    format!("{}…", &told[..told.floor_char_boundary(TOLD_BYTES_MAX)])
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => crate::partial::path::push_segment(&mut out, &index.to_string()),
            Segment::Map { key } => crate::partial::path::push_segment(&mut out, key),
            Segment::Enum { variant } => crate::partial::path::push_segment(&mut out, variant),
            Segment::Unknown => {}
        }
    }
    out
}
