//! A node's fan-out: one replica per watched job, one cursor per viewer.
