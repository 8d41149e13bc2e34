//! Numbers as the tables have them: a column is signed.

/// A time or a count; they stay far below the bound.
pub fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A column that is a time or a count.
pub fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A column that is a small count.
pub fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
