//! The protocol: client and server messages, codes, limits.
