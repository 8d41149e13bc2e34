//! The model: providers, their request bodies and their streams.
