//! Admission: limits, schema, idempotency, then the queue.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::backend::{Backend, BackendError, Full, Idempotency, Submission, Submitted};
use crate::clock;
use crate::compiler::{CompileError, Compiler};
use crate::event::{Epoch, Position};
use crate::job::{self, JobId, JobSpec, Ruling, SpecError, SpecLimits};
use crate::schema::{SchemaError, Wrap};

/// How often a submission is sent that the engine does not answer.
const SENDS_MAX: u32 = 4;
/// The metadata that name the dead letter that a job is made of.
const REDRIVE_OF: &str = "redrive_of";
/// The longest wait between two sends.
const RESEND: Duration = Duration::from_millis(250);

/// Says whether a model is offered; what is told otherwise is the nearest name, if one is near.
pub type ModelCheck = Arc<dyn Fn(&str) -> Result<Offered, Option<String>> + Send + Sync>;

/// What is offered under a model's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offered {
    /// Whether it is known what its tokens cost, whichever model of a chain answers.
    pub is_priced: bool,
}

/// What admission holds a request against.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AdmissionOptions {
    /// Bounds on a spec.
    pub spec: SpecLimits,
}

/// A job that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The job.
    pub id: JobId,
    /// Where its log stood when it was submitted; of an existing job, `None`.
    pub position: Option<Position>,
    /// Jobs before it in line.
    pub ahead: u64,
    /// Whether it is held as safely as is asked for.
    pub durable: bool,
}

/// Why a request was not taken. `code` is a word of the protocol's table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// The word.
    pub code: &'static str,
    /// JSON Pointer into the request.
    pub path: Option<String>,
    /// What is wrong, the limit, and the way out.
    pub message: String,
    /// When the same request may succeed, ms.
    pub retry_after_ms: Option<u64>,
    /// The job a conflict is with.
    pub job: Option<JobId>,
}

/// The door jobs come in by.
pub struct Admission {
    backend: Arc<dyn Backend>,
    compiler: Arc<Compiler>,
    options: AdmissionOptions,
    offered: ModelCheck,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// A door in front of an engine.
    pub fn new(
        backend: Arc<dyn Backend>,
        compiler: Arc<Compiler>,
        options: AdmissionOptions,
        offered: ModelCheck,
    ) -> Self {
        Self {
            backend,
            compiler,
            options,
            offered,
        }
    }

    /// Checks a request and keeps it as a job, or names the job its key was used for. Answered once durable.
    pub async fn submit(&self, tenant: &str, spec: JobSpec, key: Option<String>) -> Result<Kept, Refused> {
        self.check(&spec)?;
        let idempotency = match key {
            Some(key) => Some(Idempotency {
                key: key.into(),
                request: digest(&spec)?,
            }),
            None => None,
        };
        let wrap = spec.wrap.map(Wrap::from);
        let schema = self.compiler.admit(&spec.schema, wrap).await.map_err(no_schema)?;
        let submission = Submission {
            id: self.backend.draw(tenant, idempotency.as_ref()),
            epoch: Epoch::new(clock::nonce()),
            tenant: tenant.into(),
            shape: Arc::new(schema.shape()),
            spec: Arc::new(spec),
            idempotency,
        };
        let id = submission.id;
        let submitted = self.keep(submission, None).await;
        match submitted.map_err(|error| unavailable(&error))? {
            Some(submitted) => kept(id, &submitted),
            None => Err(refuse("internal", None, "the job could not be kept".to_owned())),
        }
    }

    /// Makes a new job of a dead letter, whose request was checked when it came; its metadata name the letter. One that a
    /// job was made of before names that job; `None` where there is no such letter.
    ///
    /// # Errors
    /// As many jobs wait as may, or the engine cannot be asked.
    pub async fn redrive(&self, letter: JobId) -> Result<Option<Kept>, Refused> {
        let found = self.backend.dead_letter(letter).await;
        let Some((dead, request)) = found.map_err(|error| unavailable(&error))? else {
            let before = self.backend.redriven(letter).await;
            let before = before.map_err(|error| unavailable(&error))?;
            return before.map(|before| kept(letter, &before)).transpose();
        };
        let mut spec = (*request.spec).clone();
        spec.metadata.insert(REDRIVE_OF.to_owned(), letter.to_string());
        let submission = Submission {
            id: self.backend.draw_beside(letter),
            epoch: Epoch::new(clock::nonce()),
            tenant: dead.tenant,
            shape: request.shape,
            spec: Arc::new(spec),
            idempotency: None,
        };
        let id = submission.id;
        let submitted = self.keep(submission, Some(letter)).await;
        let submitted = submitted.map_err(|error| unavailable(&error))?;
        submitted.map(|submitted| kept(id, &submitted)).transpose()
    }

    /// Checks what a verdict from outside says.
    ///
    /// # Errors
    /// What is wrong with it; paths point into its message.
    pub fn check_ruling(&self, ruling: &Ruling) -> Result<(), Refused> {
        ruling.check(&self.options.spec).map_err(bad_spec)
    }

    /// Sends the submission again where it was not answered: it may have been kept, and a client that tried again
    /// without a key would have it twice.
    async fn keep(
        &self,
        submission: Submission,
        letter: Option<JobId>,
    ) -> Result<Option<Submitted>, BackendError> {
        for _ in 1..SENDS_MAX {
            match self.send(submission.clone(), letter).await {
                Err(BackendError::Unavailable(_)) => clock::sleep(clock::jitter(RESEND)).await,
                answered => return answered,
            }
        }
        self.send(submission, letter).await
    }

    async fn send(
        &self,
        submission: Submission,
        letter: Option<JobId>,
    ) -> Result<Option<Submitted>, BackendError> {
        match letter {
            Some(letter) => self.backend.redrive(letter, submission).await,
            None => self.backend.submit(submission).await.map(Some),
        }
    }

    fn check(&self, spec: &JobSpec) -> Result<(), Refused> {
        spec.check(&self.options.spec).map_err(bad_spec)?;
        match (self.offered)(&spec.model) {
            Err(nearest) => {
                let hint = nearest.map_or_else(String::new, |name| format!(", did you mean {name:?}?"));
                let shown: String = spec.model.chars().take(128).collect();
                let message = format!("no model {shown:?} is offered here{hint}");
                Err(refuse("unknown_model", Some("/model"), message))
            }
            Ok(offered) if spec.limits.cost.is_some() && !offered.is_priced => {
                let message = "no price of this model is known here, so that no bound on its cost could be kept: give `total_tokens` instead";
                Err(refuse("bad_request", Some("/limits/cost"), message.to_owned()))
            }
            Ok(_) => Ok(()),
        }
    }
}

impl From<job::Wrap> for Wrap {
    fn from(wrap: job::Wrap) -> Self {
        match wrap {
            job::Wrap::Iterable => Self::Iterable,
            job::Wrap::Maybe => Self::Maybe,
        }
    }
}

fn kept(id: JobId, submitted: &Submitted) -> Result<Kept, Refused> {
    match *submitted {
        Submitted::New {
            position,
            ahead,
            durable,
        } => Ok(Kept {
            id,
            position: Some(position),
            ahead,
            durable,
        }),
        Submitted::Existing { job, durable } => Ok(Kept {
            id: job,
            position: None,
            ahead: 0,
            durable,
        }),
        Submitted::Conflict(job) => Err(conflict(job)),
        Submitted::Full { retry_after_ms, of } => Err(full(of, retry_after_ms)),
    }
}

/// The hash of a request: of its canonical JSON, so blanks and unset fields do not matter.
fn digest(spec: &JobSpec) -> Result<[u8; 32], Refused> {
    let text = serde_json::to_vec(spec).map_err(|error| {
        refuse(
            "bad_request",
            None,
            format!("the request cannot be written as JSON: {error}"),
        )
    })?;
    Ok(Sha256::digest(text).into())
}

fn refuse(code: &'static str, path: Option<&str>, message: String) -> Refused {
    Refused {
        code,
        path: path.map(str::to_owned),
        message,
        retry_after_ms: None,
        job: None,
    }
}

fn bad_spec(error: SpecError) -> Refused {
    refuse("bad_request", Some(&error.path), error.message)
}

fn no_schema(error: CompileError) -> Refused {
    let message = error.to_string();
    match error {
        CompileError::Refused(error) => bad_schema(error),
        CompileError::TooLong(_) => refuse("schema_too_complex", Some("/schema"), message),
        CompileError::Busy(wait_ms) => Refused {
            retry_after_ms: Some(wait_ms.max(1)),
            ..refuse("unavailable", None, message)
        },
        CompileError::Lost => refuse("internal", None, message),
    }
}

fn bad_schema(error: SchemaError) -> Refused {
    let path = format!("/schema{}", error.path);
    refuse(error.code.code(), Some(&path), error.message)
}

fn conflict(job: JobId) -> Refused {
    let message = format!("the key was used with another request, for job {job}: use a new key");
    Refused {
        job: Some(job),
        ..refuse("idempotency_conflict", Some("/idempotency_key"), message)
    }
}

fn full(of: Full, retry_after_ms: u64) -> Refused {
    let message = match of {
        Full::Jobs => "as many jobs wait as may: come again later",
        Full::Bytes => "the requests of jobs that have not ended take as much as they may: come again later",
        Full::Tenant => "as many jobs of this tenant wait as may: come again once some of them have run",
        Full::Wait => {
            "jobs leave the line so slowly that this one would wait longer than it may: come again later"
        }
    };
    Refused {
        retry_after_ms: Some(retry_after_ms),
        ..refuse("queue_full", None, message.to_owned())
    }
}

fn unavailable(error: &BackendError) -> Refused {
    Refused {
        retry_after_ms: Some(1_000),
        ..refuse("unavailable", None, error.to_string())
    }
}
