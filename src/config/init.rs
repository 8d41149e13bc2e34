//! A file to begin with: every key with its unit, its bounds and its default, each behind a `#`.

use super::key::{ANY, Key, filled};
use super::keys::{KEYS, SECTIONS};
use super::named::kind;

const HEAD: &str = "\
# The configuration of livedraft: every key, with its default.
#
# Take the `#` away before a section's name and before a key to set it. What is not set keeps its default, also when a
# later version has a better one. Environment variables win over this file (LIVEDRAFT_SERVER__BIND for `bind` in
# [server]), flags over them. `livedraft config check` says what is wrong, `livedraft config show` what holds.
";

/// The text of the file.
pub fn init() -> String {
    let mut text = HEAD.to_owned();
    for (section, meaning) in SECTIONS {
        text.push_str(&format!(
            "\n# {meaning}\n#[{}]\n",
            filled(section, example(section))
        ));
        for key in KEYS.iter().filter(|key| key.split().0 == *section) {
            text.push_str(&told(key));
        }
    }
    text
}

/// The name that stands for any in the file.
fn example(section: &str) -> &'static str {
    kind(section).map_or(ANY, |kind| kind.example)
}

fn told(key: &Key) -> String {
    let (section, last) = key.split();
    let takes = key.takes();
    let unit = if key.unit.is_empty() {
        String::new()
    } else {
        format!(" ({})", key.unit)
    };
    let default = key.default_of(example(section));
    let line = if default.is_null() {
        // Nothing that could be set by taking a `#` away.
        format!("# {last} has no default.")
    } else {
        format!("#{last} = {default}")
    };
    format!("\n# {}\n# Takes {takes}{unit}.\n{line}\n", key.meaning)
}
