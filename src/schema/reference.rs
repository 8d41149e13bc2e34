//! References: which part of a `$ref` names a place in this document.

/// The decoded fragment of a reference that stays in the document; `own` is the root's `$id`.
///
/// `""` is the root, `/…` a JSON Pointer, anything else an anchor. `None`: the reference leaves the document.
pub(super) fn fragment(reference: &str, own: Option<&str>) -> Option<String> {
    let own = own
        .map(|own| own.trim_end_matches('#'))
        .filter(|own| !own.is_empty());
    let rest = own
        .and_then(|own| reference.strip_prefix(own))
        .filter(|rest| rest.is_empty() || rest.starts_with('#'))
        .unwrap_or(reference);
    if rest.is_empty() {
        return Some(String::new());
    }
    percent_decoded(rest.strip_prefix('#')?)
}

/// RFC 3986 §2.1; `None` where a `%` is followed by no two hexadecimal digits or the bytes are no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
