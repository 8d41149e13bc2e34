//! What is shown: Instructor's guide examples, one after the other.

use serde_json::{Value as Json, json};

use crate::job::{
    JobLimits, JobSpec, LenientChoice, ModeChoice, OnBadItem, OnLastViewerGone, OnViolation, Priority,
    ReaskChoice, Sampling, Script,
};
use crate::wire::{Deliver, Unseen};

/// One job and how its viewers look at it.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// What is wanted.
    pub(super) title: &'static str,
    /// What there is to see.
    pub(super) note: &'static str,
    pub(super) schema: Json,
    pub(super) input: &'static str,
    pub(super) mode: ModeChoice,
    pub(super) reask: ReaskChoice,
    pub(super) script: Script,
    /// How the first and the second viewer want it told.
    pub(super) looks: [Deliver; 2],
    /// Rows of the panes.
    pub(super) height: usize,
    /// Whether a socket is cut and a viewer comes late.
    pub(super) stormy: bool,
}

/// The scenes, in order; `speed` multiplies the model's rate.
pub(super) fn scenes(speed: f64) -> Vec<Scene> {
    vec![
        user(speed),
        storm(speed),
        profile(speed),
        fenced(speed),
        filled(speed),
    ]
}

fn script(tokens_per_second: f64, speed: f64) -> Script {
    Script {
        tokens_per_second: tokens_per_second * speed,
        token_chars: 2,
        ..Script::default()
    }
}

fn plain(title: &'static str, note: &'static str, schema: Json, script: Script) -> Scene {
    Scene {
        title,
        note,
        schema,
        input: "Who is it?",
        mode: ModeChoice::Auto,
        reask: ReaskChoice::Auto,
        script,
        looks: [Deliver::default(); 2],
        height: 4,
        stormy: false,
    }
}

fn user(speed: f64) -> Scene {
    let schema = json!({
        "title": "User", "type": "object", "required": ["name", "age"],
        "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0, "maximum": 120 } },
    });
    Scene {
        height: 2,
        ..plain(
            "User {name, age}",
            "one job, two viewers; a number appears when whole",
            schema,
            script(14.0, speed),
        )
    }
}

fn storm(speed: f64) -> Scene {
    let schema = json!({
        "title": "User", "type": "object", "required": ["name", "bio", "skills"],
        "properties": {
            "name": { "type": "string" },
            "bio": { "type": "string" },
            "skills": { "type": "array", "items": { "type": "string" }, "minItems": 4, "maxItems": 4 },
        },
    });
    let script = Script {
        invalid_attempts: 1,
        text_chars: 320,
        seed: 3,
        ..script(75.0, speed)
    };
    Scene {
        height: 15,
        stormy: true,
        // Long enough for all that happens meanwhile.
        reask: ReaskChoice::Whole,
        ..plain(
            "User {name, bio, skills[]}",
            "a false answer, a cut socket, a late viewer",
            schema,
            script,
        )
    }
}

fn profile_schema() -> Json {
    json!({
        "title": "UserProfile", "type": "object", "required": ["username", "address"],
        "properties": {
            "username": { "type": "string" },
            "address": {
                "type": "object", "required": ["city", "street"],
                "properties": { "city": { "type": "string" }, "street": { "type": "string" } },
            },
        },
    })
}

fn profile(speed: f64) -> Scene {
    let script = Script {
        invalid_attempts: 1,
        invalid_at: vec!["/address/city".to_owned()],
        ..script(18.0, speed)
    };
    plain(
        "UserProfile {username, address {city, street}}",
        "nested; one place is wrong, and only that is asked for again",
        profile_schema(),
        script,
    )
}

fn fenced(speed: f64) -> Scene {
    let script = Script {
        prose: true,
        think: true,
        seed: 1,
        ..script(75.0, speed)
    };
    let notes = Deliver {
        notes: true,
        ..Deliver::default()
    };
    Scene {
        mode: ModeChoice::MdJson,
        looks: [Deliver::default(), notes],
        height: 8,
        ..plain(
            "the same out of Markdown",
            "right: with the words around it",
            profile_schema(),
            script,
        )
    }
}

fn filled(speed: f64) -> Scene {
    let null = Deliver {
        unseen: Unseen::Null,
        ..Deliver::default()
    };
    let script = Script {
        seed: 2,
        ..script(18.0, speed)
    };
    Scene {
        looks: [Deliver::default(), null],
        ..plain(
            "the same, null-filled",
            "right: what is not seen yet is null",
            profile_schema(),
            script,
        )
    }
}

impl Scene {
    /// The job's request.
    pub(super) fn request(&self) -> JobSpec {
        JobSpec {
            model: "scripted".to_owned(),
            messages: Vec::new(),
            input: Some(self.input.to_owned()),
            schema: self.schema.clone(),
            mode: self.mode,
            wrap: None,
            lenient: LenientChoice::default(),
            reask: self.reask,
            on_violation: OnViolation::default(),
            on_bad_item: OnBadItem::default(),
            verdict_ms: None,
            on_last_viewer_gone: OnLastViewerGone::default(),
            priority: Priority::default(),
            hooks: false,
            max_reasks: 2,
            flush_ms: 33,
            context: None,
            reasoning: None,
            sampling: Sampling::default(),
            limits: JobLimits::default(),
            metadata: std::collections::BTreeMap::new(),
            script: Some(self.script.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::SpecLimits;
    use crate::schema::{Schema, SchemaLimits};

    #[test]
    fn every_scene_is_a_request_that_a_server_takes() {
        for scene in scenes(4.0) {
            let request = scene.request();
            request.check(&SpecLimits::default()).unwrap();
            scene.script.check().unwrap();
            Schema::compile(&request.schema, &SchemaLimits::default()).unwrap();
        }
    }
}
