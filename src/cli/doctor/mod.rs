//! `livedraft doctor`: what would keep the server from working here, each with the way out.

mod local;
mod model;
mod running;
mod trip;

use clap::Args;
use serde_json::json;

use super::config::ConfigArgs;
use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::words;

/// Columns of a check's name.
const NAME_WIDTH: usize = 20;

const HELP: &str = "\
Exit codes: 0 if nothing failed (warnings may be there), 1 if a check failed.";

/// Looks the machine and the configuration over.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the providers too, for the list of their models: it costs no token.
    #[arg(long)]
    online: bool,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    /// As it should be.
    Ok,
    /// It works, yet not as somebody may expect.
    Warn,
    /// The server would not start, or not serve.
    Fail,
}

/// What a check has found.
#[derive(Clone, Debug)]
struct Finding {
    name: String,
    status: Status,
    detail: String,
    way_out: Option<String>,
}

impl Finding {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status: Status::Ok,
            detail: detail.into(),
            way_out: None,
        }
    }

    fn warn(name: &str, detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            status: Status::Warn,
            way_out: Some(way_out.into()),
            ..Self::ok(name, detail)
        }
    }

    fn fail(name: &str, detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            status: Status::Fail,
            ..Self::warn(name, detail, way_out)
        }
    }
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
        }
    }
}

/// The exit code of `doctor`. Where the configuration has faults, the rest is checked with what could be read of it.
pub(super) async fn run(args: DoctorArgs) -> Result<u8, Failure> {
    let loaded = args.config.load(Vec::new());
    let parts = &loaded.config.parts;
    let mut findings = local::configuration(&loaded);
    let address = local::address(&parts.server).await;
    let runs = address.status == Status::Warn;
    findings.push(address);
    if runs {
        findings.extend(running::told(parts.server.bind).await);
    }
    findings.push(local::descriptors(&parts.server));
    findings.push(local::clock());
    findings.push(local::data(&parts.store).await);
    findings.extend(local::open_data(&parts.store));
    findings.extend(model::providers(&parts.providers, args.online).await);
    findings.push(trip::round_trip(parts.clone()).await);
    report(&findings, args.json)?;
    let failed = findings.iter().any(|finding| finding.status == Status::Fail);
    Ok(u8::from(failed))
}

fn report(findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let checks: Vec<_> = findings.iter().map(document).collect();
        let ok = findings.iter().all(|finding| finding.status != Status::Fail);
        let text = json!({"ok": ok, "checks": checks});
        return Stream::Out.put(&format!("{text}\n")).map_err(Failure::Output);
    }
    let mut screen = Screen::new(Stream::Out);
    for finding in findings {
        let status = finding.status;
        let row = Row::of(status.tone(), &format!("{:<4}", status.word()))
            .with(Tone::Plain, "  ")
            .join(Row::of(Tone::Bold, &finding.name).fit(NAME_WIDTH))
            .with(Tone::Plain, &format!("  {}", finding.detail));
        screen.line(&row);
        if let Some(way_out) = &finding.way_out {
            screen.line(&Row::of(Tone::Dim, &format!("      {way_out}")));
        }
    }
    let of = |status| findings.iter().filter(|finding| finding.status == status).count() as u64;
    let summary = format!(
        "{}, {}, {} failed",
        words::count(findings.len() as u64, "check"),
        words::count(of(Status::Warn), "warning"),
        of(Status::Fail)
    );
    screen.line(&Row::of(Tone::Bold, &summary));
    Ok(())
}

fn document(finding: &Finding) -> serde_json::Value {
    let mut told = json!({
        "name": finding.name,
        "status": finding.status.word(),
        "detail": finding.detail,
    });
    if let Some(way_out) = &finding.way_out {
        told["way_out"] = json!(way_out);
    }
    told
}
