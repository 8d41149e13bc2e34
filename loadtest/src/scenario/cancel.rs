//! From a cancel to the moment at which the provider sees its connection close.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{PATIENCE, Plan, connect, histogram};
use crate::report::{Row, ms, row};
use crate::system::{Setup, System};
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// Jobs of a case, all live at the same time, unless another number is asked for.
const JOBS: usize = 200;
/// Between two cancels.
const PACE: Duration = Duration::from_millis(5);
/// Between two tokens of an answer.
const TOKEN: Duration = Duration::from_millis(20);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// How far the provider has come when it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has the request, and has said nothing.
    Asked,
    /// It has sent the head of its answer.
    Head,
    /// Tokens flow.
    Tokens,
}

/// What the provider tells of the job of this number.
enum Told {
    /// It has come as far as it goes.
    There,
    /// Its connection closed, at this microsecond.
    Closed(usize, u64),
}

/// Each stage with many live jobs.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (stage, name) in [
        (Stage::Asked, "before the head"),
        (Stage::Head, "before the first token"),
        (Stage::Tokens, "while tokens flow"),
    ] {
        rows.push(case(plan, stage, name).await?);
    }
    Ok(rows)
}

async fn case(plan: &Plan, stage: Stage, name: &str) -> Outcome<Row> {
    let jobs = plan.jobs.unwrap_or(JOBS);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = format!("http://{}/v1", listener.local_addr()?);
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(accept(listener, stage, tell));
    let setup = Setup {
        base_url: Some(base_url),
        ..Setup::default()
    };
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    let mut running = Vec::with_capacity(jobs);
    for (number, mut viewer) in connect(jobs, system.address()).await?.into_iter().enumerate() {
        let (job, _) = viewer.create(request(number)).await?;
        running.push((viewer, job));
    }
    for _ in 0..jobs {
        match next(&mut told).await? {
            Told::There => {}
            Told::Closed(number, _) => return Err(format!("job {number} was left too early").into()),
        }
    }
    let mut sent = Vec::with_capacity(jobs);
    let mut pace = clock::ticks(Duration::ZERO, PACE);
    for (viewer, job) in &mut running {
        pace.tick().await;
        sent.push(clock::micros());
        viewer
            .send(&json!({ "type": "job.cancel", "job_id": job }))
            .await?;
    }
    let mut delays = Vec::with_capacity(jobs);
    while delays.len() < jobs {
        if let Told::Closed(number, at) = next(&mut told).await? {
            let sent = sent.get(number).ok_or("a job that nobody submitted")?;
            delays.push(at.saturating_sub(*sent));
        }
    }
    for (viewer, _) in &mut running {
        tokio::time::timeout(PATIENCE, cancelled(viewer)).await??;
    }
    let delays = histogram(delays.iter())?;
    Ok(row([
        ("cancelled", json!(name)),
        ("live jobs", json!(jobs)),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        ("max ms", ms(delays.max())),
    ]))
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Outcome<Told> {
    let told = tokio::time::timeout(PATIENCE, told.recv()).await?;
    Ok(told.ok_or("the model server is gone")?)
}

/// Reads to the job's end, which is that.
async fn cancelled(viewer: &mut Viewer) -> Outcome<()> {
    loop {
        let text = viewer.text().await?;
        let message: Value = serde_json::from_str(&text)?;
        match message["type"].as_str() {
            Some("job.cancelled") => return Ok(()),
            Some("job.completed" | "job.failed" | "job.incomplete" | "error") => {
                return Err(format!("the job ended otherwise: {text}").into());
            }
            _ => {}
        }
    }
}

fn request(number: usize) -> Value {
    json!({
        "model": "openai/load", "input": format!("number={number};"), "flush_ms": 0,
        "schema": { "type": "object", "properties": { "text": { "type": "string" } } },
    })
}

async fn accept(listener: TcpListener, stage: Stage, tell: mpsc::UnboundedSender<Told>) {
    while let Ok((stream, _)) = listener.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            // A connection that says nothing of a job is not counted, and the run then ends by its patience.
            if let Ok(Some((number, at))) = serve(stream, stage, &tell).await {
                let _ = tell.send(Told::Closed(number, at));
            }
        });
    }
}

/// Goes as far as the stage says; then the job's number, and when the other side had left.
async fn serve(
    stream: TcpStream,
    stage: Stage,
    tell: &mpsc::UnboundedSender<Told>,
) -> std::io::Result<Option<(usize, u64)>> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let Some(number) = number_of(&read_request(&mut stream).await?) else {
        return Ok(None);
    };
    if stage != Stage::Asked {
        stream.write_all(HEAD).await?;
    }
    if stage == Stage::Tokens {
        stream.write_all(event("{\"text\":\"").as_bytes()).await?;
    }
    let _ = tell.send(Told::There);
    let mut rest = [0; 64];
    loop {
        tokio::select! {
            // The end of the connection, or its reset.
            read = stream.read(&mut rest) => if !matches!(read, Ok(1..)) { break },
            () = clock::sleep(TOKEN), if stage == Stage::Tokens => {
                if stream.write_all(event("word ").as_bytes()).await.is_err() { break }
            }
        }
    }
    Ok(Some((number, clock::micros())))
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(String::new());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn number_of(body: &str) -> Option<usize> {
    let (_, rest) = body.split_once("number=")?;
    rest.split_once(';')?.0.parse().ok()
}

fn event(token: &str) -> String {
    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": token }, "finish_reason": null }] });
    format!("data: {delta}\n\n")
}
