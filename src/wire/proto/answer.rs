//! What a server answers, as protobuf: to the opening of a socket, to requests, to what cannot be taken.

use super::job::{attempts, list, state};
use super::{BadProto, generated, raw_option};
use crate::event::Epoch;
use crate::wire::limits::Limits;
use crate::wire::server::{
    ErrorMessage, JobAccepted, JobAttached, JobCancelling, JobRuled, JobStateNow, Welcome,
};

impl From<&Welcome> for generated::Welcome {
    fn from(welcome: &Welcome) -> Self {
        Self {
            connection_id: welcome.connection_id.clone(),
            version: welcome.version.clone(),
            heartbeat_ms: welcome.heartbeat_ms,
            limits: Some(welcome.limits.into()),
            models: welcome.models.clone(),
        }
    }
}

impl From<generated::Welcome> for Welcome {
    fn from(welcome: generated::Welcome) -> Self {
        Self {
            connection_id: welcome.connection_id,
            version: welcome.version,
            heartbeat_ms: welcome.heartbeat_ms,
            limits: welcome.limits.unwrap_or_default().into(),
            models: welcome.models,
        }
    }
}

impl From<Limits> for generated::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            message_bytes_max: limits.message_bytes_max,
            depth_max: limits.depth_max,
            values_max: limits.values_max,
            viewers_max: limits.viewers_max,
            pending_max: limits.pending_max,
            messages_per_second_max: limits.messages_per_second_max,
            snapshot_part_bytes: limits.snapshot_part_bytes,
            end_value_bytes: limits.end_value_bytes,
            ref_bytes_max: limits.ref_bytes_max,
            idempotency_key_bytes_max: limits.idempotency_key_bytes_max,
        }
    }
}

impl From<generated::Limits> for Limits {
    fn from(limits: generated::Limits) -> Self {
        Self {
            message_bytes_max: limits.message_bytes_max,
            depth_max: limits.depth_max,
            values_max: limits.values_max,
            viewers_max: limits.viewers_max,
            pending_max: limits.pending_max,
            messages_per_second_max: limits.messages_per_second_max,
            snapshot_part_bytes: limits.snapshot_part_bytes,
            end_value_bytes: limits.end_value_bytes,
            ref_bytes_max: limits.ref_bytes_max,
            idempotency_key_bytes_max: limits.idempotency_key_bytes_max,
        }
    }
}

impl From<&JobAccepted> for generated::JobAccepted {
    fn from(accepted: &JobAccepted) -> Self {
        Self {
            r#ref: accepted.reference.clone(),
            job_id: accepted.job_id.clone(),
            tag: accepted.tag.clone(),
            epoch: accepted.epoch.bits(),
            seq: accepted.seq,
            ahead: accepted.ahead,
            existing: accepted.existing,
            durable: (!accepted.durable).then_some(false),
        }
    }
}

impl From<generated::JobAccepted> for JobAccepted {
    fn from(accepted: generated::JobAccepted) -> Self {
        Self {
            reference: accepted.r#ref,
            job_id: accepted.job_id,
            tag: accepted.tag,
            epoch: Epoch::new(accepted.epoch),
            seq: accepted.seq,
            ahead: accepted.ahead,
            existing: accepted.existing,
            durable: accepted.durable.unwrap_or(true),
        }
    }
}

impl From<&JobAttached> for generated::JobAttached {
    fn from(attached: &JobAttached) -> Self {
        Self {
            r#ref: attached.reference.clone(),
            job_id: attached.job_id.clone(),
            tag: attached.tag.clone(),
            resumed: attached.resumed,
        }
    }
}

impl From<generated::JobAttached> for JobAttached {
    fn from(attached: generated::JobAttached) -> Self {
        Self {
            reference: attached.r#ref,
            job_id: attached.job_id,
            tag: attached.tag,
            resumed: attached.resumed,
        }
    }
}

impl From<&JobCancelling> for generated::JobCancelling {
    fn from(cancelling: &JobCancelling) -> Self {
        Self {
            r#ref: cancelling.reference.clone(),
            job_id: cancelling.job_id.clone(),
            already: cancelling
                .already
                .map(|end| generated::JobState::from(end).into()),
        }
    }
}

impl TryFrom<generated::JobCancelling> for JobCancelling {
    type Error = BadProto;

    fn try_from(cancelling: generated::JobCancelling) -> Result<Self, BadProto> {
        Ok(Self {
            reference: cancelling.r#ref,
            job_id: cancelling.job_id,
            already: cancelling.already.map(state).transpose()?,
        })
    }
}

impl From<&JobRuled> for generated::JobRuled {
    fn from(ruled: &JobRuled) -> Self {
        Self {
            r#ref: ruled.reference.clone(),
            job_id: ruled.job_id.clone(),
            attempt: ruled.attempt,
            accepted: ruled.accepted,
        }
    }
}

impl From<generated::JobRuled> for JobRuled {
    fn from(ruled: generated::JobRuled) -> Self {
        Self {
            reference: ruled.r#ref,
            job_id: ruled.job_id,
            attempt: ruled.attempt,
            accepted: ruled.accepted,
        }
    }
}

impl From<&JobStateNow> for generated::JobStateNow {
    fn from(now: &JobStateNow) -> Self {
        Self {
            r#ref: now.reference.clone(),
            job_id: now.job_id.clone(),
            epoch: now.epoch.bits(),
            seq: now.seq,
            status: generated::JobState::from(now.status).into(),
            reason: now.reason.clone(),
            until_ms: now.until_ms,
            attempt: now.attempt,
            attempts: list(&now.attempts),
            value_json: now.value.as_ref().map(|value| value.get().to_owned()),
            at: now.at.clone(),
            error: now.error.as_ref().map(Into::into),
            best_json: now.best.as_ref().map(|best| best.get().to_owned()),
            usage: now.usage.map(Into::into),
            timings: now.timings.map(Into::into),
        }
    }
}

impl TryFrom<generated::JobStateNow> for JobStateNow {
    type Error = BadProto;

    fn try_from(now: generated::JobStateNow) -> Result<Self, BadProto> {
        Ok(Self {
            reference: now.r#ref,
            job_id: now.job_id,
            epoch: Epoch::new(now.epoch),
            seq: now.seq,
            status: state(now.status)?,
            reason: now.reason,
            until_ms: now.until_ms,
            attempt: now.attempt,
            attempts: attempts(now.attempts)?,
            value: raw_option("value_json", now.value_json)?,
            at: now.at,
            error: now.error.map(Into::into),
            best: raw_option("best_json", now.best_json)?,
            usage: now.usage.map(Into::into),
            timings: now.timings.map(Into::into),
        })
    }
}

impl From<&ErrorMessage> for generated::Error {
    fn from(error: &ErrorMessage) -> Self {
        Self {
            r#ref: error.reference.clone(),
            job_id: error.job_id.clone(),
            code: error.code.clone(),
            message: error.message.clone(),
            path: error.path.clone(),
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<generated::Error> for ErrorMessage {
    fn from(error: generated::Error) -> Self {
        Self {
            reference: error.r#ref,
            job_id: error.job_id,
            code: error.code,
            message: error.message,
            path: error.path,
            retry_after_ms: error.retry_after_ms,
        }
    }
}
