//! JSON Pointers (RFC 6901): how a place in a draft is named; and their relative form, `<up><pointer>` (a part of
//! draft-bhutton-relative-json-pointer): so many segments are taken off a base, and a pointer is put behind the rest.

/// Appends one member name or array index to a pointer, escaped (`~` as `~0`, `/` as `~1`).
pub fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    if segment
        .bytes()
        .fold(true, |plain, byte| plain & !matches!(byte, b'~' | b'/'))
    {
        pointer.push_str(segment);
        return;
    }
    let mut rest = segment;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'~' | b'/')) {
        pointer.push_str(&rest[..at]);
        pointer.push_str(if rest[at..].starts_with('~') { "~0" } else { "~1" });
        rest = &rest[at + 1..];
    }
    pointer.push_str(rest);
}

/// Appends one array index to a pointer.
pub(super) fn push_index(pointer: &mut String, index: usize) {
    pointer.push('/');
    push_decimal(pointer, index as u64);
}

/// Appends a count in decimal digits.
pub fn push_decimal(out: &mut String, count: u64) {
    match u8::try_from(count) {
        Ok(digit @ 0..10) => out.push(char::from(b'0' + digit)),
        _ => out.push_str(itoa::Buffer::new().format(count)),
    }
}

/// The unescaped segments of a pointer; `None` if it is not one (no leading `/`, or a `~` without 0 or 1).
pub fn segments(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    pointer.strip_prefix('/')?.split('/').map(unescape).collect()
}

fn unescape(segment: &str) -> Option<String> {
    let mut out = String::with_capacity(segment.len());
    let mut letters = segment.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '~' => match letters.next()? {
                '0' => out.push('~'),
                '1' => out.push('/'),
                _ => return None,
            },
            _ => out.push(letter),
        }
    }
    Some(out)
}

/// Whether a pointer leads to `outer`, or into it.
pub fn is_within(pointer: &str, outer: &str) -> bool {
    pointer
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The array index a segment names: digits without a leading zero (RFC 6901 §4).
pub fn index(segment: &str) -> Option<usize> {
    let canonical = segment == "0" || !segment.starts_with('0');
    let digits = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits {
        segment.parse().ok()
    } else {
        None
    }
}

/// `pointer` relative to `base`, where that is shorter to write: how many segments go, and what comes behind.
pub(super) fn relative<'a>(base: &str, pointer: &'a str) -> Option<(u64, &'a str)> {
    let shared = common(base.as_bytes(), pointer.as_bytes());
    let gone = &base.as_bytes()[shared..];
    let up = gone.iter().filter(|byte| **byte == b'/').count() as u64;
    let digits = up.checked_ilog10().map_or(1, |tens| tens as usize + 1);
    (digits < shared).then(|| (up, &pointer[shared..]))
}

/// How many bytes of whole segments two pointers have in common.
fn common(one: &[u8], other: &[u8]) -> usize {
    let same = same(one, other);
    let is_end = |of: &[u8]| of.get(same).is_none_or(|byte| *byte == b'/');
    if is_end(one) && is_end(other) {
        return same;
    }
    one[..same].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// How many bytes are the same, eight looked at in one step.
fn same(one: &[u8], other: &[u8]) -> usize {
    let len = one.len().min(other.len());
    let (one, other) = (&one[..len], &other[..len]);
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    for (index, (one, other)) in words.enumerate() {
        if one != other {
            return index * 8 + first_other(*one, *other);
        }
    }
    // The last eight overlap what was looked at.
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one), Some(other)) if one == other => len,
        (Some(one), Some(other)) => len - 8 + first_other(*one, *other),
        _ => one.iter().zip(other).take_while(|(a, b)| a == b).count(),
    }
}

/// The first of eight bytes that is another one.
fn first_other(one: [u8; 8], other: [u8; 8]) -> usize {
    (u64::from_le_bytes(one) ^ u64::from_le_bytes(other)).trailing_zeros() as usize / 8
}

/// Whether a written place is relative: a pointer is empty or begins with `/`, so the first letter tells.
pub fn is_relative(written: &str) -> bool {
    written.starts_with(|letter: char| letter.is_ascii_digit())
}

/// The pointer that a written place means; `None` where it is relative and does not fit `base`.
pub fn whole(base: &str, written: &str) -> Option<String> {
    let (digits, pointer) = written.split_at(written.bytes().take_while(u8::is_ascii_digit).count());
    if digits.is_empty() {
        return Some(written.to_owned());
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    let mut kept = base;
    for _ in 0..index(digits)? {
        kept = &kept[..kept.rfind('/')?];
    }
    Some(format!("{kept}{pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped_and_read_back() {
        for segment in ["", "a", "~", "/", "~1", "a/b~c", "é/"] {
            let mut pointer = String::from("/x");
            push_segment(&mut pointer, segment);
            assert_eq!(segments(&pointer), Some(vec!["x".to_owned(), segment.to_owned()]));
        }
        let mut pointer = String::new();
        push_segment(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/a~1b~0c");
    }

    #[test]
    fn a_relative_place_is_the_shorter_one_and_is_read_back() {
        for (base, pointer, written) in [
            ("/items/12/name", "/items/12/name", Some((0, ""))),
            ("/items/12/name", "/items/12/tags", Some((1, "/tags"))),
            ("/items/12/name", "/items/12/name/x", Some((0, "/x"))),
            ("/items/12", "/items/13", Some((1, "/13"))),
            ("/items/1", "/items/12", Some((1, "/12"))),
            ("/items/12/tags/3", "/items", Some((3, ""))),
            ("/items/12", "", None),
            ("/a/b", "/c", None),
            ("/a", "/b", None),
            ("", "/a", None),
            ("", "", None),
        ] {
            assert_eq!(relative(base, pointer), written, "{base} {pointer}");
            if let Some((up, rest)) = written {
                assert_eq!(whole(base, &format!("{up}{rest}")).as_deref(), Some(pointer));
            }
            assert_eq!(whole(base, pointer).as_deref(), Some(pointer));
        }
    }

    #[test]
    fn a_place_lies_within_by_whole_segments() {
        for (pointer, outer, within) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
            ("/a", "", true),
            ("", "", true),
        ] {
            assert_eq!(is_within(pointer, outer), within, "{pointer} in {outer}");
        }
    }

    #[test]
    fn what_does_not_fit_its_base_is_no_place() {
        for written in [
            "3",
            "3/a",
            "00",
            "01/a",
            "1a",
            "99999999999999999999",
            "0#",
            "1+1/a",
        ] {
            assert_eq!(whole("/x/y", written), None, "{written}");
        }
        assert_eq!(whole("/x/y", "2").as_deref(), Some(""));
    }

    #[test]
    fn counts_are_written_as_fmt_writes_them() {
        for count in [0, 7, 10, 109, u64::MAX] {
            let mut out = String::new();
            push_decimal(&mut out, count);
            assert_eq!(out, count.to_string());
        }
    }
}
