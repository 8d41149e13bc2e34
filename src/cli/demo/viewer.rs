//! One viewer of the show: a real socket, and the news it sends to the stage.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::cli::paint::{Row, Tone};
use crate::cli::words;
use crate::client::{ClientError, Follower, Following, Took, Update};
use crate::clock;
use crate::event::NoteKind;
use crate::job::{Outcome, Reason};
use crate::partial::Value;
use crate::wire::ServerMessage;

/// What a viewer holds at a moment.
#[derive(Clone, Debug)]
pub(super) struct Glimpse {
    pub(super) link: Link,
    pub(super) job_id: Option<String>,
    pub(super) value: Option<Value>,
    pub(super) at: Vec<String>,
    pub(super) attempt: u32,
    pub(super) seq: u64,
    pub(super) bytes: u64,
    /// What the model said beside the value, where the viewer asked for it.
    pub(super) notes: String,
}

/// How a viewer is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Live,
    Cut,
    Resumed,
    Ended(Outcome),
}

/// What a viewer tells the stage.
#[derive(Debug)]
pub(super) enum News {
    /// How it looks now.
    Glimpse(Box<Glimpse>),
    /// Something worth a line.
    Line(Row),
    /// Something that the panes show anyway.
    Aside(Row),
}

/// When a viewer's TCP is cut, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) when: Moment,
    pub(super) hold: Duration,
}

/// A moment of a job: an attempt, and how long its draft is by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) attempt: u32,
    pub(super) draft_bytes: usize,
}

/// A viewer's place in the show.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) cut: Option<Cut>,
    pub(super) news: mpsc::Sender<(usize, News)>,
    /// Notes so far, and the kind of the last.
    pub(super) notes: String,
    pub(super) noted: Option<NoteKind>,
}

impl Moment {
    /// Whether it has come; a job that ended has passed every moment.
    pub(super) fn has_come(&self, glimpse: &Glimpse) -> bool {
        let length = glimpse.value.as_ref().map_or(0, |value| value.to_json().len());
        let ended = matches!(glimpse.link, Link::Ended(_));
        ended || (glimpse.attempt >= self.attempt && length >= self.draft_bytes)
    }
}

impl Seat {
    /// Watches to the end.
    pub(super) async fn watch(mut self, mut following: Following) -> Result<Follower, ClientError> {
        let mut link = Link::Live;
        while let Some(update) = following.next().await? {
            link = self.heard(&following, &update, link).await;
            let glimpse = self.glimpse(following.follower(), link);
            let due = self
                .cut
                .take_if(|cut| cut.when.has_come(&glimpse) && link == Link::Live);
            self.tell(News::Glimpse(Box::new(glimpse))).await;
            if let Some(cut) = due {
                link = Link::Cut;
                self.fall(&mut following, cut).await;
            }
        }
        Ok(following.close().await)
    }

    async fn fall(&self, following: &mut Following, cut: Cut) {
        following.cut();
        let glimpse = self.glimpse(following.follower(), Link::Cut);
        self.line(Tone::Bad, &format!("its TCP is cut at seq {}", glimpse.seq))
            .await;
        self.tell(News::Glimpse(Box::new(glimpse))).await;
        clock::sleep(cut.hold).await;
    }

    async fn heard(&mut self, following: &Following, update: &Update, link: Link) -> Link {
        let follower = following.follower();
        match update {
            Update::Message(received, took) => self.message(follower, &received.message, *took, link).await,
            Update::Lost { cause, .. } => {
                self.line(Tone::Warn, &cause.to_string()).await;
                Link::Cut
            }
            Update::Reopened => link,
        }
    }

    async fn message(
        &mut self,
        follower: &Follower,
        message: &ServerMessage,
        took: Took,
        link: Link,
    ) -> Link {
        let seq = follower.position().map_or(0, |position| position.seq);
        match (message, took) {
            (ServerMessage::Attached(_), Took::Bound { resumed: true }) => {
                let told = format!("is back: resumed behind seq {seq}, nothing lost");
                self.line(Tone::Good, &told).await;
                return Link::Resumed;
            }
            (ServerMessage::Attempt(begins), Took::Told)
                if self.index == 0 && begins.event.reason != Reason::First =>
            {
                self.tell(News::Line(words::attempt(&begins.event))).await;
            }
            (ServerMessage::Snapshot(_), Took::Replaced) if self.index == 2 => {
                let told = format!("comes late: one snapshot at seq {seq}, then live");
                self.line(Tone::Good, &told).await;
            }
            (ServerMessage::Note(note), Took::Told) => {
                if self
                    .noted
                    .replace(note.event.kind)
                    .is_some_and(|before| before != note.event.kind)
                {
                    self.notes.push('\n');
                }
                self.notes.push_str(&note.event.text);
            }
            (ServerMessage::End(end), Took::Ended) => {
                let row = Row::of(Tone::Bold, &format!("viewer {} ", self.index + 1));
                let row = row.join(words::ended(end, follower.tally()));
                self.tell(News::Aside(row)).await;
                return Link::Ended(end.outcome);
            }
            _ => {}
        }
        link
    }

    async fn line(&self, tone: Tone, text: &str) {
        let row = Row::of(Tone::Bold, &format!("viewer {} ", self.index + 1)).with(tone, text);
        self.tell(News::Line(row)).await;
    }

    async fn tell(&self, news: News) {
        // The stage outlives its viewers, unless the show was broken off.
        drop(self.news.send((self.index, news)).await);
    }

    fn glimpse(&self, follower: &Follower, link: Link) -> Glimpse {
        let fold = follower.fold();
        Glimpse {
            link,
            job_id: follower.job_id().map(str::to_owned),
            value: follower.value().cloned(),
            at: fold.map(|fold| fold.at.clone()).unwrap_or_default(),
            attempt: fold.map_or(0, |fold| fold.attempt),
            seq: fold.map_or(0, |fold| fold.position.seq),
            bytes: follower.tally().bytes,
            notes: self.notes.clone(),
        }
    }
}
