//! The log and the lease as bare rules: what an engine answers, without an engine.

/// The rules, or all but one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rules {
    All,
    /// A write carries no token.
    NoToken,
    /// The token counts the job's deliveries.
    CountedToken,
    /// A node takes the next seq of an epoch it does not know, whoever its parent is (E1).
    NoParent,
    /// A node that polls compares seq alone (E2).
    PollBySeq,
    /// A claim whose answer was lost is sent again under its old name (E4).
    ClaimNamedTwice,
    /// An end is told before a replica has it (E6).
    EndToldAtOnce,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct At {
    pub epoch: u8,
    pub seq: u8,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Event {
    /// Queued, running, recovering.
    Status,
    /// The draft grows by this.
    Text(u8),
    /// The whole draft (E7).
    State(Vec<u8>),
    /// The end, by its name.
    End(u8),
}

/// An entry as it is in the log: whole, so that two of one position can be held against each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Entry {
    pub at: At,
    /// The epoch before, where this one opens its own.
    pub parent: Option<u8>,
    pub event: Event,
}

/// What a worker sends: nothing in it is made by the store (E3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Write {
    pub at: At,
    pub opens: bool,
    pub event: Event,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    Ok,
    Dup,
    RolledBack(At),
    Lost,
}

impl Answer {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Dup => "dup",
            Self::RolledBack(_) => "rolled back",
            Self::Lost => "lost",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    Ready,
    Running,
    Ended,
}

/// One job.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    pub phase: Phase,
    pub token: u8,
    pub deliveries: u8,
    pub log: Vec<Entry>,
    /// Whether its end is told.
    pub told: bool,
}

impl Store {
    pub fn submitted(epoch: u8) -> Self {
        let mut store = Self {
            phase: Phase::Ready,
            token: 0,
            deliveries: 0,
            log: Vec::new(),
            told: false,
        };
        store.put(At { epoch, seq: 1 }, true, Event::Status);
        store
    }

    pub fn last(&self) -> At {
        self.log.last().map_or(At { epoch: 0, seq: 0 }, |entry| entry.at)
    }

    /// The draft as the log has it.
    pub fn fold(&self) -> Vec<u8> {
        self.log
            .iter()
            .fold(Vec::new(), |fold, entry| entry.event.onto(fold))
    }

    /// Gives the job to a worker: its token.
    pub fn claim(&mut self, rules: Rules, name: u8) -> u8 {
        self.deliveries += 1;
        self.phase = Phase::Running;
        self.token = if rules == Rules::CountedToken {
            self.deliveries
        } else {
            name
        };
        self.by_the_store(name, Event::Status);
        self.token
    }

    /// The lease has run out.
    pub fn reap(&mut self, name: u8) {
        self.phase = Phase::Ready;
        self.token = 0;
        self.by_the_store(name, Event::Status);
    }

    /// A job that nobody works on ends at once.
    pub fn cancel(&mut self, name: u8) {
        self.phase = Phase::Ended;
        self.by_the_store(name, Event::End(name));
    }

    /// What the holder of a lease writes: text, state, end.
    pub fn write(&mut self, rules: Rules, token: u8, write: &Write) -> Answer {
        let last = self.last();
        let fenced = rules != Rules::NoToken && token != self.token;
        if fenced || self.phase == Phase::Ready {
            return Answer::Lost;
        }
        if write.at.epoch == last.epoch && write.at.seq <= last.seq {
            return Answer::Dup;
        }
        if self.phase == Phase::Ended {
            return Answer::Lost;
        }
        let follows = write.at.seq == last.seq + 1 && (write.opens || write.at.epoch == last.epoch);
        if !follows {
            return Answer::RolledBack(last);
        }
        if matches!(write.event, Event::End(_)) {
            self.phase = Phase::Ended;
        }
        self.put(write.at, write.opens, write.event.clone());
        Answer::Ok
    }

    /// What a reader is told: not an end that is promised to nobody yet.
    pub fn visible(&self, rules: Rules) -> &[Entry] {
        let is_told = self.told || rules == Rules::EndToldAtOnce;
        let hidden = usize::from(self.phase == Phase::Ended && !is_told);
        &self.log[..self.log.len() - hidden]
    }

    fn by_the_store(&mut self, name: u8, event: Event) {
        let at = At {
            epoch: name,
            seq: self.last().seq + 1,
        };
        self.put(at, true, event);
    }

    fn put(&mut self, at: At, opens: bool, event: Event) {
        let parent = opens.then(|| self.last().epoch);
        self.log.push(Entry { at, parent, event });
    }
}

impl Event {
    pub fn onto(&self, mut fold: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Status | Self::End(_) => fold,
            Self::Text(text) => {
                fold.push(*text);
                fold
            }
            Self::State(state) => state.clone(),
        }
    }
}
