//! `livedraft extract`: one job from the command line to its end.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value as Json;

use super::choices::{EffortArg, LenientArg, OnBadItemArg, OnViolationArg, ReaskArg, WrapArg};
use super::failure::{self, Failure};
use super::show::{self, Manner};
use super::{ServerUrl, result};
use crate::job::{JobLimits, JobSpec, Message, ModeChoice, OnLastViewerGone, Priority, Script};
use crate::wire::{Deliver, JobCreate, Unseen};

/// The model that answers without any provider.
const SCRIPTED: &str = "scripted";

/// Extracts structured data from text, and shows it while it grows.
#[derive(Args, Debug)]
pub(super) struct ExtractArgs {
    /// The text to extract from; `-` or nothing reads it from stdin.
    text: Option<String>,
    /// The JSON Schema of the value that is wanted: a file, `-` for stdin, or the schema itself (it begins with `{`).
    #[arg(long, value_name = "FILE")]
    schema: String,
    /// The conversation instead of a text: a JSON file with an array of {role, content}.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    messages: Option<PathBuf>,
    /// The model; without it the first that the server names.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How the model is asked to answer.
    #[arg(long, value_enum, default_value_t = ModeArg::Auto)]
    mode: ModeArg,
    /// Values that the text or the messages name as `{{ name }}`: a JSON file, `-` for stdin, or an object itself.
    #[arg(long, value_name = "FILE")]
    context: Option<String>,
    /// How hard the model thinks.
    #[arg(long, value_enum, value_name = "EFFORT")]
    effort: Option<EffortArg>,
    /// What is put around the schema.
    #[arg(long, value_enum, value_name = "WRAPPER")]
    wrap: Option<WrapArg>,
    /// Whether an answer that is not quite JSON is put right.
    #[arg(long, value_enum, default_value_t = LenientArg::Off)]
    lenient: LenientArg,
    /// What is asked for again where an answer is invalid.
    #[arg(long, value_enum, default_value_t = ReaskArg::Auto)]
    reask: ReaskArg,
    /// How many times an invalid answer is asked for again.
    #[arg(long, value_name = "N", default_value_t = 2)]
    max_reasks: u32,
    /// When an invalid answer is heard no further.
    #[arg(long, value_enum, default_value_t = OnViolationArg::Auto)]
    on_violation: OnViolationArg,
    /// What becomes of a list's items that stay invalid.
    #[arg(long, value_enum, default_value_t = OnBadItemArg::Fail)]
    on_bad_item: OnBadItemArg,
    /// Have a valid value wait so many ms for `livedraft accept` or `livedraft reask`.
    #[arg(long, value_name = "MS")]
    verdict_ms: Option<u32>,
    /// Cancel the job when nobody has viewed it for so many ms.
    #[arg(long, value_name = "MS")]
    cancel_after_ms: Option<u32>,
    /// Which of one's own jobs it goes before in line: 1 to 9, and 9 goes first [default: 5].
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// Show how the model is asked and what came of it.
    #[arg(long)]
    hooks: bool,
    /// The window in which changes are gathered, ms; 0 sends each at once.
    #[arg(long, value_name = "MS", default_value_t = 33)]
    flush_ms: u32,
    /// Bounds of the job, as JSON: {"seconds":60,"total_tokens":20000,"cost":"0.05"}.
    #[arg(long, value_name = "JSON")]
    limits: Option<String>,
    /// What the scripted model is told to do, as JSON: {"invalid_attempts":1,"tokens_per_second":50}.
    #[arg(long, value_name = "JSON")]
    script: Option<String>,
    /// How members that nobody has seen yet look.
    #[arg(long, value_enum, default_value_t = UnseenArg::Absent)]
    unseen: UnseenArg,
    /// Leave after so many seconds; the job goes on.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print one document: the end with value, usage and timings.
    #[arg(long)]
    json: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    server: ServerUrl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ModeArg {
    Auto,
    Tools,
    ToolsStrict,
    JsonSchema,
    JsonSchemaStrict,
    Json,
    MdJson,
}

/// How members that the schema declares and nobody has seen yet look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum UnseenArg {
    /// They are left out.
    Absent,
    /// They are null, as in Instructor's partial objects.
    Null,
}

impl From<UnseenArg> for Unseen {
    fn from(unseen: UnseenArg) -> Self {
        match unseen {
            UnseenArg::Absent => Self::Absent,
            UnseenArg::Null => Self::Null,
        }
    }
}

impl From<ModeArg> for ModeChoice {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Auto => Self::Auto,
            ModeArg::Tools => Self::Tools,
            ModeArg::ToolsStrict => Self::ToolsStrict,
            ModeArg::JsonSchema => Self::JsonSchema,
            ModeArg::JsonSchemaStrict => Self::JsonSchemaStrict,
            ModeArg::Json => Self::Json,
            ModeArg::MdJson => Self::MdJson,
        }
    }
}

/// The exit code of the command.
pub(super) async fn run(args: &ExtractArgs) -> Result<u8, Failure> {
    let deadline = show::deadline(args.timeout);
    let mut request = request(args)?;
    let client = args.server.client()?;
    let connection = client.connect().await?;
    if request.model.is_empty() {
        request.model = chosen(&connection.welcome().models)?;
    }
    let create = JobCreate {
        reference: None,
        idempotency_key: None,
        request,
        deliver: Deliver {
            unseen: args.unseen.into(),
            hooks: args.hooks,
            ..Deliver::default()
        },
    };
    let following = client.create(connection, create).await?;
    let manner = Manner {
        quiet: args.quiet,
        messages: false,
        owner: true,
        deadline,
    };
    let follower = show::to_the_end(following, manner).await?;
    let exit = failure::of_job(&follower);
    if args.json {
        result::document(&follower)?;
    } else if let (0, Some(value)) = (exit, follower.value()) {
        result::value(value)?;
    }
    Ok(exit)
}

/// The model where none is named: the first real one that the server names, or the scripted one where it is alone.
fn chosen(models: &[String]) -> Result<String, Failure> {
    let real = models
        .iter()
        .find(|model| *model != SCRIPTED && !model.ends_with("/*"));
    match (real, models) {
        (Some(model), _) => Ok(model.clone()),
        (None, [only]) if only == SCRIPTED => Ok(only.clone()),
        (None, models) => Err(usage(format!("name a model with --model: {}", models.join(", ")))),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(message.into())
}

/// The request; the model is empty where the server shall choose.
fn request(args: &ExtractArgs) -> Result<JobSpec, Failure> {
    let script: Option<Script> = args.script.as_deref().map(script).transpose()?;
    let schema = read_json(&args.schema, "--schema")?;
    let (messages, input) = match &args.messages {
        Some(path) => (messages(path)?, None),
        None => (Vec::new(), Some(text(args)?)),
    };
    let context = args.context.as_deref().map(|given| read_json(given, "--context"));
    let context = context.transpose()?;
    let scripted = script.as_ref().map_or("", |_| SCRIPTED);
    Ok(JobSpec {
        model: args.model.clone().unwrap_or_else(|| scripted.to_owned()),
        messages,
        input,
        schema,
        mode: args.mode.into(),
        wrap: args.wrap.map(Into::into),
        lenient: args.lenient.into(),
        reask: args.reask.into(),
        on_violation: args.on_violation.into(),
        on_bad_item: args.on_bad_item.into(),
        verdict_ms: args.verdict_ms,
        on_last_viewer_gone: args
            .cancel_after_ms
            .map_or_else(OnLastViewerGone::default, OnLastViewerGone::CancelAfterMs),
        priority: args.priority.map_or_else(Priority::default, Priority),
        hooks: args.hooks,
        max_reasks: args.max_reasks,
        flush_ms: args.flush_ms,
        context,
        reasoning: args.effort.map(Into::into),
        sampling: crate::job::Sampling::default(),
        limits: args
            .limits
            .as_deref()
            .map(limits)
            .transpose()?
            .unwrap_or_default(),
        metadata: std::collections::BTreeMap::new(),
        script,
    })
}

fn limits(text: &str) -> Result<JobLimits, Failure> {
    serde_json::from_str(text).map_err(|error| usage(format!("--limits: {error}")))
}

fn script(text: &str) -> Result<Script, Failure> {
    serde_json::from_str(text).map_err(|error| usage(format!("--script: {error}")))
}

/// A file, stdin, or JSON given in place.
fn read_json(given: &str, name: &str) -> Result<Json, Failure> {
    let text = match given {
        "-" => stdin()?,
        given if given.trim_start().starts_with('{') => given.to_owned(),
        path => read_file(path.as_ref(), name)?,
    };
    serde_json::from_str(&text).map_err(|error| usage(format!("{name} {given}: not JSON: {error}")))
}

fn read_file(path: &std::path::Path, name: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| usage(format!("{name} {}: {error}", path.display())))
}

fn messages(path: &std::path::Path) -> Result<Vec<Message>, Failure> {
    let text = read_file(path, "--messages")?;
    serde_json::from_str(&text).map_err(|error| usage(format!("--messages {}: {error}", path.display())))
}

fn text(args: &ExtractArgs) -> Result<String, Failure> {
    match args.text.as_deref() {
        Some("-") | None if args.schema == "-" => {
            Err(usage("stdin is the schema: give the text as an argument"))
        }
        None if io::stdin().is_terminal() => {
            Err(usage("there is no text: give it as an argument, or on stdin"))
        }
        Some("-") | None => {
            let text = stdin()?;
            if text.trim().is_empty() {
                return Err(usage("there is no text on stdin"));
            }
            Ok(text)
        }
        Some(text) => Ok(text.to_owned()),
    }
}

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| usage(format!("stdin: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_play_is_sold_as_an_answer() {
        let chosen = |models: &[&str]| {
            let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
            chosen(&models).ok()
        };
        assert_eq!(chosen(&["scripted"]).as_deref(), Some("scripted"));
        assert_eq!(
            chosen(&["scripted", "openai/*", "gpt-x"]).as_deref(),
            Some("gpt-x")
        );
        assert_eq!(chosen(&["scripted", "openai/*"]), None);
        assert_eq!(chosen(&[]), None);
    }
}
