//! Which fleet a command speaks to.
//!
//! Flags over environment over `./hearth.toml` over the user's `config.toml` over the system's, and
//! last the `hearth up` that runs on this host. A named context stands where it was chosen: one
//! named by flag outranks the environment.

mod file;
mod launcher;

use std::path::{Path, PathBuf};

use hearth_fabric::identity::Identity;
use hearth_fabric::registry::{self, RegistryUrl};

use crate::args::Global;
use crate::environment::Environment;
use crate::exit::{Failure, Status};
use crate::local::{self, RuntimeDir};
use file::{ConfigFile, Entry};

pub(crate) use file::LauncherSection;

/// A fleet, and how to be let in.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) registry: RegistryUrl,
    pub(crate) settings: registry::Settings,
    /// Folder of the caller's certificate.
    pub(crate) pki: PathBuf,
    /// What named the registry, for people.
    pub(crate) origin: String,
}

/// What one source says; what it leaves open, the next one may say.
#[derive(Debug, Default)]
struct Layer {
    source: Source,
    origin: String,
    registry: Option<String>,
    pki: Option<PathBuf>,
    etcd: Etcd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Source {
    /// Flags and environment: said for this call.
    #[default]
    Call,
    File,
    /// The `hearth up` of this host.
    Up,
}

#[derive(Debug, Default)]
struct Etcd {
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    user: Option<String>,
    password: Option<Password>,
}

#[derive(Debug, Clone)]
enum Password {
    File(PathBuf),
    Text(String),
}

impl Context {
    /// Weighs the sources.
    pub(crate) fn resolve(global: &Global, env: &Environment) -> Result<Self, Failure> {
        let layers = layers(global, env)?;
        if let Some(context) = merge(&layers)? {
            return Ok(context);
        }
        Err(Failure::new(
            Status::NoWorker,
            "no fleet is named and none runs on this host. Start one: hearth up; or name one: \
             --registry etcd://HOST:PORT --pki DIR, or a context in hearth.toml",
        ))
    }

    /// The fleet that a `hearth up` of this process brought up.
    pub(crate) fn local(fleet: &local::FleetRecord) -> Result<Self, Failure> {
        Ok(Self {
            registry: RegistryUrl::parse(&fleet.registry)?,
            settings: registry::Settings::default(),
            pki: fleet.pki.clone(),
            origin: "this command".to_owned(),
        })
    }

    /// The caller's certificate.
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        let identity = Identity::load(&self.pki)?;
        if identity.id.role() == hearth_protocol::role::Role::Worker {
            let pki = self.pki.display();
            return Err(Failure::new(
                Status::NotPermitted,
                format!(
                    "the certificate in {pki} is a worker's: calls take a coordinator's or an \
                     admin's. Make one: hearth pki issue --role admin NAME"
                ),
            ));
        }
        Ok(identity)
    }
}

/// Every source that says something, strongest first.
fn layers(global: &Global, env: &Environment) -> Result<Vec<Layer>, Failure> {
    let files = ConfigFile::read_all(&env.config_files)?;
    let mut layers = vec![from_flags(global)];
    layers.extend(named(&files, global.context.as_deref(), "--context")?);
    layers.push(from_environment(env));
    layers.extend(named(&files, env.context.as_deref(), "HEARTH_CONTEXT")?);
    for file in &files {
        let origin = file.path.display().to_string();
        layers.push(from_entry(origin.clone(), &file.unnamed, file));
        let chosen = file.context.as_deref();
        layers.extend(named(&files, chosen, &format!("context in {origin}"))?);
    }
    if let Some(running) = RuntimeDir::locate(global, env).running() {
        layers.push(Layer {
            source: Source::Up,
            origin: format!("hearth up, pid {}", running.pid),
            registry: Some(running.registry),
            pki: Some(running.pki),
            etcd: Etcd::default(),
        });
    }
    Ok(layers)
}

/// The context of that name, from the nearest file that has it.
fn named(files: &[ConfigFile], name: Option<&str>, by: &str) -> Result<Option<Layer>, Failure> {
    let Some(name) = name else { return Ok(None) };
    for file in files {
        if let Some(entry) = file.contexts.get(name) {
            let origin = format!("context {name} in {}", file.path.display());
            return Ok(Some(from_entry(origin, entry, file)));
        }
    }
    let known: Vec<_> = files.iter().flat_map(|file| file.contexts.keys()).cloned().collect();
    let known = match known[..] {
        [] => "no context is defined: add [contexts.NAME] to hearth.toml".to_owned(),
        _ => format!("known are {}", known.join(", ")),
    };
    Err(Failure::usage(format!("{by} {name:?} is unknown; {known}")))
}

fn from_flags(global: &Global) -> Layer {
    Layer {
        source: Source::Call,
        origin: "--registry".to_owned(),
        registry: global.registry.clone(),
        pki: global.pki.clone(),
        etcd: Etcd {
            cacert: global.etcd_cacert.clone(),
            cert: global.etcd_cert.clone(),
            key: global.etcd_key.clone(),
            user: global.etcd_user.clone(),
            password: None,
        },
    }
}

fn from_environment(env: &Environment) -> Layer {
    let file = env.etcd_password_file.clone().map(Password::File);
    let password = file.or_else(|| env.etcd_password.clone().map(Password::Text));
    Layer {
        source: Source::Call,
        origin: "HEARTH_REGISTRY".to_owned(),
        registry: env.registry.clone(),
        pki: env.pki.clone(),
        etcd: Etcd {
            cacert: env.etcd_cacert.clone(),
            cert: env.etcd_cert.clone(),
            key: env.etcd_key.clone(),
            user: env.etcd_user.clone(),
            password,
        },
    }
}

fn from_entry(origin: String, entry: &Entry, file: &ConfigFile) -> Layer {
    let path = |path: &Option<PathBuf>| path.as_deref().map(|path| file.beside(path));
    Layer {
        source: Source::File,
        origin,
        registry: entry.registry.as_deref().map(|url| file.registry_beside(url)),
        pki: path(&entry.pki),
        etcd: Etcd {
            cacert: path(&entry.etcd_cacert),
            cert: path(&entry.etcd_cert),
            key: path(&entry.etcd_key),
            user: entry.etcd_user.clone(),
            password: path(&entry.etcd_password_file).map(Password::File),
        },
    }
}

/// The strongest word on each; none where no source names a registry.
fn merge(layers: &[Layer]) -> Result<Option<Context>, Failure> {
    let Some(naming) = layers.iter().position(|layer| layer.registry.is_some()) else {
        return Ok(None);
    };
    let Layer { origin, registry, .. } = &layers[naming];
    let registry = RegistryUrl::parse(registry.as_deref().unwrap_or_default())?;
    // A throw-away authority vouches for its own fleet only.
    let vouching = |(at, layer): (usize, &Layer)| {
        layer.pki.clone().filter(|_| at == naming || layer.source != Source::Up)
    };
    let Some(pki) = layers.iter().enumerate().find_map(vouching) else {
        return Err(Failure::usage(format!(
            "no certificate is named for {registry}: give --pki DIR (or HEARTH_PKI, or pki in \
             hearth.toml); hearth pki issue --role admin NAME makes one"
        )));
    };
    // A password goes to the registry that it was written down for: a file's word on etcd counts
    // for the registry beside it, or for one that was named more weakly.
    let counted: Vec<&Etcd> = layers
        .iter()
        .enumerate()
        .filter(|(at, layer)| *at <= naming || layer.source == Source::Call)
        .map(|(_, layer)| &layer.etcd)
        .collect();
    let file =
        |pick: fn(&Etcd) -> &Option<PathBuf>| counted.iter().find_map(|etcd| pick(etcd).clone());
    let user = counted.iter().find_map(|etcd| etcd.user.clone());
    let password = counted.iter().find_map(|etcd| etcd.password.as_ref());
    let settings = registry::Settings {
        cacert: file(|etcd| &etcd.cacert),
        cert: file(|etcd| &etcd.cert),
        key: file(|etcd| &etcd.key),
        password: match (&user, password) {
            (Some(_), Some(password)) => Some(read_password(password)?),
            _ => None,
        },
        user,
        ..registry::Settings::default()
    };
    Ok(Some(Context { registry, settings, pki, origin: origin.clone() }))
}

fn read_password(password: &Password) -> Result<String, Failure> {
    let path: &Path = match password {
        Password::Text(text) => return Ok(text.clone()),
        Password::File(path) => path,
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            let message = format!("the etcd password file {} can't be read", path.display());
            Err(Failure::usage(message).caused_by(Some(&error)))
        }
    }
}

#[cfg(test)]
mod tests;
