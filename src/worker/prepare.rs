//! From a spec to what an attempt needs: the schema, the provider, and how the model is asked.

use std::sync::Arc;

use super::conversation;
use crate::compiler::{CompileError, Compiler};
use crate::job::{AttemptRecord, JobSpec, LenientChoice, Message, ModeChoice, Role, TemplateLimits};
use crate::llm::{Carrier, LlmError, LlmErrorKind, Provider, Request, Sampling, Target};
use crate::partial::{Draft, DraftOptions, Graft, Lenient, Limits, Mode, Value};
use crate::schema::dialect::{self, Carried, Dialect, Plan, Taken, Unfit as Passing};
use crate::schema::{Closing, Schema, Wrap};

/// Templates were held to the server's bounds when the job was taken in; these hold whatever those were.
const TEMPLATES: TemplateLimits = TemplateLimits {
    steps: 10_000_000,
    bytes: 64 << 20,
};

/// What every attempt of a delivery shares.
pub(super) struct Prepared {
    pub(super) schema: Arc<Schema>,
    pub(super) target: Target,
    pub(super) dialect: Dialect,
    /// Modes that were wanted and are not asked in, for viewers.
    pub(super) warnings: Vec<String>,
    /// Modes that the provider has refused on the way to this one.
    refused: Vec<Dialect>,
    request: Request,
    draft: DraftOptions,
    null_is_missing: bool,
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
        let opening = spec.opening(TEMPLATES).map_err(|error| Unfit {
            code: "invalid_request",
            message: error.to_string(),
        })?;
        let wanted = wanted(spec.mode, &target.provider);
        let made = self.of(schema, target, wanted, opening).await;
        made.map_err(unfit)
    }

    /// The same in the mode that comes behind the one that the provider has refused; `None` where it has refused something
    /// else, the job has named its mode, or there is none behind it.
    pub(super) async fn lower(&self, refused: &Prepared, error: &LlmError) -> Option<Prepared> {
        let is_about_mode = matches!(
            error.kind,
            LlmErrorKind::UnsupportedMode | LlmErrorKind::UnsupportedSchema
        );
        if !is_about_mode || self.spec.mode != ModeChoice::Auto {
            return None;
        }
        let next = refused.dialect.mode().next?;
        let (schema, target) = (Arc::clone(&refused.schema), refused.target.clone());
        let opening = self.spec.opening(TEMPLATES).ok()?;
        let mut made = self.of(schema, target, next, opening).await.ok()?;
        made.warnings.insert(
            0,
            format!(
                "asked in mode `{}`, for the provider has refused mode `{}`: {}",
                made.dialect.mode().word,
                refused.dialect.mode().word,
                error.message
            ),
        );
        made.refused = refused.refused.clone();
        // A schema that it did not take says nothing of others.
        made.refused
            .extend((error.kind == LlmErrorKind::UnsupportedMode).then_some(refused.dialect));
        Some(made)
    }

    /// The same for some places of a value alone; `None` where the schema cannot be put that way.
    pub(super) async fn part(&self, whole: &Prepared, value: &Value, places: &[String]) -> Option<Prepared> {
        let schema = whole.schema.part(value, places)?;
        let schema = self.compiler.compile(&schema, None).await.ok()?;
        let target = whole.target.clone();
        let opening = self.spec.opening(TEMPLATES).ok()?;
        self.of(schema, target, whole.dialect, opening).await.ok()
    }

    async fn of(
        &self,
        schema: Arc<Schema>,
        target: Target,
        wanted: Dialect,
        opening: Vec<Message>,
    ) -> Result<Prepared, CompileError> {
        let (checked, asked) = (Arc::clone(&schema), target.clone());
        let is_auto = self.spec.mode == ModeChoice::Auto;
        let planned = tokio::task::spawn_blocking(move || {
            // The first is made here, with the checks that all share: that takes as long as compiling.
            drop(checked.closing());
            dialect::plan(&checked, wanted, |dialect| {
                if is_auto && asked.provider.has_refused(&asked.model, dialect) {
                    return Taken::No;
                }
                asked.provider.takes(&asked.model, dialect)
            })
        });
        let mut plan = planned.await.map_err(|_| CompileError::Lost)?;
        let warnings = warnings(&plan, is_auto);
        let ask = std::mem::take(&mut plan.ask);
        let request = request(&self.spec, &target.model, &schema, plan.dialect, ask, opening);
        let draft = draft_options(&self.spec, &schema, plan.dialect, &request, self.draft);
        Ok(Prepared {
            schema,
            target,
            dialect: plan.dialect,
            warnings,
            refused: Vec::new(),
            request,
            draft,
            null_is_missing: plan.null_is_missing,
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

/// What viewers are told of modes that were passed over. Which roots a mode carries is not news to one who left the choice
/// to us, and neither is what the provider does not have.
fn warnings(plan: &Plan, is_auto: bool) -> Vec<String> {
    let told = plan.passed.iter().filter(|passed| match &passed.why {
        Passing::Subset(..) => true,
        Passing::Unknown | Passing::Root => !is_auto,
    });
    let instead = plan.dialect.mode().word;
    told.map(|passed| format!("asked in mode `{instead}`, not {passed}"))
        .collect()
}

fn wanted(mode: ModeChoice, provider: &Provider) -> Dialect {
    match mode {
        ModeChoice::Auto => provider.native_dialect(),
        ModeChoice::Tools => Dialect::Tools,
        ModeChoice::ToolsStrict => Dialect::ToolsStrict,
        ModeChoice::JsonSchema => Dialect::JsonSchema,
        ModeChoice::JsonSchemaStrict => Dialect::JsonSchemaStrict,
        ModeChoice::Json => Dialect::Json,
        ModeChoice::MdJson => Dialect::MdJson,
    }
}

fn request(
    spec: &JobSpec,
    model: &str,
    schema: &Schema,
    dialect: Dialect,
    ask: dialect::Ask,
    opening: Vec<Message>,
) -> Request {
    let carried = dialect.mode().carried;
    let mut messages: Vec<Message> = ask
        .system
        .map(|text| Message::text(Role::System, text))
        .into_iter()
        .collect();
    messages.extend(opening);
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
        reasoning: spec.reasoning.unwrap_or_default(),
        script: spec.script.clone().unwrap_or_default(),
        schema: Arc::new(schema.source().clone()),
        attempt: 1,
        refusals: 0,
        retries: 0,
        carrier: match carried {
            Carried::Call => Carrier::Tools,
            Carried::Calls => Carrier::ParallelTools,
            Carried::Text | Carried::Fence => Carrier::Text,
        },
        fenced: carried == Carried::Fence,
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
            Dialect::Tools | Dialect::ToolsStrict => Mode::Tools,
            Dialect::ParallelTools => Mode::ParallelTools,
            Dialect::JsonSchema | Dialect::JsonSchemaStrict => Mode::JsonSchema,
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
    /// Whether the provider has refused another mode before.
    pub(super) const fn is_lowered(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The provider has begun an answer in this mode: those that it has refused before are not tried again soon.
    pub(super) fn taken(&self) {
        for dialect in &self.refused {
            self.target.provider.note_refused(&self.request.model, *dialect);
        }
    }

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
        let closing = if self.null_is_missing {
            self.schema.closing_of_nulls()
        } else {
            self.schema.closing()
        };
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
