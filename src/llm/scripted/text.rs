//! Strings: by format, by the member's name, or free.

use super::node::Node;
use super::pattern;
use super::random::Random;
use super::words::*;

/// Someone whom the strings of one object speak of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Persona {
    first: &'static str,
    last: &'static str,
    company: &'static str,
}

impl Persona {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            first: random.pick(FIRST_NAMES),
            last: random.pick(LAST_NAMES),
            company: random.pick(COMPANIES),
        }
    }

    fn full(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    fn handle(&self, between: &str) -> String {
        ascii(&format!("{}{between}{}", self.first, self.last))
    }

    fn email(&self) -> String {
        format!("{}@example.com", self.handle("."))
    }
}

/// Where a string stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The member's name, or the nearest one around an array's item.
    pub(super) name: &'a str,
    /// The name around the object that holds the member.
    pub(super) around: &'a str,
    pub(super) persona: Persona,
    /// Characters of a free string.
    pub(super) chars: usize,
}

/// A string for `node` at `place`.
pub(super) fn string(node: &Node, place: Place<'_>, random: &mut Random) -> String {
    let min = node.count("minLength").unwrap_or(0);
    let max = node.count("maxLength").unwrap_or(usize::MAX);
    if let Some(text) = node
        .text("pattern")
        .and_then(|pattern| pattern::sample(pattern, random, min, max))
    {
        return text;
    }
    let text = node
        .text("format")
        .and_then(|format| formatted(format, place, random));
    if let Some(text) = text {
        return text;
    }
    let text = match named(place, random) {
        Some(text) if text.chars().count() >= min => text,
        Some(_) | None => free(place.chars.clamp(min, max.max(min)), min, random),
    };
    fitted(text, min, max)
}

/// Sentences of at most `chars` characters, cut between words where that leaves `min`.
fn free(chars: usize, min: usize, random: &mut Random) -> String {
    let mut text = String::new();
    let mut count = 0;
    while count < chars {
        if count > 0 {
            text.push(' ');
            count += 1;
        }
        let sentence = random.pick(SENTENCES);
        count += sentence.chars().count();
        text.push_str(sentence);
    }
    if count <= chars {
        return text;
    }
    truncate(&mut text, chars.saturating_sub(1));
    let word = text.rfind(' ').map_or(0, |at| {
        text[..at].trim_end_matches([',', ':', '.', '—', ' ']).len()
    });
    if text[..word].chars().count() + 1 >= min.max(chars / 2) && chars > SHORT {
        text.truncate(word);
    }
    if chars > 0 {
        text.push('.');
    }
    text
}

/// Characters of a text in which half a word is no worse than a word less.
const SHORT: usize = 16;

/// `text` cut or filled to `min..=max` characters.
fn fitted(mut text: String, min: usize, max: usize) -> String {
    let count = text.chars().count();
    if count > max {
        truncate(&mut text, max);
    } else if count < min {
        text.extend(std::iter::repeat_n('o', min - count));
    }
    text
}

fn truncate(text: &mut String, chars: usize) {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    text.truncate(end);
}

fn ascii(text: &str) -> String {
    let plain = |letter: char| match letter.to_ascii_lowercase() {
        'ë' => 'e',
        'á' => 'a',
        'í' => 'i',
        'ö' => 'o',
        ' ' => '-',
        other => other,
    };
    text.chars().map(plain).filter(char::is_ascii).collect()
}

fn date(random: &mut Random) -> String {
    let year = 2019 + random.below(7);
    format!("{year}-{:02}-{:02}", 1 + random.below(12), 1 + random.below(28))
}

fn time(random: &mut Random) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        random.below(24),
        random.below(60),
        random.below(60)
    )
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48 & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

fn formatted(format: &str, place: Place<'_>, random: &mut Random) -> Option<String> {
    Some(match format {
        "date" => date(random),
        "date-time" => format!("{}T{}Z", date(random), time(random)),
        "time" => format!("{}Z", time(random)),
        "duration" => format!("P{}DT{}H", random.below(30), 1 + random.below(23)),
        "email" | "idn-email" => place.persona.email(),
        "uuid" => uuid(random),
        "uri" | "iri" | "url" => website(place, random),
        "uri-reference" | "iri-reference" => format!("/{}/{}", random.pick(KEYS), 1 + random.below(900)),
        "uri-template" => format!("https://example.com/{}/{{id}}", random.pick(KEYS)),
        "hostname" | "idn-hostname" => format!("{}.example.com", random.pick(KEYS)),
        "ipv4" => format!("192.0.2.{}", 1 + random.below(254)),
        "ipv6" => format!("2001:db8::{:x}", 1 + random.below(0xffff)),
        "json-pointer" => format!("/{}/{}", random.pick(KEYS), random.below(9)),
        "relative-json-pointer" => format!("{}/{}", random.below(3), random.pick(KEYS)),
        "regex" => format!("^{}[0-9]+$", random.pick(KEYS)),
        _ => return None,
    })
}

fn website(place: Place<'_>, random: &mut Random) -> String {
    format!(
        "https://example.com/{}/{}",
        random.pick(KEYS),
        place.persona.handle("-")
    )
}

/// The name in lower case without separators, without a plural's `s`.
fn plain_name(name: &str) -> String {
    let plain: String = name.chars().filter(|letter| letter.is_alphanumeric()).collect();
    let plain = plain.to_lowercase();
    match plain.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None if plain.ends_with("ss") || plain.ends_with("us") => plain,
        None => plain.strip_suffix('s').map_or(plain.clone(), str::to_owned),
    }
}

/// What a member of this name would say; nothing for names that promise prose, and for unknown names.
fn named(place: Place<'_>, random: &mut Random) -> Option<String> {
    let name = plain_name(place.name);
    let around = plain_name(place.around);
    let generic = matches!(name.as_str(), "name" | "title" | "label" | "value" | "item");
    if let Some(pool) = pool(&around).filter(|_| generic) {
        return Some(random.pick(pool).to_owned());
    }
    if let Some(pool) = pool(&name) {
        return Some(random.pick(pool).to_owned());
    }
    special(&name, place, random)
}

fn special(name: &str, place: Place<'_>, random: &mut Random) -> Option<String> {
    let persona = place.persona;
    Some(match name {
        "name" | "fullname" | "author" | "customer" | "person" | "contact" | "owner" | "user"
        | "assignee" | "speaker" | "attendee" | "participant" | "reviewer" | "manager" | "recipient"
        | "sender" | "patient" | "people" | "employee" | "candidate" | "member" | "name1" => persona.full(),
        "firstname" | "givenname" => persona.first.to_owned(),
        "lastname" | "surname" | "familyname" => persona.last.to_owned(),
        "username" | "handle" | "login" | "nickname" => persona.handle("_"),
        "company" | "companyname" | "employer" | "organization" | "organisation" | "vendor" | "supplier"
        | "merchant" | "issuer" | "brand" => persona.company.to_owned(),
        "email" | "emailaddress" | "mail" => persona.email(),
        "phone" | "phonenumber" | "telephone" | "mobile" => format!("+351 555 0{:03}", random.below(1_000)),
        "url" | "website" | "link" | "homepage" | "href" | "source" => website(place, random),
        "address" | "street" | "streetaddress" | "line1" => {
            format!("{} {}", 1 + random.below(200), random.pick(STREETS))
        }
        "location" | "place" | "venue" => format!("{}, {}", random.pick(CITIES), random.pick(COUNTRIES)),
        "zip" | "zipcode" | "postcode" | "postalcode" => format!("{:05}", 10_000 + random.below(89_999)),
        "id" | "identifier" | "reference" | "sku" | "code" | "ticket" | "invoicenumber" | "ordernumber"
        | "number" => {
            format!("{}-{:04}", random.pick(KEYS).to_uppercase(), random.below(10_000))
        }
        "date" | "birthday" | "dob" | "birthdate" | "deadline" | "duedate" | "startdate" | "enddate"
        | "day" => date(random),
        "time" | "timestamp" | "createdat" | "updatedat" | "publishedat" => {
            format!("{}T{}Z", date(random), time(random))
        }
        _ => return None,
    })
}

fn pool(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "city" | "town" | "hometown" => CITIES,
        "country" | "nationality" => COUNTRIES,
        "role" | "position" | "occupation" | "job" | "jobtitle" | "profession" => JOBS,
        "skill" | "technology" | "expertise" | "strength" => SKILLS,
        "tag" | "keyword" | "topic" | "label" | "interest" | "hobby" => TAGS,
        "language" => LANGUAGES,
        "ingredient" | "food" | "dish" => FOODS,
        "product" | "lineitem" | "productname" => PRODUCTS,
        "event" | "eventname" | "conference" | "meeting" => EVENTS,
        "company" | "employer" | "organization" => COMPANIES,
        "title" | "headline" | "subject" | "heading" | "book" | "article" => TITLES,
        "color" | "colour" => COLORS,
        "currency" => CURRENCIES,
        "status" | "state" => STATUSES,
        "priority" | "severity" | "level" => PRIORITIES,
        "category" | "kind" | "type" | "genre" | "department" | "industry" => CATEGORIES,
        "unit" => UNITS,
        "sentiment" | "mood" | "tone" => SENTIMENTS,
        "key" => KEYS,
        _ => return None,
    })
}
