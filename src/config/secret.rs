//! Secrets: where they may stand, and the files that hold them.

use std::path::Path;

use super::fault::{Origin, Source};
use super::field::Given;
use super::file;
use super::key::Key;

/// Bytes of a file that holds a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The value that is meant: of a secret that a file holds, what is in the file; of any other, what was given.
pub(super) fn value(
    key: &Key,
    full: &str,
    in_file: bool,
    given: Given,
    source: &Source,
) -> Result<(Given, Origin), String> {
    if key.is_secret() && !in_file && matches!(source, Source::Flag(_)) {
        return Err(format!(
            "is a secret, and others can see a command's arguments: give it by its variable, or name a file that holds \
             it as `{full}_file`"
        ));
    }
    if !in_file {
        return Ok((given, source.clone().into()));
    }
    let (Given::Text(path) | Given::Word(path)) = given else {
        return Err("takes the path of a file, as a text".to_owned());
    };
    // Whoever gave the secret itself would see it shown, were the path told.
    let text = file::text_of(Path::new(&path), SECRET_BYTES_MAX)
        .map_err(|fault| format!("the file it names {fault}"))?;
    if text.trim().is_empty() {
        return Err("the file it names is empty".to_owned());
    }
    let origin = Origin {
        source: source.clone(),
        held_in: Some(path.into()),
    };
    Ok((Given::Text(text), origin))
}

/// Whether a secret was given both ways by one source.
pub(super) fn is_twice(before: &Origin, now: &Origin) -> bool {
    let same = match (&before.source, &now.source) {
        (Source::File(..), Source::File(..)) => true,
        (Source::Variable(before), Source::Variable(now)) => {
            before.trim_end_matches("_FILE") == now.trim_end_matches("_FILE")
        }
        _ => false,
    };
    same && before.held_in.is_some() != now.held_in.is_some()
}
