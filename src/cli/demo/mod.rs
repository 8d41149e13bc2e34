//! `livedraft demo`: the real server, real sockets, the scripted model; every promise that can be shown, shown.

mod report;
mod scene;
mod stage;
mod viewer;

use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::report::Seen;
use self::scene::{Scene, scenes};
use self::stage::Stage;
use self::viewer::{Cut, Moment, News, Seat};
use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream, WIDTH};
use super::signals::Signals;
use crate::app::{App, Options};
use crate::client::{Client, ClientError, Follower};
use crate::clock;
use crate::wire::{Deliver, JobCreate};

/// How much of the second answer is there when the second viewer's TCP is cut, and when the third comes.
const CUT_AT: Moment = Moment {
    attempt: 2,
    draft_bytes: 90,
};
const LATE_AT: Moment = Moment {
    attempt: 2,
    draft_bytes: 300,
};

/// How long the cut lasts.
const HOLD: Duration = Duration::from_millis(1_200);
/// How long the end of a scene is left to be read.
const PAUSE: Duration = Duration::from_millis(600);
/// The show takes far less; a server that hangs shall not hang the command.
const SHOW_TIME: Duration = Duration::from_secs(120);

type Task = JoinHandle<Result<Follower, ClientError>>;

/// The scene's cast: tasks that watch, and where their news come out.
struct Cast<'a> {
    client: &'a Client,
    scene: &'a Scene,
    hold: Duration,
    news: mpsc::Sender<(usize, News)>,
    tasks: Vec<Task>,
}

/// Plays one scene to its end.
async fn play(client: &Client, screen: &mut Screen, scene: &Scene, hold: Duration) -> Result<Seen, Failure> {
    let (news, mut heard) = mpsc::channel(64);
    let mut cast = Cast {
        client,
        scene,
        hold,
        news,
        tasks: Vec::new(),
    };
    cast.creator().await?;
    let mut stage = Stage::new(screen, scene.height);
    // All seats are taken before the last sender is dropped, so the news end with the last viewer.
    let mut cast = Some(cast);
    let mut tasks = Vec::new();
    while let Some((viewer, news)) = heard.recv().await {
        take(&mut stage, viewer, news);
        while let Ok((viewer, news)) = heard.try_recv() {
            take(&mut stage, viewer, news);
        }
        stage.draw();
        if let Some(mut open) = cast.take() {
            if open.seat_more(&stage).await? {
                cast = Some(open);
            } else {
                tasks = open.tasks;
            }
        }
    }
    stage.close();
    let mut viewers = Vec::new();
    for task in tasks {
        let watched = task.await.map_err(|error| Failure::Demo(error.to_string()))?;
        viewers.push(watched?);
    }
    Ok(Seen {
        title: scene.title,
        viewers,
    })
}

fn take(stage: &mut Stage<'_>, viewer: usize, news: News) {
    match news {
        News::Line(row) => stage.line(row),
        News::Aside(row) => stage.aside(row),
        News::Glimpse(glimpse) => stage.show(viewer, *glimpse),
    }
}

impl Cast<'_> {
    /// The first viewer: who submits the job.
    async fn creator(&mut self) -> Result<(), Failure> {
        let create = JobCreate {
            reference: None,
            idempotency_key: None,
            request: self.scene.request(),
            deliver: self.scene.looks[0],
        };
        let connection = self.client.connect().await?;
        let following = self.client.create(connection, create).await?;
        self.tasks.push(tokio::spawn(self.seat(None).watch(following)));
        Ok(())
    }

    /// Seats whoever is due; false once everybody is there.
    async fn seat_more(&mut self, stage: &Stage<'_>) -> Result<bool, Failure> {
        let Some(first) = stage.glimpse(0) else {
            return Ok(true);
        };
        let Some(job_id) = first.job_id.clone() else {
            return Ok(true);
        };
        if self.tasks.len() == 1 {
            let cut = Cut {
                when: CUT_AT,
                hold: self.hold,
            };
            self.join(&job_id, self.scene.looks[1], self.scene.stormy.then_some(cut))
                .await?;
        }
        if self.scene.stormy && self.tasks.len() == 2 {
            if !LATE_AT.has_come(first) {
                return Ok(true);
            }
            self.join(&job_id, Deliver::default(), None).await?;
        }
        Ok(false)
    }

    async fn join(&mut self, job_id: &str, deliver: Deliver, cut: Option<Cut>) -> Result<(), Failure> {
        let following = self.client.follow(job_id, deliver).await?;
        self.tasks.push(tokio::spawn(self.seat(cut).watch(following)));
        Ok(())
    }

    fn seat(&self, cut: Option<Cut>) -> Seat {
        Seat {
            index: self.tasks.len(),
            cut,
            news: self.news.clone(),
            notes: String::new(),
            noted: None,
        }
    }
}

fn title(screen: &mut Screen, number: usize, count: usize, scene: &Scene) {
    screen.line(&Row::new());
    let row = Row::of(Tone::Dim, &format!("{number}/{count}  "))
        .with(Tone::Bold, scene.title)
        .with(Tone::Dim, &format!("  {}", scene.note));
    screen.line(&row.clip(WIDTH));
}

/// Shows what the server does, with a real server and real sockets.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct DemoArgs {
    /// End after the show instead of leaving the server up.
    #[arg(long)]
    exit: bool,
    /// Four times the speed.
    #[arg(long)]
    fast: bool,
}

/// The exit code of `demo`: 0 if every viewer saw the same.
pub(super) async fn run(args: DemoArgs) -> Result<u8, Failure> {
    let mut options = Options::default();
    options.server.bind.set_port(0);
    options.store.ephemeral = true;
    let started = App::start(options).await;
    let app = started.map_err(|error| Failure::Serve(error.to_string()))?;
    let url = format!("ws://{}", app.addr());
    let mut screen = Screen::new(Stream::Out);
    let shown = timeout(SHOW_TIME, show(&url, args, &mut screen)).await;
    let seen =
        shown.map_err(|_| Failure::Demo(format!("the show took over {} s", SHOW_TIME.as_secs())))??;
    if let Some(false) = seen.iter().map(Seen::agrees).reduce(|all, one| all && one) {
        return Err(Failure::Demo(
            "viewers of one job do not hold the same".to_owned(),
        ));
    }
    if !args.exit {
        farewell(&mut screen, &url, &seen);
        Signals::listen()?.next().await;
    }
    app.stop().await;
    Ok(0)
}

async fn show(url: &str, args: DemoArgs, screen: &mut Screen) -> Result<Vec<Seen>, Failure> {
    let pace = if args.fast { 4 } else { 1 };
    let opening = Row::of(Tone::Bold, "livedraft demo")
        .with(Tone::Dim, &format!("  a real server on {url}, real sockets"));
    screen.line(&opening);
    let client = Client::new(url);
    let scenes = scenes(f64::from(pace));
    let mut seen = Vec::new();
    for (index, scene) in scenes.iter().enumerate() {
        title(screen, index + 1, scenes.len(), scene);
        seen.push(play(&client, screen, scene, HOLD / pace).await?);
        clock::sleep(PAUSE / pace).await;
    }
    screen.line(&Row::new());
    report::print(screen, &seen);
    Ok(seen)
}

/// What to try next, while the server is up.
fn farewell(screen: &mut Screen, url: &str, seen: &[Seen]) {
    let job = seen.iter().find_map(Seen::job_id).unwrap_or_default();
    let http = url.replacen("ws://", "http://", 1);
    screen.line(&Row::new());
    screen.line(
        &Row::of(Tone::Bold, &format!("The server is up on {http}"))
            .with(Tone::Dim, " until you press Ctrl-C. Try:"),
    );
    // As it was called: it need not be where commands are looked for.
    let program = std::env::args().next().unwrap_or_else(|| "livedraft".to_owned());
    let schema = r#"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}}}"#;
    for command in [
        format!("curl -N {http}/v1/jobs/{job}/events"),
        format!("{program} watch --url {url} {job}"),
        format!("{program} extract --url {url} --schema '{schema}' 'Ada Lovelace, 36'"),
    ] {
        screen.line(&Row::of(Tone::Key, &format!("  {command}")));
    }
}
