//! Ways on which something did not hold once.

use livedraft::job::Outcome;

use super::fair::SIZE_MAX;
use super::step::{Line, Step};

const LINE: Line = Line::Good;
const KEY: Option<(u8, u8)> = Some((1, 0));

pub(super) fn ways() -> Vec<Vec<Step>> {
    vec![
        claimed_again_behind_its_lease(),
        failed_behind_a_verdict(),
        written_behind_its_end(),
        redriven_with_a_key(),
        aside_for_long(),
        aside_for_long_with_one_that_came(),
        left_behind_for_long(),
    ]
}

fn submit(tenant: u8, key: Option<(u8, u8)>, size: u8) -> Step {
    Step::Submit {
        tenant,
        key,
        size,
        line: LINE,
    }
}

/// A claim that was not answered is sent again behind the end of its lease.
fn claimed_again_behind_its_lease() -> Vec<Step> {
    vec![
        submit(1, None, 0),
        Step::Claim(Line::Unheard),
        Step::Pass(3),
        Step::Reap(LINE),
        Step::ClaimAgain,
    ]
}

/// A delivery fails whose value was asked for again from outside.
fn failed_behind_a_verdict() -> Vec<Step> {
    vec![
        submit(1, None, 0),
        Step::Claim(LINE),
        Step::Reach(0),
        Step::Rule {
            job: 0,
            accept: false,
            named: None,
            line: LINE,
        },
        Step::Claim(LINE),
        Step::Fail { who: 0, line: LINE },
        Step::Pass(3),
        Step::Promote(LINE),
        Step::Claim(LINE),
    ]
}

/// A zombie writes to a job that has ended, and nobody promotes for long.
fn written_behind_its_end() -> Vec<Step> {
    vec![
        submit(1, None, 0),
        Step::Poison,
        Step::Say {
            who: 0,
            letters: 1,
            trims: false,
            line: LINE,
        },
        Step::Pass(60),
    ]
}

/// The key of a letter that was redriven, where nobody promotes for long.
fn redriven_with_a_key() -> Vec<Step> {
    vec![
        submit(1, KEY, 0),
        Step::Poison,
        Step::Redrive {
            letter: 0,
            line: LINE,
        },
        Step::Pass(22),
        submit(1, KEY, 0),
    ]
}

/// A tenant that was served much stands aside, alone, for longer than it is known how far the line is; another comes.
fn aside_for_long() -> Vec<Step> {
    let aside = [submit(1, None, 0), pause(1, true), Step::Claim(LINE)];
    let comes_back = [Step::Pass(13), submit(2, None, 0), pause(1, false)];
    served(1, 3)
        .into_iter()
        .chain(aside)
        .chain(comes_back)
        .chain(served(2, 4))
        .collect()
}

/// The same beside one that came while it was paused, and stands aside from its first job on.
fn aside_for_long_with_one_that_came() -> Vec<Step> {
    let aside = [submit(1, None, 0), pause(1, true), Step::Claim(LINE)];
    let another = [pause(2, true), submit(2, None, 0), Step::Pass(13)];
    let come_back = [pause(2, false), pause(1, false)];
    served(1, 3)
        .into_iter()
        .chain(aside)
        .chain(another)
        .chain(come_back)
        .chain(served(2, 4))
        .collect()
}

/// The same, and its job is cancelled before another comes: it leaves, and comes again.
fn left_behind_for_long() -> Vec<Step> {
    let aside = [submit(1, None, 0), pause(1, true), Step::Claim(LINE)];
    // It is the last of four jobs by its id, which goes by time.
    let cancel = Step::Cancel { job: 3, line: LINE };
    let leaves = [Step::Pass(13), cancel, submit(2, None, 0), pause(1, false)];
    served(1, 3)
        .into_iter()
        .chain(aside)
        .chain(leaves)
        .chain([submit(1, None, 0)])
        .chain(served(2, 4))
        .collect()
}

/// So many jobs of a tenant come and are done, each as dear as any.
fn served(tenant: u8, times: usize) -> Vec<Step> {
    let finish = Step::Finish {
        who: 0,
        outcome: Outcome::Completed,
        line: LINE,
    };
    let one = [submit(tenant, None, SIZE_MAX), Step::Claim(LINE), finish];
    one.iter().cycle().take(times * one.len()).cloned().collect()
}

fn pause(tenant: u8, paused: bool) -> Step {
    Step::Pause {
        tenant: Some(tenant),
        paused,
    }
}
