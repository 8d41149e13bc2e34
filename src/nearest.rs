//! The known name that looks most like one that is not known.

/// Letters of the asked name that are compared; a longer one is compared by its beginning.
const ASKED_MAX: usize = 200;

/// The candidate with the fewest edits, if that is at most a third of the name.
pub fn nearest(asked: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let asked: Vec<char> = asked.chars().take(ASKED_MAX).collect();
    let limit = (asked.len() / 3).max(2);
    candidates
        .into_iter()
        .map(|name| (edits(&asked, &name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
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
