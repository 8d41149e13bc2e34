//! One job, two workers, a viewer behind a node, a replica that lags: every order of what can happen to them.

use std::collections::BTreeMap;

use stateright::{Model, Property};

use super::store::{Answer, At, Entry, Event, Phase, Rules, Store, Write};

/// The bounds of the world, and its rules.
#[derive(Clone, Debug)]
pub struct World {
    pub rules: Rules,
    pub claims: u8,
    pub texts: u8,
    pub failovers: u8,
}

/// Names drawn for epochs, tokens and ends, at most: what is beyond is not looked at.
const NAMES_MAX: u8 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Claim(usize),
    /// The answer of a claim is lost.
    ClaimUnheard,
    /// A worker has something to say, or is done.
    Say(usize),
    Finish(usize),
    /// What it has to say is sent; or is, and the answer is lost.
    Send(usize),
    SendUnheard(usize),
    Reap,
    Cancel,
    Replicate,
    /// The replica takes over.
    Failover,
    /// The end is told.
    Tell,
    /// A live message reaches the node, in any order, at any time, as often as it likes.
    Hear(At),
    /// The node reads the log.
    Poll,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    pub token: u8,
    /// Which claim made it.
    claim: u8,
    at: At,
    pub fold: Vec<u8>,
    pub pending: Option<Write>,
}

/// A viewer, and the node that it asks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Viewer {
    at: At,
    fold: Vec<u8>,
    ends: Vec<u8>,
}

/// An entry that was written once, what the log's draft was with it, and whether it went on the wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Written {
    entry: Entry,
    fold: Vec<u8>,
    live: bool,
}

/// What must never come true.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
struct Broken {
    two_meanings: bool,
    zombie: bool,
    left_behind: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub store: Store,
    pub replica: Store,
    pub workers: [Option<Worker>; 2],
    viewer: Viewer,
    pub names: u8,
    texts: u8,
    claims: u8,
    failovers: u8,
    /// The claim that the store has made last.
    holder: u8,
    replica_holder: u8,
    /// The name of a claim whose answer was lost.
    unheard: Option<u8>,
    written: BTreeMap<At, Written>,
    broken: Broken,
    /// The last answer to a worker.
    pub answer: Option<Answer>,
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let store = Store::submitted(1);
        let mut state = State {
            viewer: Viewer {
                at: store.last(),
                fold: Vec::new(),
                ends: Vec::new(),
            },
            replica: store.clone(),
            store,
            workers: [None, None],
            names: 1,
            texts: 0,
            claims: 0,
            failovers: 0,
            holder: 0,
            replica_holder: 0,
            unheard: None,
            written: BTreeMap::new(),
            broken: Broken::default(),
            answer: None,
        };
        state.record(self.rules);
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let (store, is_ready) = (&state.store, state.store.phase == Phase::Ready);
        for (number, worker) in state.workers.iter().enumerate() {
            match worker {
                None if is_ready && state.claims < self.claims => steps.push(Step::Claim(number)),
                None => {}
                Some(worker) if worker.pending.is_some() => {
                    steps.extend([Step::Send(number), Step::SendUnheard(number)]);
                }
                Some(_) => {
                    if state.texts < self.texts {
                        steps.push(Step::Say(number));
                    }
                    steps.push(Step::Finish(number));
                }
            }
        }
        if is_ready && state.claims < self.claims {
            steps.push(Step::ClaimUnheard);
        }
        match store.phase {
            Phase::Running => steps.push(Step::Reap),
            Phase::Ready => steps.push(Step::Cancel),
            Phase::Ended if !store.told && self.is_safe(state) => steps.push(Step::Tell),
            Phase::Ended => {}
        }
        if state.failovers < self.failovers && state.replica != *store {
            steps.extend([Step::Replicate, Step::Failover]);
        }
        let live = state.written.values().filter(|written| written.live);
        let next = live.filter(|written| written.entry.at.seq == state.viewer.at.seq + 1);
        steps.extend(next.map(|written| Step::Hear(written.entry.at)));
        steps.push(Step::Poll);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        next.answer = None;
        match step {
            Step::Claim(worker) => next.claim(self.rules, Some(worker)),
            Step::ClaimUnheard => next.claim(self.rules, None),
            Step::Say(worker) => next.say(worker),
            Step::Finish(worker) => next.finish(worker),
            Step::Send(worker) => next.send(self.rules, worker, true),
            Step::SendUnheard(worker) => next.send(self.rules, worker, false),
            Step::Reap => {
                let name = next.name();
                next.store.reap(name);
            }
            Step::Cancel => {
                let name = next.name();
                next.store.cancel(name);
            }
            Step::Replicate => (next.replica, next.replica_holder) = (next.store.clone(), next.holder),
            Step::Failover => {
                next.failovers += 1;
                (next.store, next.holder) = (next.replica.clone(), next.replica_holder);
            }
            Step::Tell => next.store.told = true,
            Step::Hear(at) => next.hear(self.rules, at),
            Step::Poll => next.poll(self.rules),
        }
        next.record(self.rules);
        (next != *state).then_some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.names <= NAMES_MAX
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a position has one meaning", |_, state: &State| {
                !state.broken.two_meanings
            }),
            Property::always("only the holder of the lease writes", |_, state: &State| {
                !state.broken.zombie
            }),
            Property::always("a viewer holds what the log had", |_, state: &State| {
                state.sees_right()
            }),
            Property::always("a poll leaves nobody behind", |_, state: &State| {
                !state.broken.left_behind
            }),
            Property::always("nobody sees two ends", |_, state: &State| {
                state.viewer.ends.len() <= 1
            }),
            Property::always("an end is the last entry", |_, state: &State| state.ends_once()),
            Property::sometimes("an end is seen", |_, state: &State| !state.viewer.ends.is_empty()),
            Property::sometimes("a write is answered twice", |_, state: &State| {
                state.answer == Some(Answer::Dup)
            }),
            Property::sometimes("a zombie is refused", |_, state: &State| {
                state.answer == Some(Answer::Lost)
            }),
            Property::sometimes("a write is rolled back", |_, state: &State| {
                matches!(state.answer, Some(Answer::RolledBack(_)))
            }),
        ]
    }
}

impl World {
    /// Whether no failover can lose what the log has now.
    fn is_safe(&self, state: &State) -> bool {
        state.failovers == self.failovers || state.replica.log == state.store.log
    }
}

impl State {
    /// A name that nobody has had before.
    const fn name(&mut self) -> u8 {
        self.names += 1;
        self.names
    }

    fn claim(&mut self, rules: Rules, worker: Option<usize>) {
        let again = self.unheard.take().filter(|_| rules == Rules::ClaimNamedTwice);
        let name = match again {
            Some(name) => name,
            None => self.name(),
        };
        let token = self.store.claim(rules, name);
        self.claims += 1;
        self.holder = self.claims;
        match worker {
            Some(number) => {
                self.workers[number] = Some(Worker {
                    token,
                    claim: self.claims,
                    at: self.store.last(),
                    fold: self.store.fold(),
                    pending: None,
                });
            }
            None => self.unheard = Some(name),
        }
    }

    fn say(&mut self, number: usize) {
        self.texts += 1;
        let text = self.texts;
        if let Some(worker) = &mut self.workers[number] {
            worker.fold.push(text);
            worker.pending = Some(worker.next(Event::Text(text)));
        }
    }

    fn finish(&mut self, number: usize) {
        let name = self.name();
        if let Some(worker) = &mut self.workers[number] {
            worker.pending = Some(worker.next(Event::End(name)));
        }
    }

    fn send(&mut self, rules: Rules, number: usize, is_heard: bool) {
        let Some(worker) = self.workers[number].clone() else {
            return;
        };
        let Some(write) = &worker.pending else { return };
        let answer = self.store.write(rules, worker.token, write);
        self.answer = Some(answer);
        self.broken.zombie |= answer == Answer::Ok && worker.claim != self.holder;
        if is_heard {
            self.answered(number, worker, answer);
        }
    }

    fn answered(&mut self, number: usize, mut worker: Worker, answer: Answer) {
        let Some(write) = worker.pending.take() else {
            return;
        };
        let ends = matches!(write.event, Event::End(_));
        self.workers[number] = match answer {
            Answer::Lost => None,
            Answer::Ok | Answer::Dup if ends => None,
            Answer::Ok | Answer::Dup => {
                worker.at = write.at;
                Some(worker)
            }
            Answer::RolledBack(last) => {
                let at = At {
                    epoch: self.name(),
                    seq: last.seq + 1,
                };
                worker.pending = Some(Write {
                    at,
                    opens: true,
                    event: Event::State(worker.fold.clone()),
                });
                Some(worker)
            }
        };
    }

    /// A live message of the next seq: taken where it is of the line that the node is on.
    fn hear(&mut self, rules: Rules, at: At) {
        let entry = self.written[&at].entry.clone();
        let held = self.viewer.at;
        let of_line = match entry.parent {
            None => at.epoch == held.epoch,
            Some(parent) => parent == held.epoch || rules == Rules::NoParent,
        };
        if of_line {
            self.viewer.take(&entry);
        }
    }

    /// The node reads the log from where it stands, or whole.
    fn poll(&mut self, rules: Rules) {
        let visible = self.store.visible(rules);
        let Some(last) = visible.last().map(|entry| entry.at) else {
            return;
        };
        if rules == Rules::PollBySeq && last.seq == self.viewer.at.seq {
            self.broken.left_behind |= last != self.viewer.at;
            return;
        }
        match visible.iter().position(|entry| entry.at == self.viewer.at) {
            Some(held) => visible[held + 1..]
                .iter()
                .for_each(|entry| self.viewer.take(entry)),
            None => {
                self.viewer.fold.clear();
                visible.iter().for_each(|entry| self.viewer.take(entry));
            }
        }
    }

    /// What is in the log is held against all that was ever written.
    fn record(&mut self, rules: Rules) {
        let told = self.store.visible(rules).len();
        let mut fold = Vec::new();
        for (number, entry) in self.store.log.iter().enumerate() {
            fold = entry.event.onto(fold);
            let live = number < told;
            let new = Written {
                entry: entry.clone(),
                fold: fold.clone(),
                live,
            };
            let known = self.written.entry(entry.at).or_insert(new);
            self.broken.two_meanings |= known.entry != *entry || known.fold != fold;
            known.live |= live;
        }
    }

    /// Where the viewer stands, and what it holds.
    pub fn seen(&self) -> (At, &[u8]) {
        (self.viewer.at, &self.viewer.fold)
    }

    fn sees_right(&self) -> bool {
        let had = self.written.get(&self.viewer.at);
        had.is_some_and(|written| written.fold == self.viewer.fold)
    }

    fn ends_once(&self) -> bool {
        let log = &self.store.log;
        let before = &log[..log.len().saturating_sub(1)];
        before.iter().all(|entry| !matches!(entry.event, Event::End(_)))
    }
}

impl Worker {
    fn next(&self, event: Event) -> Write {
        let at = At {
            seq: self.at.seq + 1,
            ..self.at
        };
        Write {
            at,
            opens: false,
            event,
        }
    }
}

impl Viewer {
    fn take(&mut self, entry: &Entry) {
        self.at = entry.at;
        self.fold = entry.event.onto(std::mem::take(&mut self.fold));
        if let Event::End(name) = entry.event
            && !self.ends.contains(&name)
        {
            self.ends.push(name);
        }
    }
}
