//! Where jobs and their logs live: the two traits, and their engines.
