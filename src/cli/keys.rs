//! `livedraft keys new`: makes a key; and the key that the other commands show.

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use crate::access::{Expiry, NewKey, Scope, Scopes, Token};
use crate::clock;

/// Where commands that speak with a server find their key; never an argument, which others can see.
const KEY: &str = "LIVEDRAFT_KEY";
const KEY_FILE: &str = "LIVEDRAFT_KEY_FILE";

/// API keys.
#[derive(Args, Debug)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// Make a key: it is printed once, and the entry for the server's configuration, which has only its hash.
    New(NewArgs),
}

#[derive(Args, Debug)]
struct NewArgs {
    /// Names the key, in the log too: letters, digits, `-` and `.`.
    #[arg(long, value_name = "ID")]
    id: String,
    /// Whose jobs it submits and sees.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// What it may do: submit, read, cancel, admin; without it, all of that.
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// From when on it is known no longer, such as 2027-01-31T00:00:00Z; without it, never.
    #[arg(long, value_name = "DATE-TIME")]
    expires: Option<Expiry>,
}

/// The exit code of `keys`.
pub(super) fn run(args: KeysArgs) -> Result<u8, Failure> {
    let KeysCommand::New(args) = args.command;
    let scopes = match args.scopes.is_empty() {
        true => Scopes::default(),
        false => args.scopes.into_iter().collect(),
    };
    let random = clock::secret().map_err(|error| Failure::Serve(format!("no random bits: {error}")))?;
    let mut key = NewKey::make(&args.id, &args.tenant, scopes, random).map_err(Failure::Usage)?;
    key.entry.expires = args.expires;
    // The key alone on stdout, so that it can go where it is kept without having been seen.
    let mut screen = Screen::new(Stream::Err);
    screen.line(&Row::of(
        Tone::Dim,
        "for the server's configuration, which need not be secret:",
    ));
    Stream::Err.write(&format!("\n{}\n", entry(&key)));
    screen.line(&Row::of(Tone::Dim, "the key, shown this once:"));
    Stream::Out.write(&format!("{}\n", key.token.reveal()));
    Ok(0)
}

/// The entry as a table of TOML. A tenant's name may hold anything; TOML's basic strings escape as JSON's do.
fn entry(key: &NewKey) -> String {
    let words: Vec<String> = key
        .entry
        .scopes
        .iter()
        .map(|scope| format!("\"{scope}\""))
        .collect();
    let expires = key
        .entry
        .expires
        .map(|expires| format!("expires = {expires}\n"))
        .unwrap_or_default();
    format!(
        "[keys.{}]\nsha256 = \"{}\"\ntenant = {}\nscopes = [{}]\n{expires}",
        name(&key.entry.id),
        key.entry.sha256,
        serde_json::Value::from(key.entry.tenant.as_str()),
        words.join(", "),
    )
}

/// An id as a part of a table's name: with a dot in it, it is quoted.
fn name(id: &str) -> String {
    if id.contains('.') {
        format!("\"{id}\"")
    } else {
        id.to_owned()
    }
}

/// The key that a command shows: of the environment, or of the file that it names.
pub(super) fn shown() -> Result<Option<Token>, Failure> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (set(KEY), set(KEY_FILE)) {
        (Some(key), _) => Ok(Some(Token::new(&key))),
        (None, Some(file)) => {
            let key = std::fs::read_to_string(&file)
                .map_err(|error| Failure::Usage(format!("{KEY_FILE} {file}: {error}")))?;
            Ok(Some(Token::new(&key)))
        }
        (None, None) => Ok(None),
    }
}
