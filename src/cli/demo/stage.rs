//! The stage: two viewers side by side and what happened above them.

use tokio::time::Instant;

use super::viewer::{Glimpse, Link};
use crate::cli::outline::{outline, prose, tail};
use crate::cli::paint::{Row, Tone};
use crate::cli::screen::{Screen, WIDTH};
use crate::cli::words;
use crate::clock;
use crate::job::Outcome;
use crate::partial::Value;

/// Columns of one of the two panes: the margin, and three columns between them.
const PANE: usize = (WIDTH - MARGIN - 3) / 2;
const MARGIN: usize = 2;
/// The stage of one scene.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    screen: &'a mut Screen,
    height: usize,
    started: Instant,
    glimpses: Vec<Option<Glimpse>>,
    /// Where there is nothing to draw on: how long each viewer's draft is when it is told next.
    plain: [usize; 3],
}

impl<'a> Stage<'a> {
    pub(super) fn new(screen: &'a mut Screen, height: usize) -> Self {
        Self {
            screen,
            height,
            started: clock::now(),
            glimpses: vec![None, None, None],
            plain: [1; 3],
        }
    }

    /// What a viewer was last seen with.
    pub(super) fn glimpse(&self, viewer: usize) -> Option<&Glimpse> {
        self.glimpses.get(viewer)?.as_ref()
    }

    /// A line that stays, with its time.
    pub(super) fn line(&mut self, row: Row) {
        let seconds = (clock::now() - self.started).as_secs_f64();
        let time = Row::of(Tone::Dim, &format!("  {seconds:4.1} s  "));
        self.screen.line(&time.join(row).clip(WIDTH));
    }

    /// The same, told only where there is nothing to draw on.
    pub(super) fn aside(&mut self, row: Row) {
        if !self.screen.is_live() {
            self.line(row);
        }
    }

    /// A viewer looks different now; it is seen with the next [`draw`](Self::draw).
    pub(super) fn show(&mut self, viewer: usize, glimpse: Glimpse) {
        if !self.screen.is_live() {
            self.tell(viewer, &glimpse);
        }
        self.glimpses[viewer] = Some(glimpse);
    }

    /// The draft as a line, each time it has grown fourfold.
    fn tell(&mut self, viewer: usize, glimpse: &Glimpse) {
        let draft = glimpse.value.as_ref().map(Value::to_json).unwrap_or_default();
        if draft.len() < self.plain[viewer] || glimpse.link != Link::Live {
            return;
        }
        self.plain[viewer] = draft.len().max(10) * 4;
        let row = Row::of(Tone::Bold, &format!("viewer {} ", viewer + 1));
        self.line(row.with(Tone::Text, &draft));
    }

    /// Draws the last state and leaves it.
    pub(super) fn close(mut self) {
        self.draw();
        self.screen.keep();
    }

    /// Draws the panes.
    pub(super) fn draw(&mut self) {
        if self.screen.is_live() {
            let rows = self.rows();
            self.screen.draw(&rows);
        }
    }

    fn rows(&self) -> Vec<Row> {
        let left = self.pane(0);
        let right = self.pane(1);
        let mut rows: Vec<Row> = left
            .into_iter()
            .zip(right)
            .map(|(left, right)| margin().join(left.fit(PANE)).with(Tone::Dim, " │ ").join(right))
            .collect();
        if let Some(late) = self.glimpse(2) {
            let told = format!("seq {} · {}", late.seq, words::bytes(late.bytes));
            let row = head(2, Some(late)).join(Row::of(Tone::Dim, &format!("   {told}")));
            rows.push(margin().join(row).clip(WIDTH));
        }
        rows
    }

    /// A head, a line of numbers, and the draft: always the same count of rows.
    fn pane(&self, viewer: usize) -> Vec<Row> {
        let glimpse = self.glimpse(viewer);
        let mut rows = vec![head(viewer, glimpse), numbers(glimpse)];
        if let Some(glimpse) = glimpse {
            let mut draft = prose(Tone::Dim, &glimpse.notes, PANE);
            if !draft.is_empty() && glimpse.value.is_some() {
                draft.push(Row::new());
            }
            draft.extend(outline(glimpse.value.as_ref(), &glimpse.at, PANE));
            let dim = glimpse.link == Link::Cut;
            let draft = tail(draft, self.height).into_iter();
            rows.extend(draft.map(|row| if dim { row.toned(Tone::Dim) } else { row }));
        }
        rows.resize(self.height + 2, Row::new());
        rows.into_iter().map(|row| row.clip(PANE)).collect()
    }
}

fn margin() -> Row {
    Row::of(Tone::Plain, &" ".repeat(MARGIN))
}

/// `viewer 2` on the left, how it is connected on the right.
fn head(viewer: usize, glimpse: Option<&Glimpse>) -> Row {
    let (tone, link) = match glimpse.map(|glimpse| glimpse.link) {
        None => (Tone::Dim, "connecting"),
        Some(Link::Live) => (Tone::Good, "● live"),
        Some(Link::Cut) => (Tone::Bad, "✗ TCP cut"),
        Some(Link::Resumed) => (Tone::Good, "● live, resumed"),
        Some(Link::Ended(Outcome::Completed)) => (Tone::Good, "✓ completed"),
        Some(Link::Ended(Outcome::Failed)) => (Tone::Bad, "✗ failed"),
        Some(Link::Ended(Outcome::Cancelled)) => (Tone::Bad, "✗ cancelled"),
        Some(Link::Ended(Outcome::Incomplete)) => (Tone::Bad, "✗ incomplete"),
    };
    let link = Row::of(tone, link);
    Row::of(Tone::Bold, &format!("viewer {}", viewer + 1))
        .fit(PANE - link.columns())
        .join(link)
}

fn numbers(glimpse: Option<&Glimpse>) -> Row {
    glimpse.map_or_else(Row::new, |glimpse| {
        let told = format!(
            "attempt {} · seq {} · {}",
            glimpse.attempt,
            glimpse.seq,
            words::bytes(glimpse.bytes)
        );
        Row::of(Tone::Dim, &told)
    })
}
