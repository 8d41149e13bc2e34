//! What a client says, as protobuf.

use serde_json::Value as Json;

use super::job::{list, owned};
use super::{BadProto, generated, same_words, word};
use crate::job::{
    Effort, JobLimits, JobSpec, LenientChoice, Message, ModeChoice, Money, OnBadItem, OnLastViewerGone,
    OnViolation, Plain, Priority, ReaskChoice, Reasoning, Role, Sampling, Script, ScriptedPrefill, Wrap,
};
use crate::wire::client::{
    Auth, Bigints, ClientMessage, Deliver, Form, JobAccept, JobAttach, JobCreate, JobReask, Named,
    RulingError, Unseen,
};

same_words!(Form = Form: Patch, Snapshot, Final);
same_words!(Unseen = Unseen: Absent, Null);
same_words!(Bigints = Bigints: Number, String);
same_words!(ModeChoice = Mode: Auto, Tools, JsonSchema, Json, MdJson, ToolsStrict, JsonSchemaStrict);
same_words!(Effort = Effort: None, Minimal, Low, Medium, High);
same_words!(Wrap = Wrap: Iterable, Maybe);
same_words!(LenientChoice = Lenient: Off, On, Auto);
same_words!(ReaskChoice = Reask: Auto, Whole);
same_words!(ScriptedPrefill = ScriptedPrefill: None, GoesOn, Echoes, Restarts, Fences, Refuses);
same_words!(OnViolation = OnViolation: Auto, Finish, Abort);
same_words!(OnBadItem = OnBadItem: Fail, Drop);
same_words!(Role = Role: System, Developer, User, Assistant, Tool);

/// A word by its number, where unspecified means the default.
fn word_or_default<P, T: Default>(field: &'static str, number: i32) -> Result<T, BadProto>
where
    P: TryFrom<i32> + Into<Option<T>>,
{
    match number {
        0 => Ok(T::default()),
        number => word::<P, T>(field, number),
    }
}

fn json(field: &'static str, text: &str) -> Result<Json, BadProto> {
    let read = serde_json::from_str(text);
    read.map(|Plain(json)| json)
        .map_err(|source| BadProto::Json { field, source })
}

impl From<&ClientMessage> for generated::ClientMessage {
    fn from(message: &ClientMessage) -> Self {
        use generated::client_message::Message as Kind;
        let kind = match message {
            ClientMessage::Auth(auth) => Kind::Auth(generated::Auth {
                token: auth.token.clone(),
            }),
            ClientMessage::Create(create) => Kind::JobCreate((&**create).into()),
            ClientMessage::Attach(attach) => Kind::JobAttach(attach.into()),
            ClientMessage::Detach(named) => Kind::JobDetach(generated::JobDetach {
                r#ref: named.reference.clone(),
                job_id: named.job_id.clone(),
            }),
            ClientMessage::Cancel(named) => Kind::JobCancel(generated::JobCancel {
                r#ref: named.reference.clone(),
                job_id: named.job_id.clone(),
            }),
            ClientMessage::Accept(accept) => Kind::JobAccept(generated::JobAccept {
                r#ref: accept.reference.clone(),
                job_id: accept.job_id.clone(),
                attempt: accept.attempt,
            }),
            ClientMessage::Reask(reask) => Kind::JobReask(generated::JobReask {
                r#ref: reask.reference.clone(),
                job_id: reask.job_id.clone(),
                attempt: reask.attempt,
                errors: list(&reask.errors),
            }),
            ClientMessage::Get(named) => Kind::JobGet(generated::JobGet {
                r#ref: named.reference.clone(),
                job_id: named.job_id.clone(),
            }),
            ClientMessage::Ping => Kind::Ping(generated::Ping {}),
        };
        Self { message: Some(kind) }
    }
}

impl TryFrom<generated::ClientMessage> for ClientMessage {
    type Error = BadProto;

    fn try_from(message: generated::ClientMessage) -> Result<Self, BadProto> {
        use generated::client_message::Message as Kind;
        let named = |reference, job_id| Named { reference, job_id };
        Ok(match message.message.ok_or(BadProto::Missing("message"))? {
            Kind::Auth(auth) => Self::Auth(Auth { token: auth.token }),
            Kind::JobCreate(create) => Self::Create(Box::new(create.try_into()?)),
            Kind::JobAttach(attach) => Self::Attach(attach.try_into()?),
            Kind::JobDetach(detach) => Self::Detach(named(detach.r#ref, detach.job_id)),
            Kind::JobCancel(cancel) => Self::Cancel(named(cancel.r#ref, cancel.job_id)),
            Kind::JobAccept(accept) => Self::Accept(JobAccept {
                reference: accept.r#ref,
                job_id: accept.job_id,
                attempt: accept.attempt,
            }),
            Kind::JobReask(reask) => Self::Reask(JobReask {
                reference: reask.r#ref,
                job_id: reask.job_id,
                attempt: reask.attempt,
                errors: owned(reask.errors),
            }),
            Kind::JobGet(get) => Self::Get(named(get.r#ref, get.job_id)),
            Kind::Ping(generated::Ping {}) => Self::Ping,
        })
    }
}

impl From<&RulingError> for generated::RulingError {
    fn from(error: &RulingError) -> Self {
        Self {
            path: error.path.clone(),
            message: error.message.clone(),
            keyword: error.keyword.clone(),
        }
    }
}

impl From<generated::RulingError> for RulingError {
    fn from(error: generated::RulingError) -> Self {
        Self {
            path: error.path,
            message: error.message,
            keyword: error.keyword,
        }
    }
}

impl From<&JobCreate> for generated::JobCreate {
    fn from(create: &JobCreate) -> Self {
        Self {
            r#ref: create.reference.clone(),
            idempotency_key: create.idempotency_key.clone(),
            request: Some((&create.request).into()),
            deliver: Some(create.deliver.into()),
        }
    }
}

impl TryFrom<generated::JobCreate> for JobCreate {
    type Error = BadProto;

    fn try_from(create: generated::JobCreate) -> Result<Self, BadProto> {
        Ok(Self {
            reference: create.r#ref,
            idempotency_key: create.idempotency_key,
            request: create.request.ok_or(BadProto::Missing("request"))?.try_into()?,
            deliver: create.deliver.unwrap_or_default().try_into()?,
        })
    }
}

impl From<&JobAttach> for generated::JobAttach {
    fn from(attach: &JobAttach) -> Self {
        Self {
            r#ref: attach.reference.clone(),
            job_id: attach.job_id.clone(),
            position: attach.position.map(Into::into),
            deliver: Some(attach.deliver.into()),
        }
    }
}

impl TryFrom<generated::JobAttach> for JobAttach {
    type Error = BadProto;

    fn try_from(attach: generated::JobAttach) -> Result<Self, BadProto> {
        Ok(Self {
            reference: attach.r#ref,
            job_id: attach.job_id,
            position: attach.position.map(Into::into),
            deliver: attach.deliver.unwrap_or_default().try_into()?,
        })
    }
}

impl From<Deliver> for generated::Deliver {
    fn from(deliver: Deliver) -> Self {
        Self {
            form: generated::Form::from(deliver.form).into(),
            unseen: generated::Unseen::from(deliver.unseen).into(),
            bigints: generated::Bigints::from(deliver.bigints).into(),
            interval_ms: deliver.interval_ms,
            notes: deliver.notes,
            hooks: deliver.hooks,
        }
    }
}

impl TryFrom<generated::Deliver> for Deliver {
    type Error = BadProto;

    fn try_from(deliver: generated::Deliver) -> Result<Self, BadProto> {
        Ok(Self {
            form: word_or_default::<generated::Form, _>("form", deliver.form)?,
            unseen: word_or_default::<generated::Unseen, _>("unseen", deliver.unseen)?,
            bigints: word_or_default::<generated::Bigints, _>("bigints", deliver.bigints)?,
            interval_ms: deliver.interval_ms,
            notes: deliver.notes,
            hooks: deliver.hooks,
        })
    }
}

impl From<&JobSpec> for generated::JobRequest {
    fn from(spec: &JobSpec) -> Self {
        Self {
            model: spec.model.clone(),
            messages: list(&spec.messages),
            input: spec.input.clone(),
            schema_json: spec.schema.to_string(),
            mode: generated::Mode::from(spec.mode).into(),
            max_reasks: Some(spec.max_reasks),
            flush_ms: Some(spec.flush_ms),
            sampling: Some((&spec.sampling).into()),
            limits: Some(spec.limits.into()),
            metadata: spec.metadata.clone().into_iter().collect(),
            script: spec.script.as_ref().map(Into::into),
            wrap: spec.wrap.map_or(0, |wrap| generated::Wrap::from(wrap).into()),
            lenient: generated::Lenient::from(spec.lenient).into(),
            reask: generated::Reask::from(spec.reask).into(),
            on_violation: generated::OnViolation::from(spec.on_violation).into(),
            on_bad_item: generated::OnBadItem::from(spec.on_bad_item).into(),
            verdict_ms: spec.verdict_ms,
            cancel_after_ms: spec.on_last_viewer_gone.cancel_after_ms(),
            priority: (spec.priority != Priority::default()).then_some(spec.priority.0),
            hooks: spec.hooks,
            context_json: spec.context.as_ref().map(Json::to_string),
            reasoning: spec.reasoning.map(Into::into),
        }
    }
}

impl TryFrom<generated::JobRequest> for JobSpec {
    type Error = BadProto;

    fn try_from(request: generated::JobRequest) -> Result<Self, BadProto> {
        let messages = request.messages.into_iter().map(Message::try_from);
        let context = request.context_json.map(|text| json("context_json", &text));
        Ok(Self {
            model: request.model,
            messages: messages.collect::<Result<_, _>>()?,
            input: request.input,
            schema: json("schema_json", &request.schema_json)?,
            mode: word_or_default::<generated::Mode, _>("mode", request.mode)?,
            wrap: match request.wrap {
                0 => None,
                number => Some(word::<generated::Wrap, _>("wrap", number)?),
            },
            lenient: word_or_default::<generated::Lenient, _>("lenient", request.lenient)?,
            reask: word_or_default::<generated::Reask, _>("reask", request.reask)?,
            on_violation: word_or_default::<generated::OnViolation, _>("on_violation", request.on_violation)?,
            on_bad_item: word_or_default::<generated::OnBadItem, _>("on_bad_item", request.on_bad_item)?,
            verdict_ms: request.verdict_ms,
            on_last_viewer_gone: request
                .cancel_after_ms
                .map_or(OnLastViewerGone::Continue, OnLastViewerGone::CancelAfterMs),
            priority: request.priority.map_or_else(Priority::default, Priority),
            hooks: request.hooks,
            max_reasks: request.max_reasks.unwrap_or(Self::DEFAULT_REASKS),
            flush_ms: request.flush_ms.unwrap_or(Self::DEFAULT_FLUSH_MS),
            sampling: request.sampling.unwrap_or_default().into(),
            limits: request.limits.unwrap_or_default().into(),
            metadata: request.metadata.into_iter().collect(),
            script: request.script.map(Script::try_from).transpose()?,
            context: context.transpose()?,
            reasoning: request.reasoning.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Message> for generated::PromptMessage {
    fn from(message: &Message) -> Self {
        Self {
            role: generated::Role::from(message.role).into(),
            content_json: Some(message.content.to_string()),
            tool_calls_json: message.tool_calls.as_ref().map(Json::to_string),
            tool_call_id: message.tool_call_id.clone(),
        }
    }
}

impl TryFrom<generated::PromptMessage> for Message {
    type Error = BadProto;

    fn try_from(message: generated::PromptMessage) -> Result<Self, BadProto> {
        let content = message.content_json.map(|text| json("content_json", &text));
        let calls = message.tool_calls_json.map(|text| json("tool_calls_json", &text));
        Ok(Self {
            role: word::<generated::Role, _>("role", message.role)?,
            content: content.transpose()?.unwrap_or_default(),
            tool_calls: calls.transpose()?,
            tool_call_id: message.tool_call_id,
        })
    }
}

impl From<&Sampling> for generated::Sampling {
    fn from(sampling: &Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            seed: sampling.seed,
            stop: sampling.stop.clone(),
        }
    }
}

impl From<generated::Sampling> for Sampling {
    fn from(sampling: generated::Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            seed: sampling.seed,
            stop: owned(sampling.stop),
        }
    }
}

impl From<Reasoning> for generated::Reasoning {
    fn from(reasoning: Reasoning) -> Self {
        Self {
            effort: reasoning
                .effort
                .map_or(0, |effort| generated::Effort::from(effort).into()),
            tokens: reasoning.tokens,
        }
    }
}

impl TryFrom<generated::Reasoning> for Reasoning {
    type Error = BadProto;

    fn try_from(reasoning: generated::Reasoning) -> Result<Self, BadProto> {
        Ok(Self {
            effort: match reasoning.effort {
                0 => None,
                number => Some(word::<generated::Effort, _>("effort", number)?),
            },
            tokens: reasoning.tokens,
        })
    }
}

impl From<JobLimits> for generated::JobLimits {
    fn from(limits: JobLimits) -> Self {
        Self {
            tokens: limits.tokens,
            bytes: limits.bytes,
            seconds: limits.seconds,
            total_tokens: limits.total_tokens,
            cost_micros: limits.cost.map(Money::as_micros),
            attempts: limits.attempts,
        }
    }
}

impl From<generated::JobLimits> for JobLimits {
    fn from(limits: generated::JobLimits) -> Self {
        Self {
            tokens: limits.tokens,
            bytes: limits.bytes,
            seconds: limits.seconds,
            total_tokens: limits.total_tokens,
            cost: limits.cost_micros.map(Money::micros),
            attempts: limits.attempts,
        }
    }
}

impl From<&Script> for generated::Script {
    fn from(script: &Script) -> Self {
        Self {
            tokens_per_second: Some(script.tokens_per_second),
            token_chars: Some(script.token_chars),
            invalid_attempts: script.invalid_attempts,
            invalid_at: script.invalid_at.clone(),
            broken_attempts: script.broken_attempts,
            sloppy_attempts: script.sloppy_attempts,
            rate_limited_attempts: script.rate_limited_attempts,
            stop_by_length_after: script.stop_by_length_after,
            cut_after: script.cut_after,
            hang_after: script.hang_after,
            error_after: script.error_after,
            cut_at_percent: script.cut_at_percent,
            stop_by_length_at_percent: script.stop_by_length_at_percent,
            blanks_after: script.blanks_after,
            loop_after: script.loop_after,
            prefill: generated::ScriptedPrefill::from(script.prefill).into(),
            fault_attempts: script.fault_attempts,
            refuse: script.refuse,
            prose: script.prose,
            think: script.think,
            seed: script.seed,
            items: Some(script.items),
            text_chars: Some(script.text_chars),
        }
    }
}

impl TryFrom<generated::Script> for Script {
    type Error = BadProto;

    fn try_from(script: generated::Script) -> Result<Self, BadProto> {
        let unsaid = Self::default();
        Ok(Self {
            tokens_per_second: script.tokens_per_second.unwrap_or(unsaid.tokens_per_second),
            token_chars: script.token_chars.unwrap_or(unsaid.token_chars),
            invalid_attempts: script.invalid_attempts,
            invalid_at: script.invalid_at,
            broken_attempts: script.broken_attempts,
            sloppy_attempts: script.sloppy_attempts,
            rate_limited_attempts: script.rate_limited_attempts,
            stop_by_length_after: script.stop_by_length_after,
            cut_after: script.cut_after,
            hang_after: script.hang_after,
            error_after: script.error_after,
            cut_at_percent: script.cut_at_percent,
            stop_by_length_at_percent: script.stop_by_length_at_percent,
            blanks_after: script.blanks_after,
            loop_after: script.loop_after,
            prefill: word_or_default::<generated::ScriptedPrefill, _>("script.prefill", script.prefill)?,
            fault_attempts: script.fault_attempts,
            refuse: script.refuse,
            prose: script.prose,
            think: script.think,
            seed: script.seed,
            items: script.items.unwrap_or(unsaid.items),
            text_chars: script.text_chars.unwrap_or(unsaid.text_chars),
        })
    }
}
