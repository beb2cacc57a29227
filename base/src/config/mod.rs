//! How a config is read: a file (TOML), the environment and the command line, each over the one
//! before. What the sections mean is each crate's own.

mod fault;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Data, Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::fault::{COMMAND_LINE, describe};

/// Why a config can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{path} can't be read")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A key's value has another form: where, which, and what to give.
    #[error("{0}")]
    Key(String),
    /// A key that there isn't.
    #[error("{message}")]
    UnknownKey {
        /// Its name, without its section.
        name: String,
        /// Where it is, and which are known.
        message: String,
    },
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

impl Error {
    /// A value that breaks a rule.
    pub fn value(key: &'static str, reason: impl ToString) -> Self {
        Self::Value { key, reason: reason.to_string() }
    }
}

/// Reads a config: a file (TOML), then variables such as `HEARTH_WORKER__LISTEN` (section, two
/// underscores, key), then `overrides`, each over the one before. What no source names is the
/// type's default. Variables of sections that `sections` does not name are other programs'. A
/// variable's value that looks like a number is text where the key takes text.
///
/// # Errors
/// [`Error`] names the file or the key.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    sections: &'static [&'static str],
    overrides: impl Serialize,
) -> Result<T, Error> {
    let mut figment = Figment::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        figment = figment.merge(File { path, data: Toml::string(&text) });
    }
    let ours = |key: &str| {
        let section = key.split_once("__").map(|(section, _)| section.to_ascii_lowercase());
        section.is_some_and(|section| sections.contains(&section.as_str()))
    };
    let environment = Env::prefixed("HEARTH_").filter(move |key| ours(key.as_str())).split("__");
    let written = environment.clone().lowercase(false);
    let variables: Vec<Variable> = written
        .iter()
        .map(|(key, text)| Variable {
            key: key.as_str().to_ascii_lowercase(),
            name: format!("HEARTH_{}", key.as_str().replace('.', "__")),
            text,
        })
        .collect();
    let environment = Variables { data: environment.data(), names: names(&variables) };
    let overrides = Figment::from(CommandLine(Serialized::defaults(overrides)));
    let mut figment = figment.merge(environment);
    // The reader of variables guesses types without knowing which is wanted. Only the type that is
    // read says so, key by key: what it wants as text is given as text, each variable once.
    for _ in 0..=variables.len() {
        let all = figment.clone().merge(&overrides);
        match all.extract() {
            Ok(config) => return Ok(config),
            Err(error) => match as_text(&error, &variables) {
                Some(text) => figment = figment.merge(text),
                None => return Err(refuse(&error, &all)),
            },
        }
    }
    extract(&figment.merge(overrides))
}

fn extract<T: DeserializeOwned>(config: &Figment) -> Result<T, Error> {
    config.extract().map_err(|error| refuse(&error, config))
}

fn refuse(error: &figment::Error, config: &Figment) -> Error {
    let message = describe(error, config);
    match &error.kind {
        Kind::UnknownField(name, _) => Error::UnknownKey { name: name.clone(), message },
        _ => Error::Key(message),
    }
}

/// What flags set.
struct CommandLine<T>(Serialized<T>);

impl<T: Serialize> Provider for CommandLine<T> {
    fn metadata(&self) -> Metadata {
        Metadata::named(COMMAND_LINE).interpolater(|_, keys| keys.join("."))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.0.data()
    }
}

/// A file that was read already, under its name in errors.
struct File<'a> {
    path: &'a Path,
    data: Data<Toml>,
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("config", self.path).interpolater(|_, keys| keys.join("."))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.data.data()
    }
}

/// A variable of the environment.
struct Variable {
    /// The key that it sets, in small letters: `worker.slots`.
    key: String,
    /// What it is called, as it was written: `HEARTH_WORKER__SLOTS`.
    name: String,
    text: String,
}

/// Their names by their keys.
fn names(variables: &[Variable]) -> BTreeMap<String, String> {
    variables.iter().map(|v| (v.key.clone(), v.name.clone())).collect()
}

/// Variables, each under its own name in errors.
struct Variables {
    data: Result<Map<Profile, Dict>, figment::Error>,
    names: BTreeMap<String, String>,
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        let names = self.names.clone();
        Metadata::named("the environment").interpolater(move |_, keys| {
            let key = keys.join(".").to_ascii_lowercase();
            let usual = || format!("HEARTH_{}", key.to_ascii_uppercase().replace('.', "__"));
            names.get(&key).cloned().unwrap_or_else(usual)
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.data.clone()
    }
}

/// The text of the variable that `error` found to be something else, where text is wanted.
fn as_text(error: &figment::Error, variables: &[Variable]) -> Option<Variables> {
    let Kind::InvalidType(_, expected) = &error.kind else { return None };
    let key = error.path.join(".").to_ascii_lowercase();
    let variable = variables.iter().find(|variable| variable.key == key)?;
    let text = Serialized::default(&variable.key, variable.text.clone());
    expected.contains("string").then(|| Variables { data: text.data(), names: names(variables) })
}

/// Reads a config of which `text` (TOML) is the one source. What it does not name is the type's
/// default.
///
/// # Errors
/// [`Error::Key`] names the key.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    extract(&Figment::from(Toml::string(text)))
}

/// For [`load`]: a program whose command line sets no key.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NoOverrides {}
