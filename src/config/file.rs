//! The file: TOML, each value with its line.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Source};
use super::field::Given;
use super::layers::Saying;

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file says, in its order.
pub(super) fn read(path: &Path, faults: &mut Vec<Fault>) -> Vec<Saying> {
    let whole = || Source::WholeFile(path.to_owned());
    let text = match text_of(path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(reason) => {
            faults.push(Fault::new(whole(), "", reason));
            return Vec::new();
        }
    };
    let reader = Reader { path, text: &text };
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut broken = Vec::new();
    for error in errors {
        // The error's own text would show the line, and with it perhaps a key.
        let source = error.span().map_or_else(whole, |span| reader.at(span.start));
        if !broken.contains(&source) {
            faults.push(Fault::new(source.clone(), "", error.message()));
            broken.push(source);
        }
    }
    let mut said = Vec::new();
    reader.walk(table.get_ref(), &[], &mut said);
    // What was made of a broken line was not said.
    said.retain(|saying: &Saying| !broken.contains(&saying.source));
    said
}

/// The text of a small file; the error says what is wrong without naming the file.
pub(super) fn text_of(path: &Path, bytes_max: u64) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(bytes) if bytes as u64 > bytes_max => Err(format!("is longer than {bytes_max} bytes")),
        Ok(_) => Ok(text),
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn at(&self, byte: usize) -> Source {
        let before = self.text.as_bytes().iter().take(byte);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Source::File(self.path.to_owned(), line)
    }

    fn walk(&self, table: &DeTable<'_>, section: &[String], said: &mut Vec<Saying>) {
        for (name, value) in table {
            let mut path = section.to_vec();
            path.push(name.get_ref().to_string());
            said.push(Saying {
                path: path.clone(),
                given: given(value),
                source: self.at(name.span().start),
            });
            if let DeValue::Table(table) = value.get_ref() {
                self.walk(table, &path, said);
            }
        }
    }
}

fn given(value: &Spanned<DeValue<'_>>) -> Given {
    match value.get_ref() {
        DeValue::Boolean(flag) => Given::Flag(*flag),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map_or(Given::Other("a number beyond 64 bits"), Given::Number),
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Array(items) => {
            let texts = items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned));
            texts
                .collect::<Option<_>>()
                .map_or(Given::Other("a list of other things than texts"), Given::List)
        }
        DeValue::Table(_) => Given::Section,
        DeValue::Float(digits) => Given::Decimal(digits.as_str().to_owned()),
        DeValue::Datetime(moment) => Given::Moment(moment.to_string()),
    }
}
