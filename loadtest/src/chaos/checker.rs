//! What must hold of histories, whatever was done to the system. Pure: histories in, what is broken out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::history::{JobHistory, Position, Step, Toll, View, is_end};

/// Continuations that a job may have of itself, and one restart behind them.
const CONTINUATIONS_MAX: usize = 4;

/// The rules, by what breaks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A job that was accepted comes to an end, and stays known.
    Lost,
    /// A key names one job; an event comes once to a viewer.
    Duplicated,
    /// (epoch, seq) → bytes is a function.
    Bytes,
    /// Who holds the same position holds the same state.
    State,
    /// There is one end, for all, and nothing behind it.
    End,
    /// What comes fits what is held, and the value is what its end says.
    Fits,
    /// Behind an acknowledged cancel nothing is written but the end.
    Cancel,
    /// Attempts are bounded.
    Attempts,
}

/// A rule that does not hold, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) words: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {}", self.rule, self.words)
    }
}

/// All that does not hold; `takeovers_max`: how often a worker may have been lost. Of a job that a failover has lost only
/// what holds for ever is asked: the two functions, and that what comes fits. One that it has set back comes to its end
/// besides, as every job does; what its viewers saw before may be undone.
pub(crate) fn check(jobs: &[JobHistory], takeovers_max: usize, toll: &Toll) -> Vec<Broken> {
    let mut all = Vec::new();
    for job in jobs {
        let mut judge = Judge {
            job,
            takeovers_max,
            broken: &mut all,
        };
        judge.functions();
        judge.fits();
        if job.is_among(&toll.lost) {
            continue;
        }
        judge.kept();
        if job.is_among(&toll.set_back) {
            continue;
        }
        judge.one_end();
        job.views.iter().for_each(|view| judge.order(view));
        judge.nothing_behind_a_cancel();
        judge.attempts_bounded();
    }
    all
}

struct Judge<'a> {
    job: &'a JobHistory,
    takeovers_max: usize,
    broken: &'a mut Vec<Broken>,
}

impl Judge<'_> {
    fn tell(&mut self, rule: Rule, words: &str) {
        let id = self.job.ids.first().map_or("no id", String::as_str);
        self.broken.push(Broken {
            rule,
            words: format!("job {id}: {words}"),
        });
    }

    fn kept(&mut self) {
        let mut ids = self.job.ids.clone();
        ids.sort();
        ids.dedup();
        if ids.len() > 1 {
            self.tell(
                Rule::Duplicated,
                &format!("the key {} names {ids:?}", self.job.key),
            );
        }
        for view in &self.job.views {
            for step in &view.steps {
                match step {
                    Step::Gone(why) => {
                        self.tell(Rule::Lost, &format!("{} is told {why}", view.name));
                    }
                    Step::GivenUp => self.tell(Rule::Lost, &format!("no end came to {}", view.name)),
                    Step::Misfit(_)
                    | Step::WrongValue(_)
                    | Step::Attached { .. }
                    | Step::Event { .. }
                    | Step::Snapshot { .. } => {}
                }
            }
        }
    }

    fn fits(&mut self) {
        for view in &self.job.views {
            for step in &view.steps {
                if let Step::Misfit(why) | Step::WrongValue(why) = step {
                    self.tell(Rule::Fits, &format!("{}: {why}", view.name));
                }
            }
        }
    }

    /// The two functions: from a position to the bytes of its event, and to the state behind it.
    fn functions(&mut self) {
        let mut bytes: BTreeMap<&Position, &str> = BTreeMap::new();
        let mut states: BTreeMap<&Position, &str> = BTreeMap::new();
        let steps = self.job.views.iter().flat_map(|view| &view.steps);
        let mut found = Vec::new();
        for step in steps {
            let (position, state) = match step {
                Step::Event {
                    position,
                    text,
                    state,
                    ..
                } => {
                    let known = bytes.entry(position).or_insert(text);
                    if known != text {
                        found.push((
                            Rule::Bytes,
                            format!("at {position:?} there is {known} and there is {text}"),
                        ));
                    }
                    (position, state)
                }
                Step::Snapshot { position, state } => (position, state),
                _ => continue,
            };
            let known = states.entry(position).or_insert(state);
            if known != state {
                found.push((
                    Rule::State,
                    format!("at {position:?} one holds {known}, another {state}"),
                ));
            }
        }
        for (rule, words) in found {
            self.tell(rule, &words);
        }
    }

    fn one_end(&mut self) {
        let ends: Vec<_> = self
            .job
            .views
            .iter()
            .filter_map(|view| Some((view, view.end()?)))
            .collect();
        let mut found = Vec::new();
        for (view, end) in &ends {
            let (first, reference) = &ends[0];
            if end != reference {
                found.push(format!(
                    "{} saw {end:?}, {} saw {reference:?}",
                    view.name, first.name
                ));
            }
            let behind = view
                .steps
                .iter()
                .skip_while(|step| !matches!(step, Step::Event { kind, .. } if is_end(kind)));
            if let Some(more) = behind.skip(1).find(|step| !matches!(step, Step::WrongValue(_))) {
                found.push(format!("{} saw {more:?} behind the end", view.name));
            }
        }
        for words in found {
            self.tell(Rule::End, &words);
        }
    }

    /// Positions of one viewer: seqs rise, but where a snapshot replaces what it holds.
    fn order(&mut self, view: &View) {
        let mut held: Option<&Position> = None;
        let mut replaced = false;
        for step in &view.steps {
            match step {
                Step::Attached { resumed } => replaced = !resumed,
                Step::Snapshot { position, .. } => {
                    (held, replaced) = (Some(position), false);
                }
                Step::Event { position, kind, .. } => {
                    let again = held.is_some_and(|held| position.1 <= held.1);
                    // The end is told again to one who attaches behind it; its viewer did not have it before.
                    if again && !(replaced && is_end(kind)) {
                        self.tell(
                            Rule::Duplicated,
                            &format!("{} is told {position:?} and holds {held:?}", view.name),
                        );
                    }
                    held = Some(position);
                }
                _ => {}
            }
        }
    }

    fn nothing_behind_a_cancel(&mut self) {
        let Some(at) = self.job.cancelled_at else {
            return;
        };
        let steps = self.job.views.iter().flat_map(|view| &view.steps);
        let written = steps.filter_map(|step| match step {
            Step::Event { position, kind, .. } if position.1 > at => Some((position, kind)),
            _ => None,
        });
        let late: Vec<String> = written
            .filter(|(_, kind)| matches!(kind.as_str(), "patch" | "attempt" | "note" | "hook"))
            .map(|(position, kind)| format!("{kind} at {position:?}"))
            .collect();
        if !late.is_empty() {
            self.tell(
                Rule::Cancel,
                &format!("acknowledged behind seq {at}, then {}", late.join(", ")),
            );
        }
    }

    /// By the last state that anyone holds: each reason has its bound.
    fn attempts_bounded(&mut self) {
        let states = self
            .job
            .views
            .iter()
            .flat_map(|view| &view.steps)
            .filter_map(|step| match step {
                Step::Event { state, .. } | Step::Snapshot { state, .. } => Some(state),
                _ => None,
            });
        let longest = states
            .filter_map(|state| serde_json::from_str::<Value>(state).ok())
            .map(|state| state["attempts"].as_array().cloned().unwrap_or_default())
            .max_by_key(Vec::len);
        let attempts = longest.unwrap_or_default();
        let of = |reason: &str| {
            attempts
                .iter()
                .filter(|attempt| attempt["reason"] == reason)
                .count()
        };
        let (invalid, lost) = (of("invalid"), of("worker_lost"));
        let others = attempts.len() - invalid - lost;
        let numbered = attempts.iter().zip(1..).all(|(attempt, n)| attempt["n"] == n);
        let bounded = invalid as u64 <= self.job.reasks
            && lost <= self.takeovers_max
            && others <= 1 + CONTINUATIONS_MAX
            && numbered;
        if !bounded {
            self.tell(Rule::Attempts, &format!("{attempts:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Rule, check};
    use crate::chaos::history::{JobHistory, Step, Toll, View};

    fn position(epoch: &str, seq: u64) -> (String, u64) {
        (epoch.to_owned(), seq)
    }

    fn event(epoch: &str, seq: u64, kind: &str, text: &str) -> Step {
        let attempts = r#"{"attempts":[{"n":1,"reason":"first"}]}"#;
        Step::Event {
            position: position(epoch, seq),
            kind: kind.to_owned(),
            text: text.to_owned(),
            state: attempts.to_owned(),
        }
    }

    fn view(name: &str, steps: Vec<Step>) -> View {
        View {
            name: name.to_owned(),
            steps,
            ..View::default()
        }
    }

    /// Two viewers of a job with a takeover: one sees all of it, the other comes back to a snapshot.
    fn sound() -> JobHistory {
        let one = vec![
            event("a", 1, "accepted", "accepted"),
            event("b", 2, "status", "running"),
            event("b", 3, "attempt", "first"),
            event("b", 4, "patch", "A"),
            Step::Attached { resumed: true },
            event("b", 5, "patch", "B"),
            event("c", 6, "status", "recovering"),
            event("c", 7, "completed", "end"),
        ];
        let other = vec![
            Step::Attached { resumed: false },
            Step::Snapshot {
                position: position("b", 5),
                state: r#"{"attempts":[{"n":1,"reason":"first"}]}"#.to_owned(),
            },
            event("c", 7, "completed", "end"),
        ];
        JobHistory {
            key: "k".to_owned(),
            ids: vec!["id".to_owned(), "id".to_owned()],
            reasks: 1,
            cancelled_at: None,
            views: vec![view("one", one), view("other", other)],
        }
    }

    /// Where the job of [`sound`] stands.
    fn stands(at: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("id".to_owned(), at.to_owned())])
    }

    fn rules(job: &JobHistory) -> Vec<Rule> {
        behind(job, &BTreeMap::new(), &BTreeMap::new())
    }

    /// What is broken of a job behind a failover from what one had to what the other has kept.
    fn behind(
        job: &JobHistory,
        had: &BTreeMap<String, String>,
        kept: &BTreeMap<String, String>,
    ) -> Vec<Rule> {
        let mut toll = Toll::default();
        toll.take(had, kept);
        let mut rules: Vec<Rule> = check(std::slice::from_ref(job), 1, &toll)
            .iter()
            .map(|broken| broken.rule)
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    #[test]
    fn a_sound_history_is_sound() {
        assert_eq!(check(&[sound()], 1, &Toll::default()), []);
    }

    #[test]
    fn a_job_without_an_end_is_lost() {
        let mut job = sound();
        job.views[1].steps.pop();
        job.views[1].steps.push(Step::GivenUp);
        assert_eq!(rules(&job), [Rule::Lost]);
        job.views[1].steps.pop();
        job.views[1].steps.push(Step::Gone("not_found".to_owned()));
        assert_eq!(rules(&job), [Rule::Lost]);
    }

    #[test]
    fn what_a_failover_has_lost_is_not_asked_of_a_job_but_what_holds_for_ever_is() {
        let mut job = sound();
        job.views[1].steps.pop();
        job.views[1].steps.push(Step::Gone("not_found".to_owned()));
        let (had, kept) = (stands("7"), BTreeMap::new());
        assert_eq!(behind(&job, &had, &kept), []);
        job.views[1].steps.insert(2, event("c", 6, "status", "running"));
        assert_eq!(behind(&job, &had, &kept), [Rule::Bytes]);
    }

    #[test]
    fn a_job_that_a_failover_has_set_back_still_comes_to_an_end() {
        let (had, kept) = (stands("7"), stands("5"));
        let mut job = sound();
        job.views[1].steps.pop();
        job.views[1].steps.push(event("d", 7, "completed", "another"));
        assert_eq!(behind(&job, &had, &kept), []);
        for wrong in [Step::GivenUp, Step::Gone("not_found".to_owned())] {
            job.views[1].steps.pop();
            job.views[1].steps.push(wrong);
            assert_eq!(behind(&job, &had, &kept), [Rule::Lost]);
        }
        // A second failover may lose it.
        let mut toll = Toll::default();
        toll.take(&had, &kept);
        toll.take(&kept, &BTreeMap::new());
        assert_eq!(check(&[job], 1, &toll), []);
    }

    #[test]
    fn a_key_names_one_job() {
        let mut job = sound();
        job.ids.push("another".to_owned());
        assert_eq!(rules(&job), [Rule::Duplicated]);
    }

    #[test]
    fn an_event_comes_once() {
        let mut job = sound();
        job.views[0].steps.insert(5, event("b", 4, "patch", "A"));
        assert_eq!(rules(&job), [Rule::Duplicated]);
        // Also one that seemed to be new: its epoch is, its seq is not.
        let mut job = sound();
        job.views[0].steps.insert(6, event("d", 5, "patch", "B"));
        assert_eq!(rules(&job), [Rule::Duplicated]);
    }

    #[test]
    fn a_position_has_one_text() {
        let mut job = sound();
        job.views[1].steps.insert(2, event("c", 6, "status", "running"));
        assert_eq!(rules(&job), [Rule::Bytes]);
    }

    #[test]
    fn a_position_has_one_state() {
        let mut job = sound();
        let Step::Snapshot { state, .. } = &mut job.views[1].steps[1] else {
            panic!("no snapshot");
        };
        *state = r#"{"attempts":[{"n":1,"reason":"first"}],"value":"other"}"#.to_owned();
        assert_eq!(rules(&job), [Rule::State]);
    }

    #[test]
    fn there_is_one_end_and_nothing_behind_it() {
        let mut job = sound();
        job.views[1].steps.pop();
        job.views[1].steps.push(event("d", 8, "failed", "no"));
        assert_eq!(rules(&job), [Rule::End]);
        let mut job = sound();
        job.views[0].steps.push(event("c", 8, "patch", "C"));
        assert_eq!(rules(&job), [Rule::End]);
        let mut job = sound();
        job.views[0].steps.push(event("c", 8, "cancelled", "twice"));
        assert_eq!(rules(&job), [Rule::End]);
    }

    #[test]
    fn what_comes_fits() {
        for wrong in [
            Step::Misfit("an append to 1".to_owned()),
            Step::WrongValue("sha256".to_owned()),
        ] {
            let mut job = sound();
            job.views[0].steps.insert(4, wrong);
            assert_eq!(rules(&job), [Rule::Fits]);
        }
    }

    #[test]
    fn behind_a_cancel_only_the_end_is_written() {
        let mut job = sound();
        job.cancelled_at = Some(5);
        assert_eq!(rules(&job), []);
        job.cancelled_at = Some(4);
        assert_eq!(rules(&job), [Rule::Cancel]);
    }

    #[test]
    fn attempts_are_bounded_by_their_reasons() {
        let with = |reasons: &[&str]| {
            let attempts = reasons
                .iter()
                .zip(1..)
                .map(|(reason, n)| format!(r#"{{"n":{n},"reason":"{reason}"}}"#));
            let attempts: Vec<String> = attempts.collect();
            let mut job = sound();
            let Step::Event { state, .. } = &mut job.views[0].steps[6] else {
                panic!("no event");
            };
            *state = format!(r#"{{"attempts":[{}]}}"#, attempts.join(","));
            rules(&job)
        };
        assert_eq!(with(&["first", "invalid", "worker_lost", "truncated"]), []);
        assert_eq!(with(&["first", "invalid", "invalid"]), [Rule::Attempts]);
        assert_eq!(with(&["first", "worker_lost", "worker_lost"]), [Rule::Attempts]);
        assert_eq!(
            with(&[
                "first",
                "truncated",
                "provider",
                "truncated",
                "provider",
                "provider"
            ]),
            [Rule::Attempts]
        );
    }
}
