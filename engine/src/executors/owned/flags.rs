//! What a worker that is started for somebody is told: its flags and variables, put together here
//! alone. In a launch, where one text serves all replicas, a value may name `{rank}`, `{files}` and
//! `{folder}`.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth_fabric::registry::RegistryUrl;

/// The flags of a worker.
#[derive(Debug)]
pub(in crate::executors) struct WorkerFlags<'a> {
    pub(in crate::executors) id: String,
    /// A number, or `auto` for the lowest that is free.
    pub(in crate::executors) rank: String,
    pub(in crate::executors) listen: &'a str,
    pub(in crate::executors) registry: String,
    /// The folder of its certificate.
    pub(in crate::executors) pki: String,
    pub(in crate::executors) state_dir: String,
    /// Further flags. One that is said here too takes the place of this one.
    pub(in crate::executors) further: &'a [String],
}

impl WorkerFlags<'_> {
    /// As arguments of the program.
    pub(in crate::executors) fn args(&self) -> Vec<String> {
        let own = [
            ("--id", self.id.as_str()),
            ("--rank", &self.rank),
            ("--listen", self.listen),
            ("--registry", &self.registry),
            ("--pki", &self.pki),
            ("--state-dir", &self.state_dir),
            ("--http", "off"),
        ];
        let own = own.into_iter().filter(|(flag, _)| !self.is_given(flag));
        let own = own.flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
        own.chain(self.further.iter().cloned()).collect()
    }

    fn is_given(&self, flag: &str) -> bool {
        let long = format!("{flag}=");
        self.further.iter().any(|arg| arg == flag || arg.starts_with(&long))
    }
}

/// The flags of a worker whose standard input is its owner's: it ends at once with it.
pub(in crate::executors) fn lifeline() -> [String; 1] {
    ["--lifeline=now".to_owned()]
}

/// The flags of a worker whose owner is known by a name in the registry.
#[cfg(feature = "launchers")]
pub(in crate::executors) fn owner(owner: &hearth_api::OwnerId, grace: Duration) -> [String; 4] {
    let grace = humantime::format_duration(grace).to_string();
    ["--owner".to_owned(), owner.to_string(), "--owner-grace".to_owned(), grace]
}

/// The flags of a worker on a device.
pub(in crate::executors) fn device(device: &str) -> [String; 2] {
    ["--device".to_owned(), device.to_owned()]
}

/// The variables of a worker: what no flag says. `threads` is 0 for the worker's own choice;
/// `registry` has further keys of `[registry]`, in capitals, with their values.
pub(in crate::executors) fn variables(
    threads: usize,
    url: &RegistryUrl,
    ttl: Duration,
    registry: impl IntoIterator<Item = (&'static str, String)>,
) -> BTreeMap<String, String> {
    let registry = registry.into_iter().chain([("TTL", format!("{}s", ttl.as_secs()))]);
    let mut variables: BTreeMap<_, _> =
        registry.map(|(key, value)| (format!("HEARTH_REGISTRY__{key}"), value)).collect();
    if threads > 0 {
        variables.insert("HEARTH_RUNTIME__THREADS".to_owned(), threads.to_string());
    }
    if let RegistryUrl::Etcd { .. } = url {
        variables.insert("HEARTH_WORKER__GROUP".to_owned(), url.group().to_string());
    }
    variables
}
