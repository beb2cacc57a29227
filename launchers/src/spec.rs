//! What to launch: the program, how often, with what, for how long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, GpuType, LaunchId};

/// The variable that tells a replica its rank, unless the spec names another.
pub const RANK_VARIABLE: &str = "REPLICA_RANK";

/// The variable that names the file where a replica leaves its result (JSON).
pub const RESULT_VARIABLE: &str = "REPLICA_RESULT";

/// Most replicas of one launch.
const MAX_REPLICAS: u32 = 4096;

/// A program to run some times over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The launch's id, where it has to be known before the launch; else one is drawn.
    #[serde(skip)]
    pub id: Option<LaunchId>,
    /// What it is called in lists, job names and unit names: letters, digits and `-`.
    pub name: String,
    /// How many replicas. They are counted from 0 in handles, and in what is dealt out by rank.
    pub replicas: u32,
    /// The rank that the first is told, the others those after it: 0, unless it takes the place of
    /// a replica of another launch ([`LaunchSpec::alone`]).
    #[serde(default)]
    pub first_rank: u32,
    /// The program; a name without `/` is looked up on PATH.
    pub program: PathBuf,
    /// Its arguments. `{rank}`, `{files}` and `{folder}` are replaced: the replica's rank, the
    /// folder that has its [`Files`], and the folder of its own that it may write to.
    pub args: Vec<String>,
    /// Variables beside those that the launcher's engine gives; their values have the same
    /// replaced.
    pub env: BTreeMap<String, String>,
    /// Where it runs; the replica's own folder when none.
    pub working_dir: Option<PathBuf>,
    /// The variable that tells it its rank.
    pub rank_variable: String,
    /// What each replica may use.
    pub resources: Resources,
    /// Where replicas may run.
    pub placement: Placement,
    /// Time that each replica may run; none for no limit.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// Time between being asked to end and being killed.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Whose life the replicas are bound to.
    pub owner: Owner,
    /// Files that each replica finds in its own folder, by rank: none, or as many as replicas.
    /// They reach it readable by its user alone, and are never part of a saved record.
    #[serde(skip)]
    pub files: Vec<Files>,
}

/// Small files by name, such as a certificate and its key.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What a replica may use; none is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Cores; 0.5 is half of one.
    pub cpus: Option<f64>,
    /// These cores of the host by number, dealt out by rank: `[0, 1, 2, 3]` over two replicas is two
    /// each. Which ones is the launcher's choice when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<usize>,
    /// Graphics cards.
    pub gpus: Option<Gpus>,
    /// Memory in bytes.
    pub memory: Option<u64>,
}

/// Graphics cards for each replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gpus {
    /// So many each, which ones is the launcher's choice: with `process`, rank r has those from
    /// r × n on.
    Count(u32),
    /// These of the host, dealt out by rank: `["0", "1"]` over two replicas is one each.
    Devices(Vec<String>),
    /// So many each of one type, where the engine below can choose: `"A100"`, `"H100:2"`.
    Typed(GpuType),
}

/// Where replicas may run; each launcher names those of these that it can't keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// Slurm's partition, Kubernetes' namespace, systemd's manager (`user`, `system`).
    pub pool: Option<String>,
    /// Hosts by name.
    pub hosts: Vec<String>,
    /// Labels that a host must have (Kubernetes' node selector; Slurm's features, whose values are
    /// empty).
    pub labels: BTreeMap<String, String>,
    /// The container image (Kubernetes).
    pub image: Option<String>,
}

/// Whose life replicas are bound to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Nobody's: they outlive the program that launches them.
    #[default]
    Nobody,
    /// The launching process': they end at most 2 s after it, however it ends.
    Caller,
}

impl LaunchSpec {
    /// A program to run `replicas` times, with no limit, owned by nobody.
    #[must_use]
    pub fn new(name: &str, replicas: u32, program: impl Into<PathBuf>) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            replicas,
            first_rank: 0,
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            rank_variable: RANK_VARIABLE.to_owned(),
            resources: Resources::default(),
            placement: Placement::default(),
            timeout: None,
            grace: Duration::from_secs(10),
            owner: Owner::default(),
            files: Vec::new(),
        }
    }

    /// The launch's id: the one that was given, or a fresh one.
    #[must_use]
    pub fn launch_id(&self) -> LaunchId {
        self.id.clone().unwrap_or_else(|| LaunchId::draw(&self.name))
    }

    /// One of its replicas in a launch of its own: told the same rank, with its files and its part
    /// of the cards and cores that are named.
    #[must_use]
    pub fn alone(&self, rank: u32) -> Self {
        let (place, count) = (rank as usize, self.replicas.max(1) as usize);
        let Resources { cpus, cores, gpus, memory } = &self.resources;
        let gpus = gpus.as_ref().map(|gpus| match gpus {
            Gpus::Count(each) => Gpus::Count(*each),
            Gpus::Devices(devices) => Gpus::Devices(part(devices, place, count)),
            Gpus::Typed(cards) => Gpus::Typed(cards.clone()),
        });
        let cores = part(cores, place, count);
        Self {
            id: None,
            replicas: 1,
            first_rank: self.first_rank.saturating_add(rank),
            resources: Resources { cpus: *cpus, cores, gpus, memory: *memory },
            files: self.files.get(place).cloned().into_iter().collect(),
            ..self.clone()
        }
    }

    /// A replica's arguments, where its files and its own folder are these.
    #[must_use]
    pub fn args_of(&self, rank: u32, files: &Path, folder: &Path) -> Vec<String> {
        let rank = self.first_rank.saturating_add(rank);
        self.args.iter().map(|text| fill(text, rank, files, folder)).collect()
    }

    /// A replica's variables, with that of its rank, where its files and its own folder are these.
    #[must_use]
    pub fn env_of(&self, rank: u32, files: &Path, folder: &Path) -> BTreeMap<String, String> {
        let rank = self.first_rank.saturating_add(rank);
        let fill = |text: &String| fill(text, rank, files, folder);
        let own = self.env.iter().map(|(name, value)| (name.clone(), fill(value)));
        own.chain([(self.rank_variable.clone(), rank.to_string())]).collect()
    }

    /// Checks what is the same for every launcher.
    ///
    /// # Errors
    /// [`Error::Spec`] names the field, its value and what would be right.
    pub fn check(&self) -> Result<(), Error> {
        let named = |text: &str| {
            let clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=40).contains(&text.len()) && text.bytes().all(clean) && !text.starts_with('-')
        };
        let variable = |text: &str| {
            let clean = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            !text.is_empty() && text.bytes().all(clean) && !text.as_bytes()[0].is_ascii_digit()
        };
        let wrong = |field, value: String, remedy: &str| {
            Err(Error::Spec { field, value, remedy: remedy.to_owned() })
        };
        if !named(&self.name) {
            let remedy = "give 1 to 40 lower-case letters, digits and hyphens";
            return wrong("name", format!("{:?}", self.name), remedy);
        }
        if !(1..=MAX_REPLICAS).contains(&self.replicas) {
            return wrong("replicas", self.replicas.to_string(), "give 1 to 4096");
        }
        if self.first_rank.checked_add(self.replicas).is_none() {
            return wrong("first_rank", self.first_rank.to_string(), "give a smaller number");
        }
        if self.program.as_os_str().is_empty() {
            return wrong("program", "\"\"".to_owned(), "give a program's name or path");
        }
        let mut variables = self.env.keys().chain([&self.rank_variable]);
        if let Some(name) = variables.find(|name| !variable(name)) {
            let remedy = "a variable's name has letters, digits and underscores";
            return wrong("env", format!("{name:?}"), remedy);
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return wrong("timeout", "0s".to_owned(), "give a time above 0, or none for no limit");
        }
        if let Some(cpus) = self.resources.cpus
            && !(cpus.is_finite() && cpus > 0.0)
        {
            return wrong("cpus", cpus.to_string(), "give a number above 0");
        }
        if self.resources.memory == Some(0) {
            return wrong("memory", "0".to_owned(), "give a size above 0, as in 8GiB");
        }
        if let Some(Gpus::Devices(devices)) = &self.resources.gpus {
            let ranks = self.replicas as usize;
            if devices.is_empty() || devices.len() % ranks != 0 {
                let remedy = format!("name as many for each of the {ranks} replicas");
                return wrong("gpus", devices.join(","), &remedy);
            }
        }
        let (cores, ranks) = (self.resources.cores.len(), self.replicas as usize);
        let each = (cores / ranks) as f64;
        if cores % ranks != 0 || cores > 0 && self.resources.cpus.is_some_and(|cpus| cpus != each) {
            let remedy = format!("name as many for each of the {ranks} replicas, which is cpus");
            return wrong("cores", format!("{:?}", self.resources.cores), &remedy);
        }
        let (files, replicas) = (self.files.len(), self.replicas as usize);
        if files != 0 && files != replicas {
            return wrong("files", files.to_string(), "give one set per replica, or none");
        }
        let nested = |name: &String| name.is_empty() || name.starts_with('.') || name.contains('/');
        if let Some(name) = self.files.iter().flat_map(Files::keys).find(|name| nested(name)) {
            return wrong("files", format!("{name:?}"), "give a plain file name");
        }
        Ok(())
    }
}

/// What the one in this place of `count` has of them.
fn part<T: Clone>(all: &[T], place: usize, count: usize) -> Vec<T> {
    let each = all.len() / count;
    all.iter().skip(place * each).take(each).cloned().collect()
}

fn fill(text: &str, rank: u32, files: &Path, folder: &Path) -> String {
    text.replace("{rank}", &rank.to_string())
        .replace("{files}", &files.to_string_lossy())
        .replace("{folder}", &folder.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_alone_is_told_what_it_was_told_among_all() {
        let mut all = LaunchSpec::new("job", 4, "true");
        all.args = vec!["--rank={rank}".to_owned()];
        all.env.insert("ID".to_owned(), "w-{rank}".to_owned());
        all.resources.gpus = Some(Gpus::Devices(["3", "1", "0", "2"].map(str::to_owned).into()));
        all.resources.cpus = Some(2.0);
        all.resources.cores = (10..18).collect();
        all.files = (0..4).map(|n| Files::from([("key".to_owned(), vec![n])])).collect();
        let one = all.alone(3);
        assert_eq!((one.replicas, one.first_rank), (1, 3));
        assert_eq!(one.resources.gpus, Some(Gpus::Devices(vec!["2".to_owned()])));
        assert_eq!(one.resources.cores, [16, 17]);
        assert_eq!(one.files, [Files::from([("key".to_owned(), vec![3])])]);
        one.check().unwrap();
        let (files, folder) = (Path::new("/f"), Path::new("/o"));
        assert_eq!(one.args_of(0, files, folder), all.args_of(3, files, folder));
        assert_eq!(one.env_of(0, files, folder), all.env_of(3, files, folder));
        assert_eq!(one.env_of(0, files, folder)[RANK_VARIABLE], "3");
        assert_eq!(one.alone(0), one);
    }

    #[test]
    fn cores_are_named_for_all_or_for_none() {
        let refused = |cores: &[usize], cpus| {
            let mut spec = LaunchSpec::new("job", 2, "true");
            spec.resources = Resources { cores: cores.to_vec(), cpus, ..Resources::default() };
            spec.check().is_err()
        };
        assert!(!refused(&[0, 1], Some(1.0)) && !refused(&[0, 1], None) && !refused(&[], None));
        assert!(refused(&[0], None) && refused(&[0, 1], Some(2.0)) && refused(&[0, 1], Some(0.5)));
    }
}
