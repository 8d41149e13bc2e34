//! Questions to the server under measurement, over HTTP.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Outcome;

/// What `path` answers: the status, and the body as it came.
pub(crate) async fn get(server: SocketAddr, path: &str) -> Outcome<(u16, String)> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    Ok((status.ok_or("an answer without a status")?, body.to_owned()))
}

/// The sum of all samples of `/metrics` whose name and labels begin so.
pub(crate) async fn metric(server: SocketAddr, begins: &str) -> Outcome<f64> {
    let (_, text) = get(server, "/metrics").await?;
    let samples = text.lines().filter(|line| line.starts_with(begins));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}
