//! Hostile frames, byte by byte over a bare TCP connection.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use livedraft::hub::HubOptions;
use livedraft::server::ServerOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{House, house, house_with, options};

pub(crate) const LIMIT: usize = 1024 * 1024;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const FIN: u8 = 0x80;
pub(crate) const MASKED: u8 = 0x80;

/// A socket behind its handshake.
pub(crate) async fn upgraded(house: &House) -> TcpStream {
    let mut stream = TcpStream::connect(house.running.addr()).await.unwrap();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        house.running.addr()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    stream
}

/// The next frame of the server: opcode and payload; `None` once the connection has ended.
pub(crate) async fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let second = stream.read_u8().await.ok()?;
    assert_eq!(second & MASKED, 0, "a server's frames are not masked");
    let length = match second {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first & 0x0F, payload))
}

/// The code of the close frame; whatever came before is skipped.
pub(crate) async fn close_code(stream: &mut TcpStream) -> Option<u16> {
    while let Some((opcode, payload)) = frame(stream).await {
        if opcode == 0x8 {
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
    None
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(MASKED | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(MASKED | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at & 3]));
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_gigabyte_is_refused_by_its_header_alone() {
    let house = house();
    let mut stream = upgraded(&house).await;
    // Ten bytes: the length is there, neither mask nor payload is.
    let header = [FIN | TEXT, MASKED | 127, 0, 0, 0, 0, 0x40, 0, 0, 0];
    stream.write_all(&header).await.unwrap();
    assert_eq!(close_code(&mut stream).await, Some(1009));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_the_gigabyte_is_cut_off() {
    let house = house();
    let mut stream = upgraded(&house).await;
    let header = [FIN | TEXT, MASKED | 127, 0, 0, 0, 0, 0x40, 0, 0, 0];
    stream.write_all(&header).await.unwrap();
    let (mut read, mut write) = stream.split();
    let block = vec![b'x'; 64 * 1024];
    let mut written = 0;
    let flood = async {
        while write.write_all(&block).await.is_ok() {
            written += block.len();
            assert!(written < 64 * LIMIT, "nobody stops the flood");
        }
    };
    let mut answer = Vec::new();
    // A reset may end the reading; what counts is that the writing ends.
    let (_, ()) = tokio::join!(read.read_to_end(&mut answer), flood);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_are_put_together_up_to_the_limit() {
    let house = house();
    let mut stream = upgraded(&house).await;
    assert_eq!(frame(&mut stream).await.unwrap().0, TEXT, "the welcome");
    let parts = [
        masked(TEXT, br#"{"type":"#),
        masked(FIN | 0x9, b"in between"),
        masked(0, b""),
        masked(FIN, br#""ping"}"#),
    ];
    stream.write_all(&parts.concat()).await.unwrap();
    assert_eq!(frame(&mut stream).await.unwrap(), (0xA, b"in between".to_vec()));
    let (_, pong) = frame(&mut stream).await.unwrap();
    assert_eq!(pong, br#"{"type":"pong"}"#);

    let half = vec![b' '; LIMIT / 2 + 1];
    stream.write_all(&masked(TEXT, &half)).await.unwrap();
    // The second half is refused by its header.
    let header = &masked(FIN, &half)[..10];
    stream.write_all(header).await.unwrap();
    assert_eq!(close_code(&mut stream).await, Some(1009));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_close_by_their_code() {
    let house = house();
    let long_ping = [FIN | 0x9, MASKED | 126, 0, 200, 1, 2, 3, 4];
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("not UTF-8", masked(FIN | TEXT, &[0xC3, 0x28]), 1007),
        ("not masked", vec![FIN | TEXT, 2, b'{', b'}'], 1002),
        ("a reserved bit", masked(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("an unknown opcode", masked(FIN | 0x5, b""), 1002),
        ("a long control frame", long_ping.to_vec(), 1002),
        ("a continuation of nothing", masked(FIN, b"{}"), 1002),
        (
            "one over the limit",
            masked(FIN | TEXT, &vec![b' '; LIMIT + 1]),
            1009,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut stream = upgraded(&house).await;
        // The server may close before it has read all.
        let _ = stream.write_all(&bytes).await;
        assert_eq!(close_code(&mut stream).await, Some(code), "{name}");
        assert!(
            frame(&mut stream).await.is_none(),
            "{name}: nothing follows the close"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_exactly_the_limit_is_read() {
    let house = house();
    let mut stream = upgraded(&house).await;
    frame(&mut stream).await.unwrap();
    let mut text = br#"{"type":"ping"}"#.to_vec();
    text.resize(LIMIT, b' ');
    stream.write_all(&masked(FIN | TEXT, &text)).await.unwrap();
    assert_eq!(frame(&mut stream).await.unwrap().1, br#"{"type":"pong"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_no_ping_is_given_up() {
    let quick = ServerOptions {
        heartbeat_ms: 20,
        ..options()
    };
    let house = house_with(quick, HubOptions::default());
    let mut stream = upgraded(&house).await;
    assert_eq!(frame(&mut stream).await.unwrap().0, TEXT, "the welcome");
    assert_eq!(frame(&mut stream).await.unwrap().0, 0x9, "a ping");
    assert_eq!(close_code(&mut stream).await, Some(1001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_long_frame_slowly_is_not_silent() {
    let quick = ServerOptions {
        heartbeat_ms: 500,
        ..options()
    };
    let house = house_with(quick, HubOptions::default());
    let mut stream = upgraded(&house).await;
    assert_eq!(frame(&mut stream).await.unwrap().0, TEXT, "the welcome");
    let mut text = br#"{"type":"ping"}"#.to_vec();
    text.resize(120, b' ');
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(10));
    // Longer than both beats together, with no pause as long as one.
    for byte in masked(FIN | TEXT, &text) {
        stream.write_all(&[byte]).await.unwrap();
        pause.tick().await;
    }
    let answer = loop {
        match frame(&mut stream).await.unwrap() {
            (0x9, _) => {}
            other => break other,
        }
    };
    assert_eq!(answer, (TEXT, br#"{"type":"pong"}"#.to_vec()));
}
