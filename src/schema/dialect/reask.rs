//! How a faulty answer is put back to the model: the pointer of each place, what is wrong there, and the value.

use super::Dialect;
use crate::partial::{Graft, Spot};
use crate::schema::excerpt::{cut, head};
use crate::schema::mend::BadPlace;
use crate::schema::violation::Violation;

/// Longest text of a re-ask, in bytes, its frame not counted.
const REASK_BYTES_MAX: usize = 8 * 1024;
/// Longest line of a re-ask, in bytes.
const LINE_BYTES_MAX: usize = 1024;
/// How much of an answer is shown on each side of the place where it failed, in bytes.
const EXCERPT_BYTES: usize = 60;

/// The text that asks the model to correct an answer that was JSON but broke the schema.
///
/// One line a violation: pointer, message, offending value. At most 8 KiB and a short frame, however many there are.
pub fn reask(dialect: Dialect, answer: &str, violations: &[Violation]) -> String {
    if answer.trim().is_empty() {
        return format!("The answer was empty. {}", closing(dialect));
    }
    listed("The answer does not fit the schema:", dialect, violations)
}

/// The same for an answer that was not heard to its end, and stands closed in the conversation.
pub fn reask_cut(dialect: Dialect, violations: &[Violation]) -> String {
    let head = "The answer was cut off there and closed, since it could no longer fit the schema:";
    listed(head, dialect, violations)
}

/// The same for an answer that fits the schema, and that somebody outside did not accept.
pub fn refused(dialect: Dialect, violations: &[Violation]) -> String {
    listed(
        "The answer fits the schema, but it is wrong:",
        dialect,
        violations,
    )
}

fn listed(head: &str, dialect: Dialect, violations: &[Violation]) -> String {
    let mut text = format!("{head}\n");
    let mut told = 0;
    for violation in violations {
        let line = line(violation);
        if text.len() + line.len() > REASK_BYTES_MAX {
            break;
        }
        text.push_str(&line);
        told += 1;
    }
    if told < violations.len() {
        text.push_str(&format!("- and {} more\n", violations.len() - told));
    }
    text.push_str(closing(dialect));
    text
}

fn line(violation: &Violation) -> String {
    format!("- {}\n", cut(&said(violation), LINE_BYTES_MAX))
}

fn said(violation: &Violation) -> String {
    let place = match violation.path.as_str() {
        "" => "the whole value",
        path => path,
    };
    let value = match &violation.value {
        Some(value) => format!(" (it is {value})"),
        None => String::new(),
    };
    format!("{place}: {}{value}", violation.message).replace('\n', " ")
}

/// The text that asks for some places of an answer alone, and says what is wrong at each. The schema of such a
/// re-ask is [`Schema::part`](crate::schema::Schema::part).
///
/// One line a place; at most 8 KiB and a short frame, however many there are.
pub fn reask_places(dialect: Dialect, places: &[BadPlace]) -> String {
    let head = "The answer does not fit the schema at these places; all else stands as it is:";
    listed_places(head, dialect, places)
}

/// The same for an answer that fits the schema, and that somebody outside did not accept.
pub fn refused_places(dialect: Dialect, places: &[BadPlace]) -> String {
    let head = "The answer fits the schema, but it is wrong at these places; all else stands as it is:";
    listed_places(head, dialect, places)
}

fn listed_places(head: &str, dialect: Dialect, places: &[BadPlace]) -> String {
    let mut text = format!("{head}\n");
    let room = (REASK_BYTES_MAX / places.len().max(1)).min(LINE_BYTES_MAX);
    for (index, place) in places.iter().enumerate() {
        let faults: Vec<String> = place.violations.iter().map(said).collect();
        let line = format!(
            "{} is for {}. Wrong there: {}",
            Graft::member(index),
            place.pointer,
            faults.join("; ")
        );
        text.push_str(&format!("- {}\n", cut(&line, room)));
    }
    text.push_str(match dialect {
        Dialect::Tools | Dialect::ToolsStrict | Dialect::ParallelTools => {
            "Call the function again, now with these members alone, each with the corrected value of its place."
        }
        Dialect::JsonSchema | Dialect::JsonSchemaStrict | Dialect::Json => {
            "Answer with a JSON object of these members alone, each with the corrected value of its place, and nothing \
             else."
        }
        Dialect::MdJson => {
            "Answer with a JSON object of these members alone, each with the corrected value of its place, in one block \
             fenced by ```json."
        }
    });
    text
}

/// The text that asks for what a value that broke off still lacks, and for what is wrong of what stands, and says what.
/// The schema of such an answer is [`Schema::rest`](crate::schema::Schema::rest).
///
/// One line a spot; at most 8 KiB and a short frame, however many there are.
pub fn ask_rest(dialect: Dialect, spots: &[Spot], bad: &[BadPlace]) -> String {
    let mut text =
        String::from("The answer broke off. What is there stands; what is missing is to come now:\n");
    let room = (REASK_BYTES_MAX / spots.len().max(1)).min(LINE_BYTES_MAX);
    for (index, spot) in spots.iter().enumerate() {
        let (member, pointer) = (spot.member(index), spot.pointer());
        let line = match spot {
            Spot::Rest(_) if pointer.is_empty() => {
                format!("{member} is for what the whole lacks, and only that.")
            }
            Spot::Rest(_) => format!("{member} is for what {pointer} lacks, and only that."),
            Spot::Fix(_) => match bad.iter().find(|place| place.pointer == pointer) {
                Some(place) => {
                    let faults: Vec<String> = place.violations.iter().map(said).collect();
                    format!("{member} is for {pointer}. Wrong there: {}", faults.join("; "))
                }
                None => format!("{member} is for {pointer}."),
            },
        };
        text.push_str(&format!("- {}\n", cut(&line, room)));
    }
    text.push_str(match dialect {
        Dialect::Tools | Dialect::ToolsStrict | Dialect::ParallelTools => {
            "Call the function with these members alone."
        }
        Dialect::JsonSchema | Dialect::JsonSchemaStrict | Dialect::Json => {
            "Answer with a JSON object of these members alone, and nothing else."
        }
        Dialect::MdJson => {
            "Answer with a JSON object of these members alone, in one block fenced by ```json."
        }
    });
    text
}

/// The text that asks for the whole after all, where places alone were asked for before.
pub fn reask_whole(dialect: Dialect) -> String {
    format!("These places cannot be taken alone. {}", closing(dialect))
}

/// The text that asks the model again after an answer that was no JSON, which `said` tells.
pub fn reask_no_json(dialect: Dialect, said: &str) -> String {
    format!("{said} {}", closing(dialect))
}

/// What is wrong with an answer that was no JSON: the byte where it failed, the text around it, and what was expected
/// there.
pub fn no_json(answer: &str, offset: usize, expected: &str) -> String {
    if answer.trim().is_empty() {
        return "The answer was empty.".to_owned();
    }
    let at = answer.floor_char_boundary(offset.min(answer.len()));
    let from = answer.ceil_char_boundary(at.saturating_sub(EXCERPT_BYTES));
    let after = head(&answer[at..], EXCERPT_BYTES);
    format!(
        "The answer is no valid JSON: at byte {offset}, expected {}. It reads {:?} and then {after:?}.",
        cut(expected, LINE_BYTES_MAX),
        &answer[from..at],
    )
}

/// What is wrong with an answer that was to go on with a value, and left these places out.
pub fn no_rest(due: &[Spot]) -> String {
    let named = |spot: &Spot| {
        match spot.pointer() {
            "" => "the whole",
            pointer => pointer,
        }
        .to_owned()
    };
    let places: Vec<String> = due.iter().map(named).collect();
    let places = places.join(", ");
    format!(
        "The answer has nothing that can come there for what is missing in {}.",
        cut(&places, LINE_BYTES_MAX)
    )
}

fn closing(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Tools | Dialect::ToolsStrict => {
            "Call the function again with the whole corrected arguments."
        }
        Dialect::ParallelTools => {
            "Call the function again once for each item, corrected where that is needed, all calls in one answer."
        }
        Dialect::JsonSchema | Dialect::JsonSchemaStrict | Dialect::Json => {
            "Answer again with the whole corrected JSON and nothing else."
        }
        Dialect::MdJson => "Answer again with the whole corrected JSON in one block fenced by ```json.",
    }
}
