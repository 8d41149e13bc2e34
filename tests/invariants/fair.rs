//! Fairness by cost (I12): what tenants were charged while they had jobs in line together.

use std::collections::{BTreeMap, BTreeSet};

use super::{cost_of, spec};

/// The dearest request is of this size (see [`super::spec`]).
pub(super) const SIZE_MAX: u8 = 3;

/// What each of two tenants was charged since both have had jobs in line that may be given out.
#[derive(Clone, Default, Debug)]
pub(super) struct Ledger {
    together: BTreeMap<(u8, u8), (u64, u64)>,
}

impl Ledger {
    /// A tenant is charged for a job.
    pub(super) fn charge(&mut self, tenant: u8, cost: u64) {
        for ((one, other), (of_one, of_other)) in &mut self.together {
            *of_one += if *one == tenant { cost } else { 0 };
            *of_other += if *other == tenant { cost } else { 0 };
        }
    }

    /// A tenant is given back some of what it was charged, at most to where the line is: what was served to it before is
    /// no measure any more.
    pub(super) fn forgive(&mut self, tenant: u8) {
        self.together
            .retain(|(one, other), _| *one != tenant && *other != tenant);
    }

    /// Weights are others now.
    pub(super) fn begin_anew(&mut self) {
        self.together.clear();
    }

    /// Looks at all who are in line: over their weights, no two of them were charged amounts that differ by more than twice
    /// the dearest job. Returns of how many pairs that says something, because they were charged much together.
    pub(super) fn must_be_fair(&mut self, in_line: &BTreeSet<u8>, weight: impl Fn(u8) -> u64) -> usize {
        self.together
            .retain(|(one, other), _| in_line.contains(one) && in_line.contains(other));
        for one in in_line {
            for other in in_line.range(one + 1..) {
                self.together.entry((*one, *other)).or_default();
            }
        }
        let most = cost_of(&spec(SIZE_MAX));
        for ((one, other), (of_one, of_other)) in &self.together {
            let apart = (of_one / weight(*one)).abs_diff(of_other / weight(*other));
            assert!(
                apart <= 2 * most,
                "tenants {one} and {other} are in line together and were charged {of_one} and {of_other} (I12)"
            );
        }
        let charged = self.together.values().map(|(one, other)| one + other);
        charged.filter(|charged| *charged > 4 * most).count()
    }
}
