//! All viewers at once, again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{PATIENCE, Plan, connect, histogram, request, source, start};
use crate::answer::Answer;
use crate::fold::Fold;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// Sockets that are lost, unless another number is asked for.
const SOCKETS: usize = 1_000;
/// Behind the first token.
const BEFORE: Duration = Duration::from_secs(2);

/// One job at 50 tokens/s, watched by 1,000 sockets, that all break at once and come back at once, each with its
/// position: from the break to the first message that says how it goes on.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let sockets = plan.sockets.unwrap_or(SOCKETS);
    let every = Duration::from_millis(20);
    let answer = Answer::Stamped {
        tokens: usize::try_from((plan.seconds + 4) * 50)?,
        every,
        padding: 0,
    };
    let (model, system) = start(plan, answer.clone()).await?;
    let mut viewers = connect(sockets, system.address()).await?;
    let first = viewers.first_mut().ok_or("no sockets")?;
    let (job, _) = first.create(request(&answer, 33)).await?;
    let mut watching = JoinSet::new();
    for mut viewer in viewers.drain(..) {
        let job = job.clone();
        watching.spawn(async move {
            viewer
                .send(&json!({ "type": "job.attach", "job_id": job }))
                .await?;
            let mut fold = Fold::default();
            // A snapshot first, then what follows.
            let _ = tokio::time::timeout(BEFORE + Duration::from_secs(1), hear(&mut viewer, &mut fold)).await;
            Outcome::Ok(fold)
        });
    }
    tokio::time::timeout(PATIENCE, model.asked(1)).await??;
    model.open();
    // Their sockets are dropped here, each when its time is over: all within some milliseconds.
    let folds: Outcome<Vec<Fold>> = watching.join_all().await.into_iter().collect();
    let (before, begun) = (system.usage()?, clock::micros());
    let mut coming = JoinSet::new();
    for (index, fold) in folds?.into_iter().enumerate() {
        let (job, server) = (job.clone(), system.address());
        coming.spawn(async move {
            let came = tokio::time::timeout(PATIENCE, come_back(index, server, &job, &fold)).await;
            came?.map(|(viewer, resumed)| (viewer, resumed, clock::micros()))
        });
    }
    let came: Vec<Outcome<(Viewer, bool, u64)>> = coming.join_all().await;
    let used = system.usage()?.since(&before);
    let lost = came.iter().filter(|one| one.is_err()).count();
    let back: Vec<_> = came.into_iter().flatten().collect();
    let delays = histogram(
        back.iter()
            .map(|(_, _, at)| at - begun)
            .collect::<Vec<_>>()
            .iter(),
    )?;
    let resumed = back.iter().filter(|(_, resumed, _)| *resumed).count();
    Ok(vec![row([
        ("sockets", json!(sockets)),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        ("max ms", ms(delays.max())),
        ("went on from where they were", json!(resumed)),
        ("not back", json!(lost)),
        (
            "CPU us each",
            rounded(used.cpu_seconds() * 1e6 / sockets as f64, 0),
        ),
        (PROCESSES, used.cells()),
    ])])
}

/// Folds what comes, until it is told to stop.
async fn hear(viewer: &mut Viewer, fold: &mut Fold) -> Outcome<()> {
    loop {
        let message: Value = serde_json::from_str(&viewer.text().await?)?;
        fold.take(&message)?;
    }
}

/// A new socket for what is held; whether it goes on from there.
async fn come_back(
    index: usize,
    server: std::net::SocketAddr,
    job: &str,
    fold: &Fold,
) -> Outcome<(Viewer, bool)> {
    let mut viewer = Viewer::connect(source(index), server).await?;
    let mut attach = json!({ "type": "job.attach", "job_id": job });
    if let Some((epoch, seq)) = &fold.position {
        attach["position"] = json!({ "epoch": epoch, "seq": seq });
    }
    viewer.send(&attach).await?;
    loop {
        let message: Value = serde_json::from_str(&viewer.text().await?)?;
        match message["type"].as_str() {
            Some("job.attached") => return Ok((viewer, message["resumed"] == true)),
            Some("error") => return Err(format!("refused: {message}").into()),
            _ => {}
        }
    }
}
