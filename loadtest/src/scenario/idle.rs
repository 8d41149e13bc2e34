//! What sockets that say nothing hold.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::{Plan, connect, mib};
use crate::folder::Folder;
use crate::report::{PROCESSES, Row, rounded, row};
use crate::system::{Engine, Setup, System};
use crate::{Outcome, clock};

/// Sockets, unless others are asked for.
const SOCKETS: usize = 10_000;

/// Sockets that were welcomed and then say nothing: with a data folder, and with none.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    if plan.engine != Engine::Embedded {
        return Ok(vec![case(plan, "Redis", &Setup::default()).await?]);
    }
    let folder = Folder::new()?;
    let durable = Setup {
        data: Some(folder.path().to_owned()),
        ..Setup::default()
    };
    Ok(vec![
        case(plan, "data folder", &durable).await?,
        case(plan, "memory", &Setup::default()).await?,
    ])
}

async fn case(plan: &Plan, store: &str, setup: &Setup) -> Outcome<Row> {
    let sockets = plan.sockets.unwrap_or(SOCKETS);
    let system = System::start(&plan.server, plan.engine, setup).await?;
    let before = system.resident_bytes()?;
    let spent = system.usage()?.cpu_seconds();
    let viewers = connect(sockets, system.address()).await?;
    let handshakes = system.usage()?.cpu_seconds() - spent;
    let mut reading = JoinSet::new();
    for viewer in viewers {
        reading.spawn(viewer.idle());
    }
    let connected = system.resident_bytes()?;
    let spent = system.usage()?;
    clock::sleep(Duration::from_secs(plan.seconds)).await;
    let after = system.resident_bytes()?;
    let idle = system.usage()?.since(&spent);
    let lost = std::iter::from_fn(|| reading.try_join_next()).count();
    let growth = after.saturating_sub(before) as f64;
    Ok(row([
        ("store", json!(store)),
        ("sockets", json!(sockets)),
        ("RSS before MiB", mib(before)),
        ("RSS connected MiB", mib(connected)),
        ("idle s", json!(plan.seconds)),
        ("RSS after MiB", mib(after)),
        ("KiB per socket", rounded(growth / 1_024.0 / sockets as f64, 2)),
        (
            "CPU us per handshake",
            rounded(handshakes * 1e6 / sockets as f64, 1),
        ),
        ("CPU s while idle", rounded(idle.cpu_seconds(), 3)),
        ("sockets lost", json!(lost)),
        (PROCESSES, idle.cells()),
    ]))
}
