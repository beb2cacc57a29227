//! Finding and loading the ONNX Runtime library.
//!
//! A process has one ONNX Runtime: [`Runtime`] is a handle to it. Where to look comes in as
//! arguments; no environment variable is read here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::threads::Threads;
use super::{Error, elf};
use crate::progress::Progress;

/// The config value that asks for the search.
const AUTO: &str = "auto";
const FILE_NAME: &str = "libonnxruntime.so";
const SYSTEM: [&str; 6] = [
    "/usr/local/lib",
    "/opt/onnxruntime/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// Where to look for the library.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The config's value: a file, or `auto`.
    pub configured: &'a str,
    /// The running program's own file.
    pub executable: Option<&'a Path>,
    /// The current directory.
    pub directory: Option<&'a Path>,
}

/// Finds the library: the configured file, else the first of: beside the executable, `lib/hearth`
/// beside it, `.deps/onnxruntime` in the current directory or above the executable, the system's
/// library directories. Of several versions in one directory the newest is taken.
///
/// # Errors
/// [`Error::LibraryNotFound`] names the places searched; [`Error::Io`] a configured file that
/// isn't there.
pub fn find(search: &Search<'_>) -> Result<PathBuf, Error> {
    if search.configured != AUTO && !search.configured.is_empty() {
        let path = PathBuf::from(search.configured);
        return match std::fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(source) => Err(Error::Io { path, source }),
        };
    }
    let places = places(search);
    places.iter().find_map(|place| newest_in(place)).ok_or_else(|| Error::LibraryNotFound {
        searched: places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
        minimum: ort::MINOR_VERSION,
    })
}

fn places(search: &Search<'_>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let beside = search.executable.and_then(Path::parent);
    if let Some(beside) = beside {
        places.push(beside.to_owned());
        places.push(beside.join("lib/hearth"));
        places.extend(beside.parent().map(|prefix| prefix.join("lib/hearth")));
    }
    let roots = search.directory.into_iter().chain(beside.into_iter().flat_map(Path::ancestors));
    for root in roots {
        let place = root.join(".deps/onnxruntime");
        // Ancestors are many; those without the folder aren't worth naming in an error.
        if place.is_dir() && !places.contains(&place) {
            places.push(place);
        }
    }
    places.extend(SYSTEM.map(PathBuf::from));
    places
}

fn newest_in(place: &Path) -> Option<PathBuf> {
    let version_of = |path: &Path| -> Option<Vec<u32>> {
        let rest = path.file_name().and_then(OsStr::to_str)?.strip_prefix(FILE_NAME)?;
        let digits = rest.strip_prefix('.').unwrap_or(rest);
        match digits {
            "" => Some(vec![u32::MAX]),
            _ => digits.split('.').map(|number| number.parse().ok()).collect(),
        }
    };
    let entries = std::fs::read_dir(place).ok()?;
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.exists())
        .filter_map(|path| version_of(&path).map(|version| (version, path)))
        .max()
        .map(|(_, path)| path)
}

/// The process's ONNX Runtime: library and environment, and how sessions compute.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(super) environment: Environment,
    library: PathBuf,
    build: &'static str,
    pub(super) threads: Threads,
    pub(super) progress: Progress,
    /// Where sessions write their profiles.
    pub(super) profiles: Option<PathBuf>,
}

/// ONNX Runtime itself is global to the process, so the record of it is too.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library at `library`; each session computes with `threads` threads (0: one per
    /// physical core, and no more than this process may use). Loading the same file again gives the
    /// same runtime, and leaves its thread count as it is.
    ///
    /// Usage data is switched off through ONNX Runtime's API. Linux builds from 1.29 on want
    /// `ORT_DISABLE_TELEMETRY=1` in the environment of the process as well; setting it here would
    /// be unsound once threads run.
    ///
    /// # Errors
    /// [`Error::LibraryDamaged`] for a truncated file, [`Error::LibraryRefused`] for a foreign or
    /// too old one, [`Error::AlreadyLoaded`] if this process has loaded another file.
    pub fn load(library: &Path, threads: usize) -> Result<Self, Error> {
        let library = library
            .canonicalize()
            .map_err(|source| Error::Io { path: library.to_owned(), source })?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(runtime) if runtime.library == library => return Ok(runtime.clone()),
            Some(runtime) => {
                let loaded = runtime.library.clone();
                return Err(Error::AlreadyLoaded { loaded, asked: library });
            }
            None => {}
        }
        elf::check(&library)?;
        let runtime = Self::start(library, threads)?;
        tracing::info!(library = %runtime.library.display(), "ONNX Runtime is loaded");
        Ok(loaded.insert(runtime).clone())
    }

    fn start(library: PathBuf, threads: usize) -> Result<Self, Error> {
        let refused = |reason: String| Error::LibraryRefused { path: library.clone(), reason };
        let builder = ort::init_from(&library).map_err(|error| refused(error.to_string()))?;
        let environment = builder
            .with_name("hearth")
            .with_telemetry(false)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        // The binding asks for verbose logs and drops them; formatting them costs time each run.
        environment.set_log_level(LogLevel::Warning);
        let progress = Progress::default();
        Ok(Self {
            environment,
            library,
            build: ort::info(),
            threads: Threads::new(threads),
            progress,
            profiles: None,
        })
    }

    /// The same runtime; what is loaded with this handle is counted in `progress`.
    #[must_use]
    pub fn watched(&self, progress: Progress) -> Self {
        Self { progress, ..self.clone() }
    }

    /// The same runtime; each session that is loaded with this handle writes ONNX Runtime's profile of
    /// its life into `folder` when it is dropped, as `<graph>_<time>.json`.
    #[must_use]
    pub fn profiling(&self, folder: &Path) -> Self {
        Self { profiles: Some(folder.to_owned()), ..self.clone() }
    }

    /// How much of what this handle loads is there.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The library's file.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What the library says about its build: branch (which names the version), commit, type.
    #[must_use]
    pub fn build(&self) -> &'static str {
        self.build
    }
}
