//! The work: one delivery, top to bottom.
