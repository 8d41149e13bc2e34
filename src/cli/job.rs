//! `livedraft watch`, `cancel` and `get`: what is done to a job that is there.

use clap::Args;

use super::extract::UnseenArg;
use super::failure::{self, Failure};
use super::paint::Tone;
use super::screen::say;
use super::show::{self, Manner};
use super::{ServerUrl, result};
use crate::client::Received;
use crate::partial::parse_written;
use crate::wire::{ClientMessage, Deliver, Named, ServerMessage};

/// Watches a job to its end; an interrupt leaves it alone.
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    /// The job's id.
    job: String,
    /// How members that nobody has seen yet look.
    #[arg(long, value_enum, default_value_t = UnseenArg::Absent)]
    unseen: UnseenArg,
    /// Leave after so many seconds; the job goes on.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print the job's messages as they come, one a line.
    #[arg(long)]
    json: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    server: ServerUrl,
}

/// Names a job.
#[derive(Args, Debug)]
pub(super) struct JobArgs {
    /// The job's id.
    job: String,
    /// Print the server's answer as one document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerUrl,
}

/// The exit code of `watch`.
pub(super) async fn watch(args: WatchArgs) -> Result<u8, Failure> {
    let client = args.server.client()?;
    let deliver = Deliver {
        unseen: args.unseen.into(),
        ..Deliver::default()
    };
    let following = client.follow(&args.job, deliver).await?;
    let manner = Manner {
        quiet: args.quiet,
        messages: args.json,
        owner: false,
        deadline: show::deadline(args.timeout),
    };
    let follower = show::to_the_end(following, manner).await?;
    let exit = failure::of_job(&follower);
    if let (false, 0, Some(value)) = (args.json, exit, follower.value()) {
        result::value(value)?;
    }
    Ok(exit)
}

/// The exit code of `cancel`: 0 also where the job had ended already.
pub(super) async fn cancel(args: JobArgs) -> Result<u8, Failure> {
    let received = ask(&args, ClientMessage::Cancel).await?;
    if args.json {
        result::line(&received.text)?;
    } else if let ServerMessage::Cancelling(answer) = &received.message {
        let told = match answer.already {
            Some(end) => format!("the job had ended already: {end}"),
            None => "cancelling".to_owned(),
        };
        say(Tone::Dim, &told);
    }
    Ok(0)
}

/// The exit code of `get`: 0 wherever the job stands.
pub(super) async fn get(args: JobArgs) -> Result<u8, Failure> {
    let received = ask(&args, ClientMessage::Get).await?;
    let ServerMessage::State(state) = &received.message else {
        return Ok(0);
    };
    if args.json {
        result::line(&received.text)?;
        return Ok(0);
    }
    let reason = state.reason.as_ref().map(|reason| format!(": {reason}"));
    say(
        Tone::Dim,
        &format!(
            "{}{} · attempt {} · seq {}",
            state.status,
            reason.unwrap_or_default(),
            state.attempt,
            state.seq
        ),
    );
    if let Some(error) = &state.error {
        say(Tone::Dim, &format!("{}: {}", error.code, error.message));
    }
    if let Some(value) = state
        .value
        .as_deref()
        .and_then(|raw| parse_written(raw.get()).ok())
    {
        result::value(&value)?;
    }
    Ok(0)
}

async fn ask(args: &JobArgs, message: impl FnOnce(Named) -> ClientMessage) -> Result<Received, Failure> {
    const REFERENCE: &str = "ask";
    let mut connection = args.server.client()?.connect().await?;
    let named = Named {
        reference: Some(REFERENCE.to_owned()),
        job_id: args.job.clone(),
    };
    let answer = connection.ask(&message(named), REFERENCE).await?;
    connection.close().await;
    Ok(answer)
}
