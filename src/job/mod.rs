//! The job: what was asked, where it stands, what it has cost.
