//! One client, sans-IO: inputs and the time go in, outputs come out.
