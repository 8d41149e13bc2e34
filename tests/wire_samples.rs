//! Messages to test the protocol with: every type, and the edges that a strategy would seldom make.

use std::collections::BTreeMap;

use livedraft::event::{EndError, Epoch, Places, Position, Timings};
use livedraft::job::{
    JobLimits, JobSpec, JobState, LenientChoice, Message, ModeChoice, OnBadItem, OnLastViewerGone,
    OnViolation, Outcome, ReaskChoice, Reasoning, Role, Sampling, Script, Usage,
};
use livedraft::wire::{
    Auth, ClientMessage, Deliver, JobAttach, JobCreate, JobEnd, JobPatch, JobSnapshot, Patch, ServerMessage,
};
use serde_json::json;
use serde_json::value::RawValue;

/// Every `type` a client can send.
pub(crate) const CLIENT_TYPES: &[&str] = &[
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

/// Every `type` a server can send; `patch` is the hot frame, which has none.
pub(crate) const SERVER_TYPES: &[&str] = &[
    "welcome",
    "job.accepted",
    "job.attached",
    "job.detached",
    "job.cancelling",
    "job.ruled",
    "job.state",
    "job.snapshot",
    "patch",
    "job.patch",
    "job.status",
    "job.attempt",
    "job.note",
    "job.hook",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.incomplete",
    "degraded",
    "error",
    "goodbye",
    "pong",
];

/// Values whose text must survive to the last digit.
pub(crate) const VALUES: &[&str] = &[
    "null",
    "true",
    "1.0",
    "-0",
    "1e400",
    "12345678901234567890.10",
    "\"\"",
    "\"é😀\\u0000\\\"\\\\/\"",
    "{}",
    "[]",
    "{\"__proto__\":{\"a\":1.0},\"\":[null,1E+2],\"a/b\":\"~\"}",
];

/// The `type` of a message; a variant that is not listed here does not compile.
pub(crate) fn client_type(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Auth(_) => "auth",
        ClientMessage::Create(_) => "job.create",
        ClientMessage::Attach(_) => "job.attach",
        ClientMessage::Detach(_) => "job.detach",
        ClientMessage::Cancel(_) => "job.cancel",
        ClientMessage::Accept(_) => "job.accept",
        ClientMessage::Reask(_) => "job.reask",
        ClientMessage::Get(_) => "job.get",
        ClientMessage::Ping => "ping",
    }
}

/// The `type` of a message; a variant that is not listed here does not compile.
pub(crate) fn server_type(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Welcome(_) => "welcome",
        ServerMessage::Accepted(_) => "job.accepted",
        ServerMessage::Attached(_) => "job.attached",
        ServerMessage::Detached(_) => "job.detached",
        ServerMessage::Cancelling(_) => "job.cancelling",
        ServerMessage::Ruled(_) => "job.ruled",
        ServerMessage::State(_) => "job.state",
        ServerMessage::Snapshot(_) => "job.snapshot",
        ServerMessage::Patch(_) => "patch",
        ServerMessage::LongPatch(_) => "job.patch",
        ServerMessage::Status(_) => "job.status",
        ServerMessage::Attempt(_) => "job.attempt",
        ServerMessage::Note(_) => "job.note",
        ServerMessage::Hook(_) => "job.hook",
        ServerMessage::End(end) => match end.outcome {
            Outcome::Completed => "job.completed",
            Outcome::Failed => "job.failed",
            Outcome::Cancelled => "job.cancelled",
            Outcome::Incomplete => "job.incomplete",
        },
        ServerMessage::Degraded(_) => "degraded",
        ServerMessage::Error(_) => "error",
        ServerMessage::Goodbye(_) => "goodbye",
        ServerMessage::Pong => "pong",
    }
}

/// JSON, its text as it is.
pub(crate) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

const JOB: &str = "0193a3c4-5d6e-7f80-9123-456789abcdef";

/// Edges of client messages that a strategy would seldom make.
pub(crate) fn client_edges() -> Vec<ClientMessage> {
    let spec = || JobSpec {
        model: "scripted".to_owned(),
        messages: Vec::new(),
        input: Some("Ada, 36".to_owned()),
        schema: json!({"type": "object", "properties": {"__proto__": {"const": 1.0}, "": true}}),
        mode: ModeChoice::default(),
        wrap: None,
        lenient: LenientChoice::default(),
        reask: ReaskChoice::default(),
        on_violation: OnViolation::default(),
        on_bad_item: OnBadItem::default(),
        verdict_ms: None,
        on_last_viewer_gone: OnLastViewerGone::default(),
        hooks: false,
        max_reasks: 0,
        flush_ms: 0,
        sampling: Sampling::default(),
        limits: JobLimits::default(),
        metadata: BTreeMap::new(),
        script: None,
        context: None,
        reasoning: None,
    };
    let create = |request| {
        ClientMessage::Create(Box::new(JobCreate {
            reference: None,
            idempotency_key: None,
            request,
            deliver: Deliver::default(),
        }))
    };
    let empty = Message {
        role: Role::Assistant,
        content: json!(null),
        tool_calls: Some(json!([{"id": "c1"}])),
        tool_call_id: None,
    };
    vec![
        ClientMessage::Ping,
        ClientMessage::Auth(Auth { token: String::new() }),
        create(spec()),
        create(JobSpec {
            on_last_viewer_gone: OnLastViewerGone::CancelAfterMs(0),
            verdict_ms: Some(1),
            ..spec()
        }),
        create(JobSpec {
            schema: json!(true),
            mode: ModeChoice::ToolsStrict,
            context: Some(json!({})),
            reasoning: Some(Reasoning::default()),
            ..spec()
        }),
        create(JobSpec {
            input: None,
            messages: vec![empty, Message::text(Role::User, "é😀\u{0}")],
            script: Some(Script::default()),
            ..spec()
        }),
        ClientMessage::Attach(JobAttach {
            reference: Some(String::new()),
            job_id: JOB.to_owned(),
            position: Some(Position {
                epoch: Epoch::new(u64::MAX),
                seq: 0,
            }),
            deliver: Deliver::default(),
        }),
    ]
}

/// Edges of server messages: every value of [`VALUES`] in every place that holds one, absent options, parts.
pub(crate) fn server_edges() -> Vec<ServerMessage> {
    let mut edges = vec![ServerMessage::Pong];
    let snapshot = || JobSnapshot {
        job_id: JOB.to_owned(),
        epoch: Epoch::new(0),
        seq: 1,
        status: JobState::Queued,
        reason: None,
        until_ms: None,
        attempt: 0,
        attempts: Some(Vec::new()),
        value: None,
        cursor: None,
        at: Vec::new(),
        part: None,
        parts: None,
        text: None,
    };
    edges.push(ServerMessage::Snapshot(Box::new(snapshot())));
    edges.push(ServerMessage::Snapshot(Box::new(JobSnapshot {
        attempts: None,
        part: Some(2),
        parts: Some(3),
        text: Some("\\u00".to_owned()),
        ..snapshot()
    })));
    for value in VALUES {
        let snapshot = JobSnapshot {
            value: Some(raw(value)),
            cursor: Some(String::new()),
            at: vec![String::new()],
            ..snapshot()
        };
        edges.push(ServerMessage::Snapshot(Box::new(snapshot)));
        edges.push(ServerMessage::Patch(Patch {
            tag: "0abcde".to_owned(),
            seq: u64::MAX,
            ops: raw(&format!(
                "[[\"/__proto__\",{value},0],[\"\"],[\"/~1\",\"é\"],[\"\",null,1]]"
            )),
            at: Some(Places(Vec::new())),
        }));
        edges.push(ServerMessage::End(Box::new(JobEnd {
            outcome: Outcome::Incomplete,
            job_id: JOB.to_owned(),
            epoch: Epoch::new(7),
            seq: 2,
            attempt: 1,
            error: Some(EndError::new("length", "")),
            value: Some(raw(value)),
            sha256: None,
            best: Some(raw(value)),
            usage: Usage::default(),
            attempts: Vec::new(),
            durable: false,
            timings: Timings::default(),
        })));
    }
    edges.push(ServerMessage::LongPatch(JobPatch {
        job_id: JOB.to_owned(),
        seq: 3,
        ops: raw("[]"),
        at: None,
    }));
    edges
}
