//! Where this installation keeps its programs, its models and its library.

use std::path::{Path, PathBuf};

use crate::args::ModelSource;
use crate::environment::Environment;
use crate::exit::Failure;

/// The model that comes along.
const BUNDLED: &str = "emoji";
/// What a model's folder has.
const INDEX: &str = "model_index.json";
/// Where the system keeps libraries.
const SYSTEM_LIBRARIES: [&str; 6] = [
    "/usr/local/lib",
    "/opt/onnxruntime/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// A model to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

/// A program of this installation: beside this one, else on PATH.
pub(crate) fn program(name: &str, env: &Environment) -> Result<PathBuf, Failure> {
    let beside = env.executable.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = env.path.iter().flat_map(std::env::split_paths);
    let found = beside.into_iter().chain(path).map(|dir| dir.join(name)).find(|p| p.is_file());
    found.ok_or_else(|| {
        Failure::usage(format!(
            "{name} is neither beside the hearth program nor on PATH: install it, or build it \
             with cargo build -p {name}"
        ))
    })
}

/// The folder of a model as it was given.
pub(crate) fn resolve_model(source: &ModelSource, env: &Environment) -> Result<Model, Failure> {
    let shown = source.dir.display();
    let Ok(dir) = source.dir.canonicalize() else {
        if source.name.is_none() && source.dir == Path::new(BUNDLED) {
            return bundled_model(env);
        }
        return Err(Failure::usage(format!(
            "--model {shown}: there is no such folder. Give a diffusers/optimum ONNX folder, the \
             one with {INDEX}"
        )));
    };
    if !dir.is_dir() {
        return Err(Failure::usage(format!(
            "--model {shown} is no folder. Give the one with {INDEX}"
        )));
    }
    let own = || dir.file_name().and_then(|name| name.to_str()).map(tidy);
    let name = source.name.clone().or_else(own).unwrap_or_else(|| "model".to_owned());
    Ok(Model { name, dir })
}

/// The model of that name; of this installation's own there is one.
pub(crate) fn named_model(name: &str, env: &Environment) -> Result<Model, Failure> {
    match name {
        BUNDLED => bundled_model(env),
        _ => Err(Failure::usage(format!(
            "model {name:?}: the request names it, and --local needs its folder. Give --model DIR"
        ))),
    }
}

/// A folder's name as a model's.
fn tidy(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect()
}

/// The model that comes along.
pub(crate) fn bundled_model(env: &Environment) -> Result<Model, Failure> {
    let beside = env.executable.as_deref().and_then(Path::parent);
    let installed = beside.and_then(Path::parent).map(|p| p.join("share/hearth/models"));
    let above = beside.into_iter().flat_map(Path::ancestors).map(|dir| dir.join("models"));
    let mut places = installed.into_iter().chain(above).map(|dir| dir.join(BUNDLED));
    match places.find(|dir| dir.join(INDEX).is_file()) {
        Some(dir) => Ok(Model { name: BUNDLED.to_owned(), dir }),
        None => Err(Failure::usage(
            "the bundled emoji model is not with this installation (share/hearth/models): name \
             one with --model DIR",
        )),
    }
}

/// The ONNX Runtime libraries that a worker beside this program would find, the one that it takes
/// first.
pub(crate) fn libraries(env: &Environment) -> Vec<PathBuf> {
    let beside = env.executable.as_deref().and_then(Path::parent);
    let mut places: Vec<PathBuf> = Vec::new();
    if let Some(beside) = beside {
        places.extend([beside.to_owned(), beside.join("lib/hearth")]);
        places.extend(beside.parent().map(|prefix| prefix.join("lib/hearth")));
    }
    let roots = env.current_dir.as_deref().into_iter();
    let roots = roots.chain(beside.into_iter().flat_map(Path::ancestors));
    places.extend(roots.map(|root| root.join(".deps/onnxruntime")));
    places.extend(SYSTEM_LIBRARIES.map(PathBuf::from));
    places.iter().flat_map(|place| libraries_in(place)).collect()
}

fn libraries_in(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libonnxruntime.so") && path.is_file()
    };
    let mut found: Vec<_> = entries.flatten().map(|e| e.path()).filter(is_library).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_model_takes_its_folders_name_or_the_given_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("my model");
        fs::create_dir(&dir).unwrap();
        let env = Environment::default();
        let model = |name: Option<&str>| {
            let source = ModelSource { name: name.map(str::to_owned), dir: dir.clone() };
            resolve_model(&source, &env).unwrap().name
        };
        assert_eq!(model(None), "my-model");
        assert_eq!(model(Some("small")), "small");
        let absent = ModelSource { name: None, dir: folder.path().join("x") };
        assert!(resolve_model(&absent, &env).unwrap_err().to_string().contains("no such folder"));
    }

    #[test]
    fn programs_and_models_are_found_around_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("target/debug");
        let model = folder.path().join("models/emoji");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&model).unwrap();
        let env = Environment { executable: Some(bin.join("hearth")), ..Environment::default() };
        assert!(bundled_model(&env).is_err());
        fs::write(model.join(INDEX), "{}").unwrap();
        assert_eq!(bundled_model(&env).unwrap().dir, model);
        assert_eq!(named_model("emoji", &env).unwrap().dir, model);
        let error = named_model("sd15", &env).unwrap_err().to_string();
        assert!(error.contains("\"sd15\"") && error.ends_with("Give --model DIR"), "{error}");
        assert!(program("hearth-worker", &env).is_err());
        fs::write(bin.join("hearth-worker"), "").unwrap();
        assert_eq!(program("hearth-worker", &env).unwrap(), bin.join("hearth-worker"));
    }
}
