//! The word that was probably meant.

/// How much of a word is compared, in characters.
const COMPARED_MAX: usize = 200;

/// The candidate with the fewest edits, if that is at most a third of the word, or two.
pub fn nearest<'c, C: AsRef<str>>(asked: &str, candidates: &'c [C]) -> Option<&'c str> {
    let asked: Vec<char> = asked.chars().take(COMPARED_MAX).collect();
    let limit = (asked.len() / 3).max(2);
    candidates
        .iter()
        .map(|name| (edits(&asked, name.as_ref()), name.as_ref()))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `, did you mean "…"?`, or nothing.
pub fn hint<C: AsRef<str>>(asked: &str, candidates: &[C]) -> String {
    nearest(asked, candidates).map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

/// Levenshtein distance, one row at a time.
fn edits(left: &[char], right: &str) -> usize {
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (line, letter) in right.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, other) in left.iter().enumerate() {
            let cost = usize::from(*other != letter);
            let best = (diagonal + cost).min(row[at] + 1).min(row[at + 1] + 1);
            diagonal = row[at + 1];
            row[at + 1] = best;
        }
    }
    row[left.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_put_right_and_a_stranger_is_not_guessed_at() {
        let words = ["job.create", "job.cancel", "ping", "as"];
        for (asked, meant) in [
            ("job.crate", Some("job.create")),
            ("jobcancel", Some("job.cancel")),
            ("pong", Some("ping")),
            ("subscribe", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(asked, &words), meant, "{asked}");
        }
        assert_eq!(hint("pinn", &words), ", did you mean \"ping\"?");
        assert_eq!(hint("nothing like it", &words), "");
    }
}
