//! The log of a job: entries, positions, lineage, and the one merge rule.
