//! The shell around sockets and HTTP: the only place for actix.
