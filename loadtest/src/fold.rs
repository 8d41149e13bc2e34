//! A viewer's state as PROTOCOL.md §6 has it, read anew and on purpose not the product's own: a fault of that one shows.
//! Numbers are doubles here; whoever needs their digits reads otherwise.

use serde_json::{Map, Value, json};

/// The state of one job at a position; without a status there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fold {
    /// Epoch and seq of the last message.
    pub(crate) position: Option<(String, u64)>,
    status: Option<String>,
    attempt: u64,
    attempts: Vec<Value>,
    value: Option<Value>,
    cursor: Option<String>,
    at: Vec<String>,
    parts: Vec<Value>,
}

/// Why a message does not fit: the state has parted from the log.
pub(crate) type Misfit = String;

impl Fold {
    /// Takes a message of the job. False where nothing has changed: a part that is not the last, an answer.
    pub(crate) fn take(&mut self, message: &Value) -> Result<bool, Misfit> {
        let kind = message["type"].as_str().unwrap_or("job.patch");
        let kind = kind.strip_prefix("job.").unwrap_or(kind);
        match kind {
            "accepted" if message["existing"] != true => {
                *self = Self {
                    status: Some("queued".to_owned()),
                    ..Self::default()
                }
            }
            "snapshot" => {
                let Some(whole) = self.whole(message)? else {
                    return Ok(false);
                };
                self.replace(&whole)?;
            }
            "patch" | "status" | "attempt" | "note" | "hook" | "completed" | "failed" | "cancelled"
            | "incomplete" => {
                self.known()?;
                self.event(kind, message)?;
            }
            _ => return Ok(false),
        }
        let seq = message.get("s").unwrap_or(&message["seq"]);
        let seq = seq.as_u64().ok_or("a message without seq")?;
        let epoch = message["epoch"].as_str().map(str::to_owned);
        let epoch = epoch.or_else(|| self.position.take().map(|(epoch, _)| epoch));
        self.position = Some((epoch.ok_or("a patch before any epoch")?, seq));
        Ok(true)
    }

    /// The draft; nothing while nothing is shown.
    pub(crate) fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// The state in one line, as `proto/vectors/fold` writes it.
    pub(crate) fn text(&self) -> String {
        let Some(status) = &self.status else {
            return "null".to_owned();
        };
        let mut state = Map::new();
        if let Some((epoch, seq)) = &self.position {
            state.extend([("epoch".into(), json!(epoch)), ("seq".into(), json!(seq))]);
        }
        state.extend([
            ("status".into(), json!(status)),
            ("attempt".into(), json!(self.attempt)),
            ("attempts".into(), json!(self.attempts)),
        ]);
        state.extend(self.value.clone().map(|value| ("value".into(), value)));
        state.extend(
            self.cursor
                .as_ref()
                .map(|cursor| ("cursor".into(), json!(cursor))),
        );
        state.insert("at".into(), json!(self.at));
        Value::Object(state).to_string()
    }

    fn known(&self) -> Result<(), Misfit> {
        self.status
            .as_ref()
            .map(|_| ())
            .ok_or_else(|| "there is no state".to_owned())
    }

    /// A snapshot with its value, once all parts are there.
    fn whole(&mut self, message: &Value) -> Result<Option<Value>, Misfit> {
        let (Some(part), Some(parts)) = (message["part"].as_u64(), message["parts"].as_u64()) else {
            return Ok(Some(message.clone()));
        };
        if part == 1 {
            self.parts.clear();
        }
        self.parts.push(message.clone());
        if part < parts {
            return Ok(None);
        }
        let text: String = self
            .parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect();
        let mut first = self.parts.swap_remove(0);
        first["value"] =
            serde_json::from_str(&text).map_err(|error| format!("parts of a snapshot: {error}"))?;
        self.parts.clear();
        Ok(Some(first))
    }

    fn replace(&mut self, snapshot: &Value) -> Result<(), Misfit> {
        self.status = snapshot["status"].as_str().map(str::to_owned);
        self.attempt = snapshot["attempt"].as_u64().unwrap_or_default();
        self.attempts = snapshot["attempts"].as_array().cloned().unwrap_or_default();
        self.value = snapshot.get("value").cloned();
        self.cursor = snapshot["cursor"].as_str().map(str::to_owned);
        self.at = texts(&snapshot["at"]);
        self.known()
    }

    fn event(&mut self, kind: &str, message: &Value) -> Result<(), Misfit> {
        match kind {
            "patch" => self.patch(message)?,
            "status" => self.status = message["status"].as_str().map(str::to_owned),
            "attempt" => {
                let mut kept = json!({ "n": message["attempt"], "reason": message["reason"] });
                if let Some(errors) = message.get("errors") {
                    kept["errors"] = errors.clone();
                }
                self.attempts.push(kept);
                self.attempt = message["attempt"].as_u64().unwrap_or_default();
                self.cursor = None;
                self.at = texts(&message["at"]);
                if message["reset"] == true {
                    self.value = None;
                    self.at.clear();
                }
            }
            "note" | "hook" => {}
            end => {
                self.status = Some(end.to_owned());
                self.at.clear();
            }
        }
        Ok(())
    }

    fn patch(&mut self, message: &Value) -> Result<(), Misfit> {
        let ops = message.get("o").unwrap_or(&message["ops"]);
        for op in ops.as_array().ok_or("a patch without ops")? {
            self.change(op)
                .map_err(|error| format!("{op} does not fit: {error}"))?;
        }
        if let Some(at) = message.get("at") {
            let places = match at {
                Value::Number(up) if up.is_u64() => vec![up.to_string()],
                Value::Array(all) if all.iter().all(Value::is_string) => texts(at),
                other => return Err(format!("{other} are no places")),
            };
            let places = places.iter().map(|place| self.path(place));
            self.at = places.collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn change(&mut self, op: &Value) -> Result<(), Misfit> {
        let op = op.as_array().map_or(&[][..], Vec::as_slice);
        let path = match op {
            [_] => self.cursor.clone().ok_or("there is no cursor")?,
            [path, ..] => self.path(path.as_str().ok_or("a path that is no text")?)?,
            [] => return Err("an op of nothing".to_owned()),
        };
        match op {
            [text] | [_, text] => {
                let text = text.as_str().ok_or("an append of no text")?;
                let place = self.value.as_mut().and_then(|value| value.pointer_mut(&path));
                match place.ok_or("there is nothing")? {
                    Value::String(held) => held.push_str(text),
                    other => return Err(format!("an append to {other}")),
                }
            }
            [_, value, code] if *code == json!(0) => self.set(&path, value.clone())?,
            [_, Value::Null, code] if *code == json!(1) => self.remove(&path)?,
            _ => return Err("no op that is known".to_owned()),
        }
        self.cursor = (op.get(2) != Some(&json!(1))).then_some(path);
        Ok(())
    }

    fn set(&mut self, path: &str, value: Value) -> Result<(), Misfit> {
        if path.is_empty() {
            self.value = Some(value);
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match parent {
            Value::Object(members) => {
                members.insert(name, value);
            }
            Value::Array(items) => match index(&name)? {
                at if at < items.len() => items[at] = value,
                at if at == items.len() => items.push(value),
                at => return Err(format!("there is no place {at}")),
            },
            other => return Err(format!("{other} holds nothing")),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), Misfit> {
        if path.is_empty() {
            return self
                .value
                .take()
                .map(|_| ())
                .ok_or_else(|| "there is nothing".to_owned());
        }
        let (parent, name) = self.parent(path)?;
        match parent {
            Value::Object(members) => members.shift_remove(&name).map(|_| ()),
            Value::Array(items) => {
                let at = index(&name)?;
                (at < items.len()).then(|| drop(items.remove(at)))
            }
            _ => None,
        }
        .ok_or_else(|| format!("there is no {name}"))
    }

    /// What holds the place of a pointer, and the place's name there.
    fn parent(&mut self, path: &str) -> Result<(&mut Value, String), Misfit> {
        let (parent, name) = path.rsplit_once('/').ok_or("no pointer")?;
        let value = self.value.as_mut().ok_or("there is nothing")?;
        let parent = value
            .pointer_mut(parent)
            .ok_or_else(|| format!("{parent} leads nowhere"))?;
        Ok((parent, name.replace("~1", "/").replace("~0", "~")))
    }

    /// The pointer that a path means, which may be relative to the cursor.
    fn path(&self, path: &str) -> Result<String, Misfit> {
        let escapes = path.split('~').skip(1);
        if !escapes.into_iter().all(|rest| rest.starts_with(['0', '1'])) {
            return Err(format!("{path} is no path"));
        }
        let digits = path.bytes().take_while(u8::is_ascii_digit).count();
        let (up, rest) = path.split_at(digits);
        if !(rest.is_empty() || rest.starts_with('/')) {
            return Err(format!("{path} is no path"));
        }
        if up.is_empty() {
            return Ok(rest.to_owned());
        }
        let mut whole = self.cursor.as_deref().ok_or("there is no cursor")?;
        for _ in 0..index(up)? {
            whole = whole.rsplit_once('/').ok_or("it leads out of the value")?.0;
        }
        Ok(format!("{whole}{rest}"))
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn index(name: &str) -> Result<usize, Misfit> {
    let padded = name.len() > 1 && name.starts_with('0');
    let number = name.parse().ok().filter(|_| !padded && !name.starts_with('+'));
    number.ok_or_else(|| format!("{name} is no index"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::Fold;

    /// What holds numbers that doubles do not keep.
    const DIGITS: &str = "digits.json";

    #[test]
    fn the_protocols_vectors() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/vectors/fold");
        let mut steps = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().is_some_and(|name| name == DIGITS) {
                continue;
            }
            let vector: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let mut fold = Fold::default();
            for step in vector["steps"].as_array().unwrap() {
                let taken = fold.take(&step["message"]);
                assert_eq!(
                    taken.is_err(),
                    step["misfit"] == true,
                    "{}: {step} {taken:?}",
                    path.display()
                );
                if taken.is_err() {
                    fold = Fold::default();
                } else {
                    assert_eq!(fold.text(), step["state"].to_string(), "{}", path.display());
                }
                steps += 1;
            }
        }
        assert!(steps > 50, "{steps}");
    }
}
