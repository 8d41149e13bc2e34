//! What the command line speaks with: a viewer of the protocol.
