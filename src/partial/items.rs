//! Parallel tool calls as one value: call i is item i of the array `tasks`, each read by a parser of its own.

use std::sync::Arc;

use super::closing::Closed;
use super::error::{ParseError, ParseErrorKind};
use super::guide::{Guide, NodeId};
use super::machine::{Machine, State};
use super::map::Map;
use super::op::OpSink;
use super::options::DraftOptions;
use super::path;
use super::repair::Repair;
use super::spine::Open;
use super::value::Value;

/// The member that holds the items, in the value of [`Mode::ParallelTools`](super::Mode::ParallelTools).
pub const TASKS: &str = "tasks";

/// Calls of one answer that become items; one more ends the text.
const CALLS_MAX: usize = 1024;
/// Levels of the value above an item.
const LEVELS_ABOVE: usize = 2;

/// The items of an answer. Item i is shown once all before it are: interleaved calls leave no holes.
pub(super) struct Items {
    options: DraftOptions,
    items: Vec<Item>,
    /// The model has said that there is none.
    none: bool,
    /// How many items viewers hold; `None` while they do not know the array.
    told: Option<usize>,
    /// The open places that viewers know of.
    open_told: Vec<String>,
    /// The items before this one are closed and told.
    settled: usize,
    /// The answer has ended, and every item with it.
    closed: bool,
    error: Option<ParseError>,
    /// In order of their coming, with pointers from the root.
    pub(super) repairs: Vec<Repair>,
    /// The pointer that is told, from the root.
    pointer: String,
}

struct Item {
    machine: Machine,
    bytes_fed: usize,
    /// How many of its repairs are listed with the others.
    repairs: usize,
}

impl Items {
    pub(super) fn new(options: DraftOptions) -> Self {
        Self {
            options,
            items: Vec::new(),
            none: false,
            told: None,
            open_told: Vec::new(),
            settled: 0,
            closed: false,
            error: None,
            repairs: Vec::new(),
            pointer: String::new(),
        }
    }

    /// The model says that there is no item.
    pub(super) fn say_none(&mut self) {
        self.none = true;
    }

    /// Reads more of a call; `room` is how many bytes all calls together may still have.
    pub(super) fn feed(&mut self, slot: usize, bytes: &[u8], room: usize) {
        if self.error.is_some() {
            return;
        }
        while self.items.len() <= slot {
            if self.items.len() == CALLS_MAX {
                return self.fail(slot, ParseErrorKind::CallsLimit, CALLS_MAX);
            }
            self.begin_item();
        }
        let Some(item) = self.items.get_mut(slot) else {
            return;
        };
        item.read(&bytes[..bytes.len().min(room)]);
        let (error, new) = (item.machine.error.clone(), item.repairs);
        item.repairs = item.machine.repairs.len();
        let prefix = item_pointer(slot);
        self.repairs
            .extend(item.machine.repairs[new..].iter().map(|repair| Repair {
                path: format!("{prefix}{}", repair.path),
                ..repair.clone()
            }));
        if let Some(error) = error {
            let path = format!("{prefix}{}", error.path);
            self.error = Some(ParseError { path, ..error });
        } else if bytes.len() > room {
            self.fail(slot, ParseErrorKind::BytesLimit, self.options.limits.bytes_max);
        }
    }

    /// Drops what was read of a call, of which nothing was shown.
    pub(super) fn restart(&mut self, slot: usize) {
        if let Some(item) = self.items.get_mut(slot) {
            item.machine.restart();
            (item.bytes_fed, item.repairs) = (0, 0);
        }
        let prefix = item_pointer(slot);
        let is_below = |path: &str| {
            path.strip_prefix(&prefix)
                .is_some_and(|rest| !rest.starts_with(|c| c != '/'))
        };
        self.repairs.retain(|repair| !is_below(&repair.path));
        self.error.take_if(|error| is_below(&error.path));
    }

    fn begin_item(&mut self) {
        let mut options = self.options.clone();
        options.limits.depth_max = options.limits.depth_max.saturating_sub(LEVELS_ABOVE);
        options.guide = options.guide.take().map(|whole| {
            let node = match whole.member(whole.root(), TASKS) {
                NodeId::NONE => NodeId::NONE,
                array => whole.item(array, self.items.len()),
            };
            Arc::new(ItemGuide {
                whole,
                node,
                pointer: item_pointer(self.items.len()),
            }) as Arc<dyn Guide>
        });
        self.items.push(Item {
            machine: Machine::new(options),
            bytes_fed: 0,
            repairs: 0,
        });
    }

    fn fail(&mut self, slot: usize, kind: ParseErrorKind, limit: usize) {
        self.error = Some(ParseError {
            offset: self.items.get(slot).map_or(0, |item| item.bytes_fed),
            path: item_pointer(slot),
            kind,
            found: None,
            limit: Some(limit),
        });
    }

    /// The answer is over: whether all of it is whole.
    pub(super) fn finish(&mut self) -> bool {
        for item in &mut self.items {
            item.machine.finish();
        }
        let whole = self.items.iter().all(|item| item.machine.state == State::Done);
        self.closed = whole && self.is_begun() && self.error.is_none();
        self.closed
    }

    pub(super) fn error(&self) -> Option<&ParseError> {
        self.error.as_ref()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn is_shown(&self, slot: usize) -> bool {
        self.items
            .get(slot)
            .is_some_and(|item| item.machine.spine.is_shown())
    }

    pub(super) fn repairs_made(&self) -> usize {
        self.items.iter().map(|item| item.machine.repairs_made).sum()
    }

    pub(super) fn duplicate_keys(&self) -> usize {
        let spines = self.items.iter().map(|item| &item.machine.spine);
        spines.map(|spine| spine.duplicate_keys).sum()
    }

    /// Whether the root's type is known (rule V1): calls have begun, or there will be none.
    fn is_begun(&self) -> bool {
        self.none || !self.items.is_empty()
    }

    /// Tells what has changed; looks only at items that are open or new. Kept out of line, so that the flush of a
    /// single text stays small.
    #[cold]
    #[inline(never)]
    pub(super) fn flush<S: OpSink + ?Sized>(&mut self, sink: &mut S) -> bool {
        if !self.is_begun() {
            return false;
        }
        let mut wrote = false;
        let mut told = self.told.unwrap_or_else(|| {
            sink.set("", &whole(Vec::new()));
            wrote = true;
            0
        });
        for (slot, item) in self.items.iter_mut().enumerate().skip(self.settled) {
            if slot == told {
                if !item.machine.spine.is_shown() {
                    break;
                }
                told += 1;
            }
            self.pointer.clear();
            self.pointer.push_str("/tasks");
            path::push_index(&mut self.pointer, slot);
            let prefix = self.pointer.len();
            wrote |= item.machine.spine.flush(&mut Below {
                pointer: &mut self.pointer,
                prefix,
                sink,
            });
            if slot == self.settled && item.machine.state == State::Done {
                self.settled += 1;
            }
        }
        self.told = Some(told);
        wrote
    }

    /// What is visible now.
    pub(super) fn value(&self) -> Option<Value> {
        self.is_begun().then(|| {
            let items = self.items.iter().map_while(|item| item.machine.spine.value());
            whole(items.collect())
        })
    }

    /// What has become of them since the last call.
    pub(super) fn track_open(&mut self) -> Open {
        let open = self.open_paths();
        if open == self.open_told {
            return Open::Same;
        }
        self.open_told = open;
        Open::Other
    }

    /// The open places: the open items', or the array while another call may come.
    pub(super) fn open_paths(&self) -> Vec<String> {
        if !self.is_begun() || self.closed {
            return Vec::new();
        }
        let items = self.items.iter().enumerate().skip(self.settled);
        let shown = items.take_while(|(_, item)| item.machine.spine.is_shown());
        let mut open: Vec<String> = shown
            .filter_map(|(slot, item)| {
                let below = item.machine.spine.open_path()?;
                Some(item_pointer(slot) + &below)
            })
            .collect();
        if open.is_empty() {
            open.push(format!("/{TASKS}"));
        }
        open
    }
}

impl Item {
    fn read(&mut self, bytes: &[u8]) {
        let base = self.bytes_fed;
        self.bytes_fed += bytes.len();
        let read = self.machine.feed(base, bytes);
        if read < bytes.len() {
            self.machine.read_behind(base + read, &bytes[read..]);
        }
    }
}

fn item_pointer(slot: usize) -> String {
    format!("/{TASKS}/{slot}")
}

fn whole(items: Vec<Value>) -> Value {
    let mut root = Map::new();
    root.push(TASKS.into(), Value::Array(items));
    Value::Object(root)
}

/// The part of a schema's steering that lies below one item.
struct ItemGuide {
    whole: Arc<dyn Guide>,
    node: NodeId,
    /// Where the item stands.
    pointer: String,
}

impl Guide for ItemGuide {
    fn root(&self) -> NodeId {
        self.node
    }

    fn member(&self, node: NodeId, key: &str) -> NodeId {
        self.whole.member(node, key)
    }

    fn item(&self, node: NodeId, index: usize) -> NodeId {
        self.whole.item(node, index)
    }

    fn is_atomic(&self, node: NodeId) -> bool {
        self.whole.is_atomic(node)
    }

    fn is_missing_as_null(&self, node: NodeId) -> bool {
        self.whole.is_missing_as_null(node)
    }

    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        self.whole.awaited(node)
    }

    fn hears(&self) -> bool {
        self.whole.hears()
    }

    fn closed(&self, closed: Closed<'_>) {
        self.whole.closed(closed.below(&self.pointer, LEVELS_ABOVE));
    }

    fn dropped(&self, path: &str) {
        self.whole.dropped(&format!("{}{path}", self.pointer));
    }
}

/// Tells an item's changes from the root.
struct Below<'a, S: OpSink + ?Sized> {
    pointer: &'a mut String,
    prefix: usize,
    sink: &'a mut S,
}

impl<S: OpSink + ?Sized> Below<'_, S> {
    fn point_at(&mut self, path: &str) {
        self.pointer.truncate(self.prefix);
        self.pointer.push_str(path);
    }
}

impl<S: OpSink + ?Sized> OpSink for Below<'_, S> {
    fn append(&mut self, path: &str, text: &str) {
        self.point_at(path);
        self.sink.append(self.pointer, text);
    }

    fn set(&mut self, path: &str, value: &Value) {
        self.point_at(path);
        self.sink.set(self.pointer, value);
    }

    fn remove(&mut self, path: &str) {
        self.point_at(path);
        self.sink.remove(self.pointer);
    }
}
