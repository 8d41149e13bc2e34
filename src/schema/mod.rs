//! What is valid: compile, judge, and say it to a provider and to a viewer.
