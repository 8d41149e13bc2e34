//! From a spec to what an attempt needs: the schema, the provider, and how the model is asked.

use std::sync::Arc;

use super::conversation;
use crate::compiler::{CompileError, Compiler};
use crate::job::{AttemptRecord, JobSpec, LenientChoice, Message, ModeChoice, Role};
use crate::llm::{Carrier, Provider, Request, Sampling, Target};
use crate::partial::{Draft, DraftOptions, Graft, Lenient, Limits, Mode, Value};
use crate::schema::dialect::{self, Dialect};
use crate::schema::{Closing, Schema, Wrap};

/// What every attempt of a delivery shares.
pub(super) struct Prepared {
    pub(super) schema: Arc<Schema>,
    pub(super) target: Target,
    pub(super) dialect: Dialect,
    request: Request,
    draft: DraftOptions,
}

/// Why a job cannot be worked on.
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What it takes to prepare the attempts of a job.
pub(super) struct Preparing {
    pub(super) spec: Arc<JobSpec>,
    pub(super) compiler: Arc<Compiler>,
    pub(super) draft: Limits,
    pub(super) splice_places_max: usize,
}

impl Preparing {
    /// What it takes to ask a model for the whole.
    pub(super) async fn whole(&self, target: Target) -> Result<Prepared, Unfit> {
        let spec = &self.spec;
        let wrap = spec.wrap.map(Wrap::from);
        let schema = self.compiler.compile(&spec.schema, wrap).await.map_err(unfit)?;
        let wanted = wanted(spec.mode, &target.provider);
        self.of(schema, target, wanted).await.map_err(unfit)
    }

    /// The same for some places of a value alone; `None` where the schema cannot be put that way.
    pub(super) async fn part(&self, whole: &Prepared, value: &Value, places: &[String]) -> Option<Prepared> {
        let schema = whole.schema.part(value, places)?;
        let schema = self.compiler.compile(&schema, None).await.ok()?;
        self.of(schema, whole.target.clone(), whole.dialect).await.ok()
    }

    async fn of(
        &self,
        schema: Arc<Schema>,
        target: Target,
        wanted: Dialect,
    ) -> Result<Prepared, CompileError> {
        let checked = Arc::clone(&schema);
        // The first is made here, with the checks that all share: that takes as long as compiling.
        let checks = tokio::task::spawn_blocking(move || checked.closing()).await;
        checks.map_err(|_| CompileError::Lost)?;
        let dialect = dialect::fitting(&schema, wanted);
        let request = request(&self.spec, &target.model, &schema, dialect);
        let draft = draft_options(&self.spec, &schema, dialect, &request, self.draft);
        Ok(Prepared {
            schema,
            target,
            dialect,
            request,
            draft,
        })
    }
}

fn unfit(error: CompileError) -> Unfit {
    match error {
        CompileError::Refused(error) => Unfit {
            code: error.code.code(),
            message: error.message,
        },
        CompileError::TooLong(_) | CompileError::Busy(_) | CompileError::Lost => Unfit {
            code: "internal",
            message: error.to_string(),
        },
    }
}

fn wanted(mode: ModeChoice, provider: &Provider) -> Dialect {
    match mode {
        ModeChoice::Auto => provider.native_dialect(),
        ModeChoice::Tools => Dialect::Tools,
        ModeChoice::JsonSchema => Dialect::JsonSchema,
        ModeChoice::Json => Dialect::Json,
        ModeChoice::MdJson => Dialect::MdJson,
    }
}

fn request(spec: &JobSpec, model: &str, schema: &Schema, dialect: Dialect) -> Request {
    let ask = dialect::ask(schema, dialect);
    let mut messages: Vec<Message> = ask
        .system
        .map(|text| Message::text(Role::System, text))
        .into_iter()
        .collect();
    messages.extend(spec.opening());
    Request {
        // As a job may give it: the provider takes its own name off, once.
        model: model.to_owned(),
        messages,
        tools: (!ask.tools.is_empty()).then(|| serde_json::Value::Array(ask.tools)),
        tool_choice: ask.tool_choice,
        response_format: ask.response_format,
        sampling: Sampling {
            temperature: spec.sampling.temperature,
            top_p: spec.sampling.top_p,
            seed: spec.sampling.seed,
            max_output_tokens: spec.limits.tokens,
            stop: spec.sampling.stop.clone(),
        },
        script: spec.script.clone().unwrap_or_default(),
        schema: Arc::new(schema.source().clone()),
        attempt: 1,
        refusals: 0,
        retries: 0,
        carrier: match dialect {
            Dialect::Tools => Carrier::Tools,
            Dialect::ParallelTools => Carrier::ParallelTools,
            Dialect::JsonSchema | Dialect::Json | Dialect::MdJson => Carrier::Text,
        },
        fenced: dialect == Dialect::MdJson,
    }
}

fn draft_options(
    spec: &JobSpec,
    schema: &Schema,
    dialect: Dialect,
    request: &Request,
    limits: Limits,
) -> DraftOptions {
    let bytes = spec.limits.bytes.and_then(|bytes| usize::try_from(bytes).ok());
    DraftOptions {
        mode: match dialect {
            Dialect::Tools => Mode::Tools,
            Dialect::ParallelTools => Mode::ParallelTools,
            Dialect::JsonSchema => Mode::JsonSchema,
            Dialect::Json => Mode::Json,
            Dialect::MdJson => Mode::MdJson,
        },
        lenient: spec.lenient.into(),
        limits: Limits {
            bytes_max: bytes.unwrap_or(limits.bytes_max),
            ..limits
        },
        tool: request.tool_name().map(Into::into),
        root: schema.root_kinds(),
        guide: None,
    }
}

impl From<LenientChoice> for Lenient {
    fn from(choice: LenientChoice) -> Self {
        match choice {
            LenientChoice::Off => Self::Off,
            LenientChoice::On => Self::On,
            LenientChoice::Auto => Self::Auto,
        }
    }
}

impl Prepared {
    /// The request of the attempt behind those of the record, with what the conversation has grown by.
    pub(super) fn request(&self, record: &AttemptRecord) -> Request {
        let mut request = self.request.clone();
        request.attempt = record.n + 1;
        request.refusals = record.refusals;
        request
            .messages
            .extend(conversation::told_to(self.dialect, &record.conversation));
        request
    }

    /// A draft for one attempt, grafted where it is some places of a value, and what checks its values as they close.
    pub(super) fn draft(&self, graft: Option<Graft>) -> (Draft, Arc<Closing>) {
        let closing = self.schema.closing();
        let options = DraftOptions {
            guide: Some(closing.clone()),
            ..self.draft.clone()
        };
        let draft = match graft {
            Some(graft) => Draft::onto(options, graft),
            None => Draft::new(options),
        };
        (draft, closing)
    }

    /// Leaves so many levels less to the answer, whose members lie there and not directly in the root: what they make
    /// up together keeps to the limit.
    pub(super) fn lie_deeper_by(&mut self, levels: usize) {
        let depth_max = &mut self.draft.limits.depth_max;
        *depth_max = (*depth_max + 1).saturating_sub(levels).max(1);
    }
}
