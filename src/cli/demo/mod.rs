//! `livedraft demo`: the real server, real sockets, the scripted model; every promise that can be shown, shown.

mod report;
mod scene;
mod stage;
mod viewer;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::report::Seen;
use self::scene::Scene;
use self::stage::Stage;
use self::viewer::{Cut, Moment, News, Seat};
use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, WIDTH};
use crate::client::{Client, ClientError, Follower};
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
        match news {
            News::Line(row) => stage.line(row),
            News::Glimpse(glimpse) => stage.show(viewer, *glimpse),
        }
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
