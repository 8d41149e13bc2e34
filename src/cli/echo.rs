//! `livedraft echo`: the server's sockets without a conversation, for conformance suites (`scripts/conformance`).

use std::net::SocketAddr;

use clap::Args;

use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::Signals;
use crate::server::{self, ServerOptions};
use crate::wire::Limits;

/// Runs the echo.
#[derive(Args, Clone, Debug)]
pub(super) struct EchoArgs {
    /// Where to listen: a loopback address; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9001")]
    bind: SocketAddr,
    /// Bytes of one message; more closes the socket with 1009.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().message_bytes_max)]
    message_bytes_max: u64,
}

/// The exit code of `echo`: it ends by a signal.
pub(super) async fn run(args: EchoArgs) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let options = ServerOptions {
        bind: args.bind,
        limits: Limits {
            message_bytes_max: args.message_bytes_max,
            ..Limits::default()
        },
        ..ServerOptions::default()
    };
    let echo = server::echo(options).map_err(|error| Failure::Serve(error.to_string()))?;
    let mut screen = Screen::new(Stream::Err);
    screen.line(&Row::of(
        Tone::Bold,
        &format!("livedraft echoes on http://{}", echo.addr()),
    ));
    signals.next().await;
    echo.stop().await;
    Ok(0)
}
