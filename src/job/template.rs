//! A job's `context`, written into the texts of its messages: Jinja's expressions, `if` and `for`.
//!
//! Templates come from outside and are bounded: in steps, in what they write, and in what they may hold meanwhile. The
//! last is why nothing that builds larger values is offered (`set`, `with`, macros, the operators `~`, `+`, `*`).

use std::io::{self, Write};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::Value as Json;

/// Statements that templates may have.
const STATEMENTS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];
/// Operators that build larger values.
const BUILDERS: [char; 3] = ['~', '+', '*'];
/// How deep blocks and expressions may nest when they are carried out.
const DEPTH_MAX: usize = 64;
/// The name that each template has; nobody sees it.
const NAME: &str = "text";

/// What all templates of a job together may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TemplateLimits {
    /// Steps of carrying them out, one an instruction.
    pub steps: u64,
    /// Bytes that they write.
    pub bytes: usize,
}

/// The texts of one job's templates, on their way.
pub(super) struct Templates {
    context: Value,
    left: TemplateLimits,
    limits: TemplateLimits,
}

impl Templates {
    pub(super) fn new(context: &Json, limits: TemplateLimits) -> Self {
        Self {
            context: Value::from(Serde(context)),
            left: limits,
            limits,
        }
    }

    /// Writes one text; the error says what is wrong, where, and the way out.
    pub(super) fn write(&mut self, template: &str) -> Result<String, String> {
        // Most texts are none.
        if !["{{", "{%", "{#"].iter().any(|mark| template.contains(mark)) {
            self.spend(0, template.len())?;
            return Ok(template.to_owned());
        }
        refuse_builders(template)?;
        let environment = environment(self.left.steps);
        let template = environment
            .template_from_named_str(NAME, template)
            .map_err(|error| told(&error))?;
        let mut out = Bounded {
            text: Vec::new(),
            bytes_max: self.left.bytes,
        };
        let written = template.render_captured_to(self.context.clone(), &mut out);
        let full = out.text.len() >= out.bytes_max && written.is_err();
        let written = match written {
            Ok(written) => written,
            Err(_) if full => return Err(self.too_long()),
            Err(error) if error.kind() == ErrorKind::OutOfFuel => return Err(self.too_many_steps()),
            Err(error) => return Err(told(&error)),
        };
        let steps = written.state().fuel_levels().map_or(0, |(used, _)| used);
        self.spend(steps, out.text.len())?;
        String::from_utf8(out.text).map_err(|_| "the template writes no text".to_owned())
    }

    fn spend(&mut self, steps: u64, bytes: usize) -> Result<(), String> {
        let bytes = self
            .left
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| self.too_long())?;
        self.left = TemplateLimits {
            steps: self.left.steps.saturating_sub(steps),
            bytes,
        };
        Ok(())
    }

    fn too_long(&self) -> String {
        format!(
            "with `context` written in, the prompt has more than {} bytes: shorten it",
            self.limits.bytes
        )
    }

    fn too_many_steps(&self) -> String {
        format!(
            "the templates take more than {} steps together: loop over less",
            self.limits.steps
        )
    }
}

fn environment(steps: u64) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_fuel(Some(steps));
    environment.add_filter("upper", |text: &str| text.to_uppercase());
    environment.add_filter("lower", |text: &str| text.to_lowercase());
    environment.add_filter("trim", |text: &str| text.trim().to_owned());
    environment.add_filter("length", |value: &Value| {
        let length = value
            .len()
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "it has no length"));
        length.map(Value::from)
    });
    environment.add_filter("join", join);
    environment.add_filter("tojson", |Serde(value): Serde<Json>| value.to_string());
    environment.add_filter("default", |value: &Value, other: &Value| {
        if value.is_undefined() {
            other.clone()
        } else {
            value.clone()
        }
    });
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("undefined", Value::is_undefined);
    environment.add_test("none", Value::is_none);
    environment
}

fn join(values: &Value, between: Option<&str>) -> Result<String, Error> {
    let texts: Vec<String> = values.try_iter()?.map(|value| value.to_string()).collect();
    Ok(texts.join(between.unwrap_or_default()))
}

/// What is wrong with a template, and in which line.
fn told(error: &Error) -> String {
    let line = error
        .line()
        .map_or_else(String::new, |line| format!("line {line}: "));
    let said = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let way_out = match error.kind() {
        ErrorKind::UndefinedError => "; give it in `context`",
        ErrorKind::SyntaxError => "; text that is no template goes into `{% raw %}…{% endraw %}`",
        _ => "",
    };
    format!("{line}{said}{way_out}")
}

/// Refuses what could make values grow: statements beside those of the list, and operators that build.
fn refuse_builders(template: &str) -> Result<(), String> {
    let mut line = 1;
    let mut rest = template;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        line += rest[..at].matches('\n').count();
        let is_statement = rest[at..].starts_with("{%");
        let inside = &rest[at + 2..];
        if is_statement {
            let word = inside.trim_start_matches(['-', '+']).trim_start();
            let length = word
                .find(|letter: char| !letter.is_alphanumeric())
                .unwrap_or(word.len());
            let word = &word[..length];
            if !STATEMENTS.contains(&word) {
                return Err(format!(
                    "line {line}: `{{% {word} %}}` is not offered: templates have expressions, `if` and `for`"
                ));
            }
        }
        let (length, builder) = read_tag(inside, if is_statement { "%}" } else { "}}" });
        if let Some(builder) = builder {
            return Err(format!(
                "line {line}: the operator `{builder}` is not offered: write the parts beside each other"
            ));
        }
        line += inside[..length].matches('\n').count();
        rest = &inside[length..];
    }
    Ok(())
}

/// How long a tag is, and the first operator in it that builds; one beside the marks trims blanks.
fn read_tag(inside: &str, end: &str) -> (usize, Option<char>) {
    let mut quote = None;
    let mut escaped = false;
    let mut builder = None;
    for (at, letter) in inside.char_indices() {
        if let Some(open) = quote {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                letter if letter == open => quote = None,
                _ => {}
            }
            continue;
        }
        if inside[at..].starts_with(end) {
            return (at, builder);
        }
        let trims = at == 0 || inside[at + letter.len_utf8()..].starts_with(end);
        match letter {
            '\'' | '"' => quote = Some(letter),
            letter if BUILDERS.contains(&letter) && !(letter == '+' && trims) => {
                builder.get_or_insert(letter);
            }
            _ => {}
        }
    }
    (inside.len(), builder)
}

/// Takes so many bytes and no more.
struct Bounded {
    text: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max - self.text.len();
        if bytes.len() > room {
            self.text.extend_from_slice(&bytes[..room]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: TemplateLimits = TemplateLimits {
        steps: 2_000,
        bytes: 1_000,
    };

    fn written(template: &str) -> Result<String, String> {
        let context = json!({
            "name": "Ada", "rules": ["be brief", "be exact"], "none": null, "yes": true, "n": 3,
            "by_name": {"b": 1, "a": {"x": "<&>"}}, "long": "x".repeat(400),
        });
        Templates::new(&context, LIMITS).write(template)
    }

    #[test]
    fn templates_are_those_of_jinja() {
        for (template, expected) in [
            ("no { template } at {all", "no { template } at {all"),
            (
                "{{ name }} {{name|upper}} {{ by_name.a.x }} {{ rules[1] }}",
                "Ada ADA <&> be exact",
            ),
            (
                "{% for rule in rules %}{{ loop.index }}. {{ rule }}\n{% endfor %}",
                "1. be brief\n2. be exact\n",
            ),
            (
                "{% if yes and not none %}a{% elif n > 2 %}b{% else %}c{% endif %}",
                "a",
            ),
            ("{% if 'be brief' in rules -%}  a  {%- endif %}", "a"),
            (
                "{{ rules|join(', ') }} {{ rules|length }} {{ by_name|tojson }}",
                "be brief, be exact 2 {\"b\":1,\"a\":{\"x\":\"<&>\"}}",
            ),
            (
                "{{ other|default('-') }}{% if other is defined %}x{% endif %}",
                "-",
            ),
            (
                "{# said to nobody #}{% raw %}{{ name }}{% endraw %}",
                "{{ name }}",
            ),
            ("{{ 'a+b~c*d' }}{%+ if yes %}!{% endif +%}", "a+b~c*d!"),
        ] {
            assert_eq!(written(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn faults_say_where_and_the_way_out() {
        for (template, said) in [
            ("a\n{{ nobody }}", "line 2: "),
            ("{{ nobody }}", "give it in `context`"),
            ("{{ name.first.second }}", "line 1: "),
            ("{{ name", "{% raw %}"),
            ("{% for x in %}", "line 1: "),
            ("{{ name|shout }}", "shout"),
            ("\n{% set a = name %}", "line 2: `{% set %}` is not offered"),
            ("{% include 'x' %}", "`{% include %}`"),
            ("{%- macro a() %}{% endmacro %}", "`{% macro %}`"),
            ("{% with a = name %}{% endwith %}", "`{% with %}`"),
            ("{% filter upper %}{% endfilter %}", "`{% filter %}`"),
            ("{{ name ~ name }}", "operator `~`"),
            ("\n\n{{ 'x' * 9 }}", "line 3: the operator `*`"),
            ("{% if name + name %}{% endif %}", "operator `+`"),
        ] {
            let error = written(template).unwrap_err();
            assert!(error.contains(said), "{template}: {error}");
        }
    }

    #[test]
    fn what_templates_take_is_bounded() {
        let nested = "{% for a in long %}{% for b in long %}{% endfor %}{% endfor %}";
        assert!(written(nested).unwrap_err().contains("2000 steps"));
        let long = "{{ long }}{{ long }}{{ long }}";
        assert!(written(long).unwrap_err().contains("1000 bytes"));
        assert!(written(&"x".repeat(1_001)).is_err());
        let again = "{% for rule in rules recursive %}{{ loop(rules) }}{% endfor %}";
        assert!(written(again).is_err());
        // Together, not each.
        let mut templates = Templates::new(&json!({"long": "x".repeat(400)}), LIMITS);
        assert!(templates.write("{{ long }}{{ long }}").is_ok());
        assert!(templates.write("{{ long }}").is_err());
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(written(&deep).is_err());
    }
}
