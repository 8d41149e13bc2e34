//! The SSE decoder: the standard's rules, any cut, every limit.

use livedraft::llm::sse::{Decoder, Event, Limits, SseError};
use proptest::prelude::*;

const WIDE: Limits = Limits {
    line_bytes: 1 << 20,
    event_bytes: 1 << 20,
};

fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: Limits,
) -> (Vec<Event>, Result<(), SseError>) {
    let mut decoder = Decoder::new(limits);
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, |event| events.push(event.clone())) {
            assert_eq!(
                decoder.feed(b"data: x\n\n", |_| panic!("an event after an error")),
                Err(error)
            );
            assert_eq!(decoder.finish(), Err(error));
            return (events, Err(error));
        }
    }
    match decoder.finish() {
        Ok(last) => events.extend(last),
        Err(error) => return (events, Err(error)),
    }
    (events, Ok(()))
}

/// (name, data) of every event; the same for the whole, for single bytes and for every cut in two.
fn told(stream: &[u8]) -> Vec<(String, String)> {
    let whole = decode([stream], WIDE);
    assert_eq!(whole, decode(stream.chunks(1), WIDE), "byte by byte");
    for cut in 0..=stream.len() {
        assert_eq!(
            whole,
            decode([&stream[..cut], &stream[cut..]], WIDE),
            "cut at {cut}"
        );
    }
    assert_eq!(whole.1, Ok(()));
    whole
        .0
        .into_iter()
        .map(|event| (event.name, event.data))
        .collect()
}

fn data(stream: &str) -> Vec<String> {
    told(stream.as_bytes())
        .into_iter()
        .map(|(_, data)| data)
        .collect()
}

#[test]
fn line_ends_of_all_three_kinds() {
    assert_eq!(data("data: a\n\ndata: b\n\n"), ["a", "b"]);
    assert_eq!(data("data: a\r\n\r\ndata: b\r\n\r\n"), ["a", "b"]);
    assert_eq!(data("data: a\r\rdata: b\r\r"), ["a", "b"]);
    assert_eq!(data("data: a\r\ndata: b\r\n\r\n"), ["a\nb"]);
    assert_eq!(data("data: a\rdata: b\r\r\n"), ["a\nb"]);
    assert_eq!(data("data: a\r\n\rdata: b\n\r\n"), ["a", "b"]);
}

#[test]
fn fields_as_the_standard_reads_them() {
    assert_eq!(data("data: a\ndata:b\ndata\ndata:  c\n\n"), ["a\nb\n\n c"]);
    assert_eq!(data("data\n\n"), [""]);
    assert_eq!(data(": comment\n\n:\n\ndata: a\n: more\n\n"), ["a"]);
    assert_eq!(data("Data: a\n data: b\ndatum: c\n\n"), Vec::<String>::new());
    assert_eq!(data("event: lonely\n\ndata: a\n\n"), ["a"]);
    assert_eq!(
        told(b"event: lonely\n\ndata: a\n\n")[0].0,
        "",
        "a name dies with its event"
    );
    assert_eq!(
        told(b"event: x\nevent: y\ndata: a\n\n"),
        [("y".to_owned(), "a".to_owned())]
    );
}

#[test]
fn ids_and_retries_last() {
    let stream = b"id: 7\nretry: 30\ndata: a\n\nretry: 3x\nid: n\0ul\ndata: b\n\nid\ndata: c\n\n";
    let (events, _) = decode([&stream[..]], WIDE);
    let seen: Vec<_> = events.iter().map(|event| (&*event.id, event.retry_ms)).collect();
    assert_eq!(seen, [("7", Some(30)), ("7", Some(30)), ("", Some(30))]);
}

#[test]
fn a_byte_order_mark_is_dropped_once() {
    assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
    assert_eq!(data("\u{feff}\u{feff}data: a\n\ndata: b\n\n"), ["b"]);
    assert_eq!(data("data: \u{feff}a\n\n"), ["\u{feff}a"]);
}

#[test]
fn the_last_event_needs_no_blank_line() {
    assert_eq!(data("data: a\n\ndata: [DONE]"), ["a", "[DONE]"]);
    assert_eq!(data("data: a\n\ndata: [DONE]\n"), ["a", "[DONE]"]);
    assert_eq!(data("data: a\n\nevent: x\n"), ["a"]);
    assert_eq!(data(""), Vec::<String>::new());
}

#[test]
fn letters_of_many_bytes_may_be_cut_and_wrong_bytes_are_an_error() {
    assert_eq!(data("data: äß€😀\n\n"), ["äß€😀"]);
    for bad in [
        &b"data: \xff\n\n"[..],
        b"data: \xed\xa0\x80\n\n",
        b"data: \xf0\x9f",
    ] {
        let (events, done) = decode(bad.chunks(1), WIDE);
        assert_eq!((events.len(), done), (0, Err(SseError::NotUtf8)));
    }
}

#[test]
fn limits_are_named_and_exact() {
    let limits = Limits {
        line_bytes: 12,
        event_bytes: 10,
    };
    let run = |text: &str| {
        let whole = decode([text.as_bytes()], limits);
        assert_eq!(whole, decode(text.as_bytes().chunks(1), limits));
        (whole.0.len(), whole.1)
    };
    assert_eq!(run("data: 123456\n\n"), (1, Ok(())));
    assert_eq!(
        run("data: a\n\ndata: 1234567\n\n"),
        (1, Err(SseError::LineTooLong { limit: 12 }))
    );
    assert_eq!(
        run(": 1234567890123"),
        (0, Err(SseError::LineTooLong { limit: 12 }))
    );
    assert_eq!(run("data: 12345\ndata: 1234\n\n"), (1, Ok(())));
    assert_eq!(
        run("data: 12345\ndata: 12345\n\n"),
        (0, Err(SseError::EventTooLarge { limit: 10 }))
    );
    assert_eq!(
        run("data: 12345\ndata: 123\nevent: xyz\n\n"),
        (0, Err(SseError::EventTooLarge { limit: 10 }))
    );
    assert_eq!(run(&"data\n".repeat(11)), (1, Ok(())));
    assert_eq!(
        run(&"data\n".repeat(12)),
        (0, Err(SseError::EventTooLarge { limit: 10 }))
    );
}

/// Streams made of the pieces that matter, and of noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("data".to_owned()),
        Just("event".to_owned()),
        Just("id".to_owned()),
        Just("retry: 5".to_owned()),
        Just(": ".to_owned()),
        Just(":".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("😀".to_owned()),
        "[a-zä ]{0,5}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_events(stream in stream(), cuts in prop::collection::vec(1usize..9, 1..40), small in any::<bool>()) {
        let limits = if small { Limits { line_bytes: 16, event_bytes: 12 } } else { WIDE };
        let whole = decode([stream.as_slice()], limits);
        let (mut pieces, mut rest, mut sizes) = (Vec::new(), stream.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(whole, decode(pieces, limits));
    }

    #[test]
    fn what_is_written_is_read(lines in prop::collection::vec("[^\r\n\u{feff}]{0,12}", 1..8)) {
        let stream: String = lines.iter().map(|line| format!("data: {line}\r\n")).collect();
        let (events, done) = decode([stream.as_bytes(), b"\r\n"], WIDE);
        prop_assert_eq!(done, Ok(()));
        prop_assert_eq!(&events[0].data, &lines.join("\n"));
    }
}
