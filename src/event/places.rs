//! The open places of a patch as they are written.

use serde::{Deserialize, Serialize};

/// Open places, each a pointer or relative to the cursor behind the patch's ops. A single one that is nothing but a count
/// of segments to take off the cursor is written as that number: `0` for `["0"]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Places(pub Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Up(u64),
    All(Vec<String>),
}

impl From<Written> for Places {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Up(up) => vec![up.to_string()],
            Written::All(places) => places,
        })
    }
}

impl From<Places> for Written {
    fn from(Places(places): Places) -> Self {
        match places.as_slice() {
            [only] => match only.parse::<u64>() {
                Ok(up) if up.to_string() == *only => Self::Up(up),
                _ => Self::All(places),
            },
            _ => Self::All(places),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_count_is_a_number_and_all_else_an_array() -> Result<(), serde_json::Error> {
        for (places, written) in [
            (vec!["0"], "0"),
            (vec!["12"], "12"),
            (vec!["0", "1"], r#"["0","1"]"#),
            (vec!["00"], r#"["00"]"#),
            (vec!["+1"], r#"["+1"]"#),
            (vec!["0/a"], r#"["0/a"]"#),
            (vec![""], r#"[""]"#),
            (vec![], "[]"),
        ] {
            let places = Places(places.into_iter().map(str::to_owned).collect());
            assert_eq!(serde_json::to_string(&places)?, written);
            assert_eq!(serde_json::from_str::<Places>(written)?, places);
        }
        assert_eq!(
            serde_json::from_str::<Places>(r#"["0"]"#)?,
            Places(vec!["0".to_owned()])
        );
        for wrong in ["-1", "1.5", "\"0\"", "[0]", "null"] {
            assert!(serde_json::from_str::<Places>(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
