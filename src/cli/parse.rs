//! `livedraft parse`: any model's text in, one line of JSON per change out, a verdict last.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

pub use super::choices::{LenientArg, WrapArg};
use super::chunk::{Chunk, Chunks};
use crate::partial::{
    Draft, DraftOptions, End, Guide, Mode, OpEncoder, OpSink, Outcome, Shape, Value, write_json_string,
};
use crate::schema::{Closing, Schema, SchemaLimits, Violation};

/// Exit codes: a whole and valid value; anything else; a call that cannot be served.
const EXIT_VALID: i32 = 0;
const EXIT_NOT_VALID: i32 = 1;
const EXIT_USAGE: i32 = 2;

/// Turn a model's text into a live draft: one line of JSON per change, a verdict last.
#[derive(Args, Clone, Debug)]
pub struct ParseArgs {
    /// What the text looks like.
    #[arg(long, value_enum, default_value = "json")]
    pub mode: ModeArg,
    /// A JSON Schema that steers the draft, checks values as they close (a line that finds something wrong has
    /// "violations") and judges the end.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// What is put around the schema: the text is the value in this wrapper.
    #[arg(long, value_enum, value_name = "WRAPPER", requires = "schema")]
    pub wrap: Option<WrapArg>,
    /// How declared members that have not come yet look.
    #[arg(long, value_enum, default_value = "absent")]
    pub unseen: UnseenArg,
    /// Whether text that is not JSON is repaired.
    #[arg(long, value_enum, default_value = "off")]
    pub lenient: LenientArg,
    /// Print the verdict alone.
    #[arg(long)]
    pub quiet: bool,
    /// Read JSON Lines, each a chunk (a string, or {"hex":"…"}), and print one line per chunk.
    #[arg(long)]
    pub chunks: bool,
}

/// What the text looks like.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[value(rename_all = "snake_case")]
pub enum ModeArg {
    /// The arguments of a tool call.
    Tools,
    /// The value alone.
    Json,
    /// The value alone, held to a schema by the provider.
    JsonSchema,
    /// The value among Markdown.
    MdJson,
}

/// How declared members that have not come yet look.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnseenArg {
    /// They are left out.
    Absent,
    /// They are null.
    Null,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Tools => Self::Tools,
            ModeArg::Json => Self::Json,
            ModeArg::JsonSchema => Self::JsonSchema,
            ModeArg::MdJson => Self::MdJson,
        }
    }
}

/// Runs the filter until `stdin` ends; gives the exit code: 0 for a whole and valid value, 1 for anything else, 2
/// for a bad call or a schema that cannot be used.
pub fn run(args: ParseArgs, stdin: impl Read, stdout: impl Write, mut stderr: impl Write) -> i32 {
    let ParseArgs {
        mode,
        schema,
        wrap,
        unseen,
        lenient,
        quiet,
        chunks,
    } = args;
    let schema = match schema.map(|file| read_schema(&file, wrap)).transpose() {
        Ok(schema) => schema,
        Err(message) => return usage(&mut stderr, &message),
    };
    let shape = schema
        .as_ref()
        .filter(|_| unseen == UnseenArg::Null)
        .map(Schema::shape);
    let closing = schema.as_ref().map(Schema::closing);
    let options = DraftOptions {
        mode: mode.into(),
        lenient: lenient.into(),
        root: schema.as_ref().map(Schema::root_kinds).unwrap_or_default(),
        guide: closing.clone().map(|closing| closing as Arc<dyn Guide>),
        ..DraftOptions::default()
    };
    let mut filter = Filter::new(options, closing, shape, quiet, stdout);
    let read = if chunks {
        filter.read_chunks(stdin)
    } else {
        filter.read_text(stdin)
    };
    match read.and_then(|()| filter.verdict(schema.as_ref())) {
        Ok(true) => EXIT_VALID,
        Ok(false) => EXIT_NOT_VALID,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => usage(&mut stderr, &error.to_string()),
        // Whoever read the lines has gone, or the text cannot be read: there is nobody to tell more.
        Err(_) => EXIT_NOT_VALID,
    }
}

fn usage(stderr: &mut impl Write, message: &str) -> i32 {
    // The exit code says it, too, if nobody listens.
    let _unheard = writeln!(stderr, "livedraft parse: {message}");
    EXIT_USAGE
}

fn read_schema(file: &PathBuf, wrap: Option<WrapArg>) -> Result<Schema, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let json = serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))?;
    let compiled = Schema::compile_wrapped(&json, wrap.map(Into::into), &SchemaLimits::default());
    compiled.map_err(|error| format!("{name}: {error}"))
}

/// The running filter.
struct Filter<W> {
    draft: Draft,
    encoder: OpEncoder,
    /// Checks values as they close.
    closing: Option<Arc<Closing>>,
    shape: Option<Shape>,
    /// Whether the unseen look of the root is still to be told.
    unseen_untold: bool,
    quiet: bool,
    stdout: W,
    line: String,
}

impl<W: Write> Filter<W> {
    fn new(
        options: DraftOptions,
        closing: Option<Arc<Closing>>,
        shape: Option<Shape>,
        quiet: bool,
        stdout: W,
    ) -> Self {
        let unseen_untold = shape
            .as_ref()
            .is_some_and(|shape| shape.fill_root(None).is_some());
        Self {
            draft: Draft::new(options),
            encoder: OpEncoder::default(),
            closing,
            shape,
            unseen_untold,
            quiet,
            stdout,
            line: String::new(),
        }
    }

    /// Reads text as it arrives and prints a line per change.
    fn read_text(&mut self, mut stdin: impl Read) -> io::Result<()> {
        self.print_change(false)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.draft.feed(&buffer[..read]);
            self.print_change(false)?;
        }
        self.draft.finish();
        self.print_change(false)
    }

    /// Reads JSON Lines and prints a line per chunk.
    fn read_chunks(&mut self, stdin: impl Read) -> io::Result<()> {
        let mut chunks = Chunks::default();
        for (number, line) in BufReader::new(stdin).lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let Some(Chunk(bytes)) = chunks.read(&line) else {
                let message = format!(
                    "line {} is no chunk: a JSON string, or {{\"hex\":\"…\"}}",
                    number + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            self.draft.feed(&bytes);
            self.print_change(true)?;
        }
        self.draft.feed(&chunks.rest());
        self.draft.finish();
        Ok(())
    }

    /// Prints what has changed; `always`: also if nothing has.
    fn print_change(&mut self, always: bool) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut sink = Look {
            shape: self.shape.as_ref(),
            left: Shape::NULLS_MAX,
            encoder: &mut self.encoder,
        };
        if std::mem::take(&mut self.unseen_untold) {
            sink.remove("");
        }
        self.draft.flush(&mut sink);
        let news = self.closing.as_ref().map(|closing| closing.take_news());
        let news = news.unwrap_or_default();
        if self.encoder.is_empty() && news.is_empty() && !always {
            return Ok(());
        }
        self.line.clear();
        self.line.push_str("{\"ops\":[");
        self.line.push_str(self.encoder.ops());
        self.line.push_str("],\"at\":[");
        if let Some(path) = self.draft.open_paths().first() {
            write_json_string(path, &mut self.line);
        }
        self.line.push(']');
        self.encoder.clear();
        self.push_value();
        if !news.is_empty() {
            self.push_list(&news);
        }
        self.line.push_str("}\n");
        self.stdout.write_all(self.line.as_bytes())?;
        self.stdout.flush()
    }

    fn push_value(&mut self) {
        let before = self.line.len();
        self.line.push_str(",\"value\":");
        let shown = match &self.shape {
            None => self.draft.write_value(&mut self.line),
            Some(shape) => {
                let filled = shape.fill_root(self.draft.value().as_ref());
                if let Some(value) = &filled {
                    value.write_json(&mut self.line);
                }
                filled.is_some()
            }
        };
        if !shown {
            self.line.truncate(before);
        }
    }

    /// Prints the last line; gives whether the value is whole and valid.
    fn verdict(&mut self, schema: Option<&Schema>) -> io::Result<bool> {
        let Outcome { end, .. } = self.draft.finish();
        let name = match end {
            End::Complete => "complete",
            End::Truncated => "truncated",
            End::Invalid(_) => "invalid",
        };
        self.line.clear();
        self.line.push_str("{\"end\":\"");
        self.line.push_str(name);
        self.line.push('"');
        self.push_value();
        if let End::Invalid(error) = &end {
            self.line.push_str(",\"error\":");
            let error = serde_json::json!({
                "code": error.kind.code(), "offset": error.offset, "path": error.path, "message": error.to_string(),
            });
            self.line.push_str(&error.to_string());
        }
        let repairs = self.draft.repairs().iter().map(|repair| {
            serde_json::json!({ "offset": repair.offset, "path": repair.path, "kind": repair.kind.code() })
        });
        let repairs: serde_json::Value = repairs.collect();
        self.line.push_str(",\"repairs\":");
        self.line.push_str(&repairs.to_string());
        let valid = self.push_violations(schema, end == End::Complete);
        self.line.push_str("}\n");
        self.stdout.write_all(self.line.as_bytes())?;
        self.stdout.flush()?;
        Ok(valid)
    }

    /// Only a whole value is judged.
    fn push_violations(&mut self, schema: Option<&Schema>, complete: bool) -> bool {
        let judged = schema.filter(|_| complete);
        let judged = judged.and_then(|schema| Some(schema.validate(&self.draft.value()?)));
        let violations = judged.unwrap_or_default();
        self.push_list(&violations);
        complete && violations.is_empty()
    }

    fn push_list(&mut self, violations: &[Violation]) {
        self.line.push_str(",\"violations\":");
        let told = serde_json::to_value(violations).unwrap_or_default();
        self.line.push_str(&told.to_string());
    }
}

/// Writes ops in the look that was asked for: as they are, or with unseen members as null.
struct Look<'a> {
    shape: Option<&'a Shape>,
    /// How many may still be put in.
    left: usize,
    encoder: &'a mut OpEncoder,
}

impl OpSink for Look<'_> {
    fn append(&mut self, path: &str, text: &str) {
        self.encoder.append(path, text);
    }

    fn set(&mut self, path: &str, value: &Value) {
        match self.shape {
            None => self.encoder.set(path, value),
            Some(shape) if path.is_empty() => {
                let filled = shape.fill_root(Some(value));
                self.encoder.set(path, filled.as_ref().unwrap_or(value));
            }
            Some(shape) => self
                .encoder
                .set(path, &shape.fill_at(path, value, &mut self.left)),
        }
    }

    fn remove(&mut self, path: &str) {
        let left = self.shape.and_then(|shape| shape.fill_root(None));
        match left {
            Some(value) => self.encoder.set(path, &value),
            None => self.encoder.remove(path),
        }
    }
}
