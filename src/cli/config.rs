//! `livedraft config`: what holds and why, what is wrong, and a file to begin with. And the flags that name settings.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::words;
use crate::config::{self, FILE, Layers, Loaded, Setting};

const LAYERS_HELP: &str = "\
A setting is taken from the first that has it: flags, the environment (LIVEDRAFT_SERVER__BIND for
server.bind), the file, the default. The file is that of --config, or of LIVEDRAFT_CONFIG, or
./livedraft.toml if it is there.";

/// Which configuration is read.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ConfigArgs {
    /// The file; without it that of LIVEDRAFT_CONFIG, or ./livedraft.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting, over all others; may be given many times.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

/// `livedraft config …`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LAYERS_HELP)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// Say all that is wrong with the configuration; exit code 2 if anything is.
    Check(ConfigArgs),
    /// Print every key, what it holds and where that comes from; secrets are not shown.
    Show(ShowArgs),
    /// Write a file with every key, its unit, its bounds and its default.
    Init(InitArgs),
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One JSON document: an object of keys.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct InitArgs {
    /// Where to write, or `-` for stdout; a file that is there is left alone.
    #[arg(value_name = "FILE", default_value = FILE)]
    file: PathBuf,
}

fn setting(given: &str) -> Result<(String, String), String> {
    let (key, value) = given.split_once('=').ok_or("write it as SECTION.KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl ConfigArgs {
    /// Reads the configuration; `flags` are those of the command's own: the flag, the key, the value.
    pub(super) fn load(&self, flags: Vec<(&str, &str, String)>) -> Loaded {
        let own = flags
            .into_iter()
            .map(|(flag, key, value)| (flag.to_owned(), key.to_owned(), value));
        let set = self
            .set
            .iter()
            .map(|(key, value)| ("--set".to_owned(), key.clone(), value.clone()));
        config::load(&Layers {
            file: self.config.clone(),
            flags: own.chain(set).collect(),
            ..Layers::of_process()
        })
    }
}

/// Refuses a configuration that has a fault.
pub(super) fn faultless(loaded: Loaded) -> Result<Loaded, Failure> {
    if loaded.faults.is_empty() {
        Ok(loaded)
    } else {
        Err(Failure::Config(loaded.faults))
    }
}

/// The exit code of `config`.
pub(super) fn run(command: &ConfigCommand) -> Result<u8, Failure> {
    match &command.verb {
        Verb::Check(args) => check(args),
        Verb::Show(args) => show(args),
        Verb::Init(args) => init(&args.file),
    }
}

fn check(args: &ConfigArgs) -> Result<u8, Failure> {
    let loaded = faultless(args.load(Vec::new()))?;
    let set = loaded
        .settings()
        .iter()
        .filter(|setting| setting.is_set())
        .count();
    let file = loaded
        .file
        .as_deref()
        .map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let set = words::count(set as u64, "setting");
    Stream::Err.write(&format!(
        "the configuration is sound: {file}, {set} beside the defaults\n"
    ));
    Ok(0)
}

/// What holds is shown also where something is wrong: it helps to find it.
fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let loaded = args.config.load(Vec::new());
    let settings = loaded.settings();
    if args.json {
        let members = settings.into_iter().map(|setting| {
            let told = json!({"value": setting.value, "source": setting.origin.to_string()});
            (setting.key, told)
        });
        let text = Json::Object(members.collect::<Map<_, _>>()).to_string();
        Stream::Out.put(&format!("{text}\n")).map_err(Failure::Output)?;
    } else {
        let mut screen = Screen::new(Stream::Out);
        for setting in &settings {
            screen.line(&row(setting));
        }
    }
    faultless(loaded).map(|_| 0)
}

/// A line of TOML, so what is shown can be set.
fn row(setting: &Setting) -> Row {
    let (key, said) = (&setting.key, &setting.origin);
    let row = match &setting.value {
        Json::Null => return Row::of(Tone::Dim, &format!("# {key} is not set")),
        value if setting.is_secret => Row::of(Tone::Dim, &format!("# {key} = {value}")),
        value => Row::of(Tone::Key, key).with(Tone::Plain, &format!(" = {value}")),
    };
    let tone = if setting.is_set() { Tone::Good } else { Tone::Dim };
    row.with(tone, &format!("  # {said}"))
}

fn init(path: &Path) -> Result<u8, Failure> {
    let text = config::init();
    if path == Path::new("-") {
        return Stream::Out.put(&text).map(|()| 0).map_err(Failure::Output);
    }
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
    Stream::Err.write(&format!("{} has every key with its default\n", path.display()));
    Ok(0)
}
