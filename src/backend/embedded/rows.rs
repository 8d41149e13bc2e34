//! Jobs as rows of the store, and back.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::log::JobLog;
use super::row::JobRow;
use super::saving::{Stored, Unsaved};
use crate::backend::JobFacts;
use crate::event::{self, Ended, Entry, Epoch, Fold, LogEnd, Position, Record};
use crate::hex;
use crate::job::{JobId, JobSpec, JobState};
use crate::store::column::{count, number, small};
use crate::store::engine::{self as rows, EntryRow, JobChange, RawChange, RawRow, RunRow, StoredJob};

/// What changes in the store.
pub(super) fn change(unsaved: &Unsaved) -> Result<JobChange, serde_json::Error> {
    let row = &unsaved.row;
    let entries: Result<_, _> = unsaved.entries.iter().map(|entry| entry_row(entry)).collect();
    let snapshot = match &unsaved.snapshot {
        Some(fold) => Some((serde_json::to_string(&**fold)?, number(fold.position.seq))),
        None => None,
    };
    Ok(JobChange {
        job: unsaved.id.to_string(),
        fixed: if unsaved.arrives() {
            Some(fixed(unsaved)?)
        } else {
            None
        },
        run: run(row)?,
        snapshot,
        entries: entries?,
        raw: RawChange {
            restarts: row.stored.raw_restarts,
            part: row.stored.raw_parts,
            text: unsaved.raw.clone(),
        },
    })
}

/// What the archive is to be told: that a job is kept, or that it has ended.
pub(super) fn record(unsaved: &Unsaved) -> Option<Record> {
    if !unsaved.arrives() && !unsaved.ends() {
        return None;
    }
    let spec = unsaved.spec()?;
    Some(Record {
        job: unsaved.id,
        tenant: unsaved.row.facts.tenant.to_string(),
        model: spec.model.clone(),
        metadata: spec.metadata.clone(),
        submitted_ms: unsaved.row.submitted_ms,
        ended: ended(unsaved),
    })
}

fn ended(unsaved: &Unsaved) -> Option<Ended> {
    let log = unsaved.log();
    let end = log.end()?;
    let mut before = log.fold_before_end();
    Some(Ended {
        at_ms: unsaved.row.ended_ms?,
        end: end.clone(),
        value: before.value.take().map(|value| value.to_json()),
        log: Some(LogEnd {
            position: log.last(),
            before,
            shape: Arc::clone(&unsaved.row.facts.shape),
        }),
    })
}

fn fixed(unsaved: &Unsaved) -> Result<rows::JobRow, serde_json::Error> {
    let row = &unsaved.row;
    Ok(rows::JobRow {
        tenant: row.facts.tenant.to_string(),
        spec: match unsaved.spec() {
            Some(spec) => serde_json::to_string(spec)?,
            None => String::new(),
        },
        shape: serde_json::to_string(&*row.facts.shape)?,
        key: row
            .key
            .as_ref()
            .map(|(_, key)| (key.to_string(), hex::encode(&row.request))),
        submitted_ms: number(row.submitted_ms),
    })
}

fn run(row: &JobRow) -> Result<RunRow, serde_json::Error> {
    let last = row.log.last();
    Ok(RunRow {
        state: row.state.to_string(),
        until_ms: number(row.until_ms),
        claims: row.claims.into(),
        deliveries: row.deliveries.into(),
        losses: row.losses.into(),
        restarts: row.restarts.into(),
        cancelled_ms: row.cancelled_ms.map(number),
        given_up: row.given_up,
        viewed: row.viewed,
        dead: row.dead,
        redriven: row.redriven.map(|job| job.to_string()),
        claimed_ms: row.claimed_ms.map(number),
        ended_ms: row.ended_ms.map(number),
        record: serde_json::to_string(&row.record)?,
        lineage: serde_json::to_string(row.log.lineage())?,
        epoch: last.epoch.to_string(),
        seq: number(last.seq),
    })
}

fn entry_row(entry: &Entry) -> Result<EntryRow, serde_json::Error> {
    Ok(EntryRow {
        seq: number(entry.position.seq),
        epoch: entry.position.epoch.to_string(),
        opens: entry
            .opens
            .map(|parent| parent.map_or_else(String::new, |parent| parent.to_string())),
        kind: entry.event.kind().to_owned(),
        payload: event::encode(&entry.event)?,
    })
}

/// A job as it was stored; what cannot be one is told in words.
pub(super) fn read(job: StoredJob) -> Result<(JobId, JobRow), String> {
    let what = job.job.clone();
    read_job(job).map_err(|error| format!("job {what}: {error}"))
}

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

fn read_job(job: StoredJob) -> Result<(JobId, JobRow), Unreadable> {
    let id: JobId = job.job.parse()?;
    let StoredJob {
        fixed,
        run,
        snapshot,
        entries,
        raw,
        ..
    } = job;
    let tenant: Arc<str> = fixed.tenant.into();
    let spec = read_spec(&fixed.spec)?;
    let facts = Arc::new(JobFacts {
        id,
        tenant: Arc::clone(&tenant),
        shape: Arc::new(serde_json::from_str(&fixed.shape)?),
        unviewed_ms: spec
            .as_ref()
            .and_then(|spec| spec.on_last_viewer_gone.cancel_after_ms()),
    });
    let log = read_log(&snapshot, &entries, &run)?;
    let state = state(&run.state)?;
    agrees(state, run.dead, &log, &fixed.spec)?;
    let (raw_parts, raw) = (raw.len(), read_raw(&raw)?);
    let request = fixed
        .key
        .as_ref()
        .map(|(_, request)| hash(request))
        .unwrap_or_default();
    Ok((
        id,
        JobRow {
            facts,
            spec,
            key: fixed.key.map(|(key, _)| (tenant, key.into())),
            request,
            asked_bytes: 0,
            in_line_ms: 0,
            charged: 0,
            state,
            token: None,
            until_ms: count(run.until_ms),
            claims: small(run.claims),
            deliveries: small(run.deliveries),
            losses: small(run.losses),
            restarts: small(run.restarts),
            cancelled_ms: run.cancelled_ms.map(count),
            given_up: run.given_up,
            viewing: BTreeSet::new(),
            viewed: run.viewed,
            dead: run.dead,
            redriven: run.redriven.map(|job| job.parse()).transpose()?,
            redrives: None,
            unviewed_until_ms: None,
            submitted_ms: count(fixed.submitted_ms),
            claimed_ms: run.claimed_ms.map(count),
            ended_ms: run.ended_ms.map(count),
            snapshot_bytes: snapshot.len(),
            record: serde_json::from_str(&run.record)?,
            stored: stored(&log, (raw.len(), raw_parts), run.ended_ms.is_some())?,
            log,
            raw,
        },
    ))
}

/// All that was read: so much raw text in so many parts, and whether there is an end.
fn stored(log: &JobLog, raw: (usize, usize), end: bool) -> Result<Stored, Unreadable> {
    Ok(Stored {
        fixed: true,
        seq: log.last().seq,
        snapshot: Some(log.snapshot().position),
        raw_len: raw.0,
        raw_parts: i64::try_from(raw.1)?,
        raw_restarts: false,
        end,
        behind_bytes: 0,
    })
}

/// What is asked for; gone once the job has ended.
fn read_spec(text: &str) -> Result<Option<Arc<JobSpec>>, serde_json::Error> {
    match text {
        "" => Ok(None),
        spec => serde_json::from_str(spec).map(|spec| Some(Arc::new(spec))),
    }
}

fn read_log(snapshot: &str, entries: &[EntryRow], run: &RunRow) -> Result<JobLog, Unreadable> {
    let fold: Fold = serde_json::from_str(snapshot)?;
    let tail: Vec<Entry> = entries.iter().map(read_entry).collect::<Result<_, _>>()?;
    let last = Position {
        epoch: run.epoch.parse()?,
        seq: count(run.seq),
    };
    follows(fold.position, &tail, last)?;
    Ok(JobLog::stored(
        serde_json::from_str(&run.lineage)?,
        last,
        fold,
        tail,
    ))
}

/// Whether the parts of a job are of one moment.
fn agrees(state: JobState, dead: bool, log: &JobLog, spec: &str) -> Result<(), String> {
    if state.is_end() != log.end().is_some() {
        return Err(format!("it is {state}, and its log says otherwise"));
    }
    if (dead || !state.is_end()) && spec.is_empty() {
        return Err("what it asks for is gone, and is still needed".to_owned());
    }
    Ok(())
}

/// Whether a tail goes from where it begins to where the log ends, without a hole.
fn follows(from: Position, tail: &[Entry], last: Position) -> Result<(), String> {
    let mut at = from;
    for entry in tail {
        if entry.position.seq != at.seq + 1 {
            return Err(format!("its log has a hole behind seq {}", at.seq));
        }
        at = entry.position;
    }
    if at == last {
        Ok(())
    } else {
        Err(format!("its log ends at {at}, and should at {last}"))
    }
}

fn read_raw(pieces: &[RawRow]) -> Result<String, String> {
    let mut raw = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        if i64::try_from(at) != Ok(piece.part) {
            return Err(format!("piece {at} of its raw text is gone"));
        }
        raw.push_str(&piece.text);
    }
    Ok(raw)
}

fn read_entry(row: &EntryRow) -> Result<Entry, Unreadable> {
    let position = Position {
        epoch: row.epoch.parse()?,
        seq: count(row.seq),
    };
    let opens = match row.opens.as_deref() {
        None => None,
        Some("") => Some(None),
        Some(parent) => Some(Some(Epoch::from_str(parent)?)),
    };
    Ok(event::decode(position, opens, &row.kind, &row.payload)?)
}

fn state(word: &str) -> Result<JobState, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(word))
}

/// What is no hash names no request: a key with it conflicts with every other.
fn hash(text: &str) -> [u8; 32] {
    let bytes = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or_default()
}
