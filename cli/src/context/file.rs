//! `hearth.toml` and `config.toml`: a fleet without a name, and named ones.
//!
//! ```toml
//! context = "lab"                       # the one to use when none is named
//!
//! [contexts.lab]
//! registry = "etcd://10.0.0.1:2379/default"
//! pki = "pki/admin"                     # beside this file
//!
//! [launcher.command]                    # what `hearth launch --launcher command` runs
//! programs = "launchers/ssh"            # beside this file
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hearth_launchers::{command, kubernetes};
use serde::Deserialize;

use crate::exit::Failure;

/// One config file, as it was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) context: Option<String>,
    pub(super) unnamed: Entry,
    pub(super) contexts: BTreeMap<String, Entry>,
    pub(super) launcher: LauncherSection,
}

/// A fleet; the keys are the flags' names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) registry: Option<String>,
    pub(super) pki: Option<PathBuf>,
    pub(super) etcd_cacert: Option<PathBuf>,
    pub(super) etcd_cert: Option<PathBuf>,
    pub(super) etcd_key: Option<PathBuf>,
    pub(super) etcd_user: Option<String>,
    pub(super) etcd_password_file: Option<PathBuf>,
}

/// What launchers are told, each under its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LauncherSection {
    /// `kubernetes`.
    pub(crate) kubernetes: Option<kubernetes::Config>,
    /// `command`.
    pub(crate) command: Option<command::Config>,
}

/// The file's text. Serde can't refuse unknown keys through `flatten`, so the unnamed fleet's keys
/// are spelt out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Content {
    context: Option<String>,
    contexts: BTreeMap<String, Entry>,
    launcher: LauncherSection,
    registry: Option<String>,
    pki: Option<PathBuf>,
    etcd_cacert: Option<PathBuf>,
    etcd_cert: Option<PathBuf>,
    etcd_key: Option<PathBuf>,
    etcd_user: Option<String>,
    etcd_password_file: Option<PathBuf>,
}

impl ConfigFile {
    /// The files that are there.
    pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        let mut files = Vec::new();
        for path in paths {
            match std::fs::read_to_string(path) {
                Ok(text) => files.push(Self::parse(path, &text)?),
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    let message = format!("{} can't be read", path.display());
                    return Err(Failure::usage(message).caused_by(Some(&error)));
                }
            }
        }
        Ok(files)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let content: Content = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = before.matches('\n').count() + 1;
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            Failure::usage(format!("{} line {line}: {message}", path.display()))
        })?;
        Ok(Self {
            path: path.to_owned(),
            context: content.context,
            contexts: content.contexts,
            launcher: content.launcher,
            unnamed: Entry {
                registry: content.registry,
                pki: content.pki,
                etcd_cacert: content.etcd_cacert,
                etcd_cert: content.etcd_cert,
                etcd_key: content.etcd_key,
                etcd_user: content.etcd_user,
                etcd_password_file: content.etcd_password_file,
            },
        })
    }

    /// A path as the file means it: relative to the file's own folder.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// The same for the path in a `dir:` URL.
    pub(super) fn registry_beside(&self, url: &str) -> String {
        match url.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => {
                format!("dir:{}", self.beside(Path::new(path)).display())
            }
            _ => url.to_owned(),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
