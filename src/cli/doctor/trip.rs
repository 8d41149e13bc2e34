//! A job there and back: a server with this configuration, a socket over loopback, the built-in model.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::Finding;
use crate::access::{NewKey, Scopes, Token};
use crate::app::{App, Options};
use crate::cli::words;
use crate::client::{Client, Tally};
use crate::clock;
use crate::job::{Outcome, SCRIPTED};
use crate::llm::ProvidersOptions;
use crate::wire::{Deliver, JobCreate};

const NAME: &str = "round trip";
/// It takes far less; a server that hangs shall not hang the command.
const TIME: Duration = Duration::from_secs(20);

/// Runs one job through all parts. The address, the keys and the providers are not those of the configuration: the
/// first may be in use, of the second only hashes are known, the last cost money.
pub(super) async fn round_trip(mut options: Options) -> Finding {
    options.server.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    options.providers = ProvidersOptions::default();
    options.store.ephemeral = true;
    let key = match own_key() {
        Ok(key) => key,
        Err(error) => return Finding::fail(NAME, error, "it needs random bits of the system"),
    };
    options.server.keys = vec![key.entry];
    let way_out = "try it with the defaults (no file, no variables): if that works, a limit is too low";
    let app = match App::start(options).await {
        Ok(app) => app,
        Err(error) => return Finding::fail(NAME, error.to_string(), way_out),
    };
    let began = clock::now();
    let url = format!("ws://{}", app.addr());
    let went = timeout(TIME, job(&url, key.token)).await;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    app.stop().await;
    match went {
        Ok(Ok(tally)) => {
            let frames = words::count(tally.frames, "frame");
            Finding::ok(
                NAME,
                format!("a job over WebSocket in {}, {frames}", words::millis(ms)),
            )
        }
        Ok(Err(error)) => Finding::fail(NAME, error, way_out),
        Err(_) => Finding::fail(NAME, format!("no end within {} s", TIME.as_secs()), way_out),
    }
}

/// A key for this one job, so that nobody else on this machine gets in meanwhile.
fn own_key() -> Result<NewKey, String> {
    let random = clock::secret().map_err(|error| error.to_string())?;
    NewKey::make("doctor", "doctor", Scopes::default(), random)
}

/// Submits a job and follows it to its end, which the follower holds against what it folded.
async fn job(url: &str, key: Token) -> Result<Tally, String> {
    let request = json!({
        "model": SCRIPTED,
        "input": "Ada, 36",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "script": {"tokens_per_second": 0},
    });
    let create = JobCreate {
        reference: None,
        idempotency_key: None,
        request: serde_json::from_value(request).map_err(|error| error.to_string())?,
        deliver: Deliver::default(),
    };
    let client = Client::new(url).key(Some(key));
    let connection = client.connect().await.map_err(|error| error.to_string())?;
    let mut following = client
        .create(connection, create)
        .await
        .map_err(|error| error.to_string())?;
    while following
        .next()
        .await
        .map_err(|error| error.to_string())?
        .is_some()
    {}
    let follower = following.close().await;
    match follower.end() {
        Some(end) if end.outcome == Outcome::Completed => Ok(*follower.tally()),
        Some(end) => Err(end
            .error
            .as_ref()
            .map_or_else(|| "the job failed".to_owned(), |error| error.message.clone())),
        None => Err("the job has no end".to_owned()),
    }
}
