//! What a server says, as protobuf: the envelope, and what happens to a job. Answers are in [`answer`](super::answer).

use super::job::{attempts, list, owned, paths, read_ops, reason, state, write_ops};
use super::{BadProto, generated, raw_option, word};
use crate::event::{AttemptBegins, Epoch, Hook, Note, Places, StatusChange};
use crate::wire::server::{
    Goodbye, JobDegraded, JobDetached, JobEnd, JobEvent, JobPatch, JobSnapshot, Patch, ServerMessage,
};

impl TryFrom<&ServerMessage> for generated::ServerMessage {
    type Error = BadProto;

    fn try_from(message: &ServerMessage) -> Result<Self, BadProto> {
        use generated::server_message::Message as Kind;
        let kind = match message {
            ServerMessage::Welcome(welcome) => Kind::Welcome((&**welcome).into()),
            ServerMessage::Accepted(accepted) => Kind::JobAccepted(accepted.into()),
            ServerMessage::Attached(attached) => Kind::JobAttached(attached.into()),
            ServerMessage::Detached(detached) => Kind::JobDetached(generated::JobDetached {
                r#ref: detached.reference.clone(),
                job_id: detached.job_id.clone(),
            }),
            ServerMessage::Cancelling(cancelling) => Kind::JobCancelling(cancelling.into()),
            ServerMessage::Ruled(ruled) => Kind::JobRuled(ruled.into()),
            ServerMessage::State(now) => Kind::JobState((&**now).into()),
            ServerMessage::Snapshot(snapshot) => Kind::JobSnapshot((&**snapshot).into()),
            ServerMessage::Patch(patch) => Kind::Patch(patch.try_into()?),
            ServerMessage::LongPatch(patch) => Kind::JobPatch(patch.try_into()?),
            ServerMessage::Status(status) => Kind::JobStatus(status.into()),
            ServerMessage::Attempt(attempt) => Kind::JobAttempt((&**attempt).into()),
            ServerMessage::Note(note) => Kind::JobNote(note.into()),
            ServerMessage::Hook(hook) => Kind::JobHook((&**hook).into()),
            ServerMessage::End(end) => Kind::JobEnd((&**end).into()),
            ServerMessage::Degraded(degraded) => Kind::Degraded(generated::Degraded {
                job_id: degraded.job_id.clone(),
                active: degraded.active,
            }),
            ServerMessage::Error(error) => Kind::Error((&**error).into()),
            ServerMessage::Goodbye(goodbye) => Kind::Goodbye(generated::Goodbye {
                reconnect_after_ms: goodbye.reconnect_after_ms,
            }),
            ServerMessage::Pong => Kind::Pong(generated::Pong {}),
        };
        Ok(Self { message: Some(kind) })
    }
}

impl TryFrom<generated::ServerMessage> for ServerMessage {
    type Error = BadProto;

    fn try_from(message: generated::ServerMessage) -> Result<Self, BadProto> {
        use generated::server_message::Message as Kind;
        Ok(match message.message.ok_or(BadProto::Missing("message"))? {
            Kind::Welcome(welcome) => Self::Welcome(Box::new(welcome.into())),
            Kind::JobAccepted(accepted) => Self::Accepted(accepted.into()),
            Kind::JobAttached(attached) => Self::Attached(attached.into()),
            Kind::JobDetached(detached) => Self::Detached(JobDetached {
                reference: detached.r#ref,
                job_id: detached.job_id,
            }),
            Kind::JobCancelling(cancelling) => Self::Cancelling(cancelling.try_into()?),
            Kind::JobRuled(ruled) => Self::Ruled(ruled.into()),
            Kind::JobState(now) => Self::State(Box::new(now.try_into()?)),
            Kind::JobSnapshot(snapshot) => Self::Snapshot(Box::new(snapshot.try_into()?)),
            Kind::Patch(patch) => Self::Patch(patch.try_into()?),
            Kind::JobPatch(patch) => Self::LongPatch(patch.try_into()?),
            Kind::JobStatus(status) => Self::Status(status.try_into()?),
            Kind::JobAttempt(attempt) => Self::Attempt(Box::new(attempt.try_into()?)),
            Kind::JobNote(note) => Self::Note(note.try_into()?),
            Kind::JobHook(hook) => Self::Hook(Box::new(hook.try_into()?)),
            Kind::JobEnd(end) => Self::End(Box::new(end.try_into()?)),
            Kind::Degraded(degraded) => Self::Degraded(JobDegraded {
                job_id: degraded.job_id,
                active: degraded.active,
            }),
            Kind::Error(error) => Self::Error(Box::new(error.into())),
            Kind::Goodbye(goodbye) => Self::Goodbye(Goodbye {
                reconnect_after_ms: goodbye.reconnect_after_ms,
            }),
            Kind::Pong(generated::Pong {}) => Self::Pong,
        })
    }
}

impl From<&JobSnapshot> for generated::JobSnapshot {
    fn from(snapshot: &JobSnapshot) -> Self {
        let attempts = snapshot.attempts.as_ref();
        Self {
            job_id: snapshot.job_id.clone(),
            epoch: snapshot.epoch.bits(),
            seq: snapshot.seq,
            status: generated::JobState::from(snapshot.status).into(),
            reason: snapshot.reason.clone(),
            until_ms: snapshot.until_ms,
            attempt: snapshot.attempt,
            attempts: attempts.map(|told| generated::Attempts { attempts: list(told) }),
            value_json: snapshot.value.as_ref().map(|value| value.get().to_owned()),
            cursor: snapshot.cursor.clone(),
            at: snapshot.at.clone(),
            part: snapshot.part,
            parts: snapshot.parts,
            text: snapshot.text.clone(),
        }
    }
}

impl TryFrom<generated::JobSnapshot> for JobSnapshot {
    type Error = BadProto;

    fn try_from(snapshot: generated::JobSnapshot) -> Result<Self, BadProto> {
        let told = snapshot.attempts.map(|told| attempts(told.attempts));
        Ok(Self {
            job_id: snapshot.job_id,
            epoch: Epoch::new(snapshot.epoch),
            seq: snapshot.seq,
            status: state(snapshot.status)?,
            reason: snapshot.reason,
            until_ms: snapshot.until_ms,
            attempt: snapshot.attempt,
            attempts: told.transpose()?,
            value: raw_option("value_json", snapshot.value_json)?,
            cursor: snapshot.cursor,
            at: snapshot.at,
            part: snapshot.part,
            parts: snapshot.parts,
            text: snapshot.text,
        })
    }
}

impl TryFrom<&Patch> for generated::Patch {
    type Error = BadProto;

    fn try_from(patch: &Patch) -> Result<Self, BadProto> {
        Ok(Self {
            tag: patch.tag.clone(),
            seq: patch.seq,
            ops: read_ops(&patch.ops)?,
            at: patch.at.as_ref().map(paths),
        })
    }
}

impl TryFrom<generated::Patch> for Patch {
    type Error = BadProto;

    fn try_from(patch: generated::Patch) -> Result<Self, BadProto> {
        Ok(Self {
            tag: patch.tag,
            seq: patch.seq,
            ops: write_ops(patch.ops)?,
            at: patch.at.map(|at| Places(at.paths)),
        })
    }
}

impl TryFrom<&JobPatch> for generated::JobPatch {
    type Error = BadProto;

    fn try_from(patch: &JobPatch) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: patch.job_id.clone(),
            seq: patch.seq,
            ops: read_ops(&patch.ops)?,
            at: patch.at.as_ref().map(paths),
        })
    }
}

impl TryFrom<generated::JobPatch> for JobPatch {
    type Error = BadProto;

    fn try_from(patch: generated::JobPatch) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: patch.job_id,
            seq: patch.seq,
            ops: write_ops(patch.ops)?,
            at: patch.at.map(|at| Places(at.paths)),
        })
    }
}

impl From<&JobEvent<StatusChange>> for generated::JobStatus {
    fn from(status: &JobEvent<StatusChange>) -> Self {
        Self {
            job_id: status.job_id.clone(),
            epoch: status.epoch.bits(),
            seq: status.seq,
            status: generated::JobState::from(status.event.status).into(),
            reason: status.event.reason.clone(),
            until_ms: status.event.until_ms,
        }
    }
}

impl TryFrom<generated::JobStatus> for JobEvent<StatusChange> {
    type Error = BadProto;

    fn try_from(status: generated::JobStatus) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: status.job_id,
            epoch: Epoch::new(status.epoch),
            seq: status.seq,
            event: StatusChange {
                status: state(status.status)?,
                reason: status.reason,
                until_ms: status.until_ms,
            },
        })
    }
}

impl From<&JobEvent<AttemptBegins>> for generated::JobAttempt {
    fn from(attempt: &JobEvent<AttemptBegins>) -> Self {
        Self {
            job_id: attempt.job_id.clone(),
            epoch: attempt.epoch.bits(),
            seq: attempt.seq,
            attempt: attempt.event.attempt,
            reason: generated::Reason::from(attempt.event.reason).into(),
            reset: attempt.event.reset,
            at: attempt.event.at.clone(),
            errors: list(&attempt.event.errors),
        }
    }
}

impl TryFrom<generated::JobAttempt> for JobEvent<AttemptBegins> {
    type Error = BadProto;

    fn try_from(attempt: generated::JobAttempt) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: attempt.job_id,
            epoch: Epoch::new(attempt.epoch),
            seq: attempt.seq,
            event: AttemptBegins {
                attempt: attempt.attempt,
                reason: reason(attempt.reason)?,
                reset: attempt.reset,
                at: attempt.at,
                errors: owned(attempt.errors),
            },
        })
    }
}

impl From<&JobEvent<Note>> for generated::JobNote {
    fn from(note: &JobEvent<Note>) -> Self {
        Self {
            job_id: note.job_id.clone(),
            epoch: note.epoch.bits(),
            seq: note.seq,
            kind: generated::NoteKind::from(note.event.kind).into(),
            text: note.event.text.clone(),
            errors: list(&note.event.errors),
        }
    }
}

impl TryFrom<generated::JobNote> for JobEvent<Note> {
    type Error = BadProto;

    fn try_from(note: generated::JobNote) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: note.job_id,
            epoch: Epoch::new(note.epoch),
            seq: note.seq,
            event: Note {
                kind: word::<generated::NoteKind, _>("kind", note.kind)?,
                text: note.text,
                errors: owned(note.errors),
            },
        })
    }
}

impl From<&JobEvent<Hook>> for generated::JobHook {
    fn from(hook: &JobEvent<Hook>) -> Self {
        let told = &hook.event;
        Self {
            job_id: hook.job_id.clone(),
            epoch: hook.epoch.bits(),
            seq: hook.seq,
            kind: generated::HookKind::from(told.kind).into(),
            attempt: told.attempt,
            provider: told.provider.clone(),
            model: told.model.clone(),
            mode: told.mode.clone(),
            messages: told.messages,
            prompt_bytes: told.prompt_bytes,
            schema_bytes: told.schema_bytes,
            max_tokens: told.max_tokens,
            after_ms: told.after_ms,
            finish: told.finish.clone(),
            errors: list(&told.errors),
            usage: told.usage.map(Into::into),
            total: told.total.map(Into::into),
        }
    }
}

impl TryFrom<generated::JobHook> for JobEvent<Hook> {
    type Error = BadProto;

    fn try_from(hook: generated::JobHook) -> Result<Self, BadProto> {
        Ok(Self {
            job_id: hook.job_id,
            epoch: Epoch::new(hook.epoch),
            seq: hook.seq,
            event: Hook {
                kind: word::<generated::HookKind, _>("kind", hook.kind)?,
                attempt: hook.attempt,
                provider: hook.provider,
                model: hook.model,
                mode: hook.mode,
                messages: hook.messages,
                prompt_bytes: hook.prompt_bytes,
                schema_bytes: hook.schema_bytes,
                max_tokens: hook.max_tokens,
                after_ms: hook.after_ms,
                finish: hook.finish,
                errors: owned(hook.errors),
                usage: hook.usage.map(Into::into),
                total: hook.total.map(Into::into),
            },
        })
    }
}

impl From<&JobEnd> for generated::JobEnd {
    fn from(end: &JobEnd) -> Self {
        Self {
            outcome: generated::Outcome::from(end.outcome).into(),
            job_id: end.job_id.clone(),
            epoch: end.epoch.bits(),
            seq: end.seq,
            attempt: end.attempt,
            error: end.error.as_ref().map(Into::into),
            value_json: end.value.as_ref().map(|value| value.get().to_owned()),
            sha256: end.sha256.clone(),
            best_json: end.best.as_ref().map(|best| best.get().to_owned()),
            usage: Some(end.usage.into()),
            attempts: list(&end.attempts),
            timings: Some(end.timings.into()),
            durable: Some(end.durable),
        }
    }
}

impl TryFrom<generated::JobEnd> for JobEnd {
    type Error = BadProto;

    fn try_from(end: generated::JobEnd) -> Result<Self, BadProto> {
        Ok(Self {
            outcome: word::<generated::Outcome, _>("outcome", end.outcome)?,
            job_id: end.job_id,
            epoch: Epoch::new(end.epoch),
            seq: end.seq,
            attempt: end.attempt,
            error: end.error.map(Into::into),
            value: raw_option("value_json", end.value_json)?,
            sha256: end.sha256,
            best: raw_option("best_json", end.best_json)?,
            usage: end.usage.unwrap_or_default().into(),
            attempts: owned(end.attempts),
            timings: end.timings.unwrap_or_default().into(),
            durable: end.durable.unwrap_or(true),
        })
    }
}
