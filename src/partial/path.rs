//! JSON Pointers (RFC 6901): how a place in a draft is named.

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
    out.push_str(itoa::Buffer::new().format(count));
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
    fn counts_are_written_as_fmt_writes_them() {
        for count in [0, 7, 10, 109, u64::MAX] {
            let mut out = String::new();
            push_decimal(&mut out, count);
            assert_eq!(out, count.to_string());
        }
    }
}
