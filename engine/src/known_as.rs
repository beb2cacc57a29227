//! Names that other diffusion executors use: one table, for errors that say what a thing is called
//! here, and for the aliases that are accepted.

use hearth_base::config::Error as ConfigError;

/// A name that another executor uses, and what to use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The other name.
    pub name: &'static str,
    /// What kind of thing it names.
    pub what: What,
    /// What it is called here.
    pub here: &'static str,
    /// Whether the other name is accepted as well.
    pub taken: bool,
}

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A value of `executor.backend`.
    Backend,
    /// A key of the config, or a variable.
    Key,
    /// A method of workers.
    Method,
    /// An option of a collective call.
    Option,
}

/// The variable that names the workers in another executor.
pub(crate) const ACTOR_NAMES: &str = "DIFFUSION_WORKER_ACTOR_NAMES";

/// All aliases.
pub const TABLE: &[Alias] = &[
    alias(What::Backend, "external_launcher", "external", true),
    alias(
        What::Backend,
        "ray_actor",
        "\"launched\" (starts replicas through executor.launcher), or \"external\" for workers that \
         run already",
        false,
    ),
    alias(What::Backend, "ray", "\"launched\" or \"external\"", false),
    alias(What::Backend, "uni", "\"mp\" with workers = 1", false),
    alias(What::Backend, "multiprocessing", "mp", true),
    alias(What::Key, "distributed_executor_backend", "executor.backend", true),
    alias(What::Key, "num_gpus", "executor.gpus", true),
    alias(What::Key, "gpu", "executor.gpus", true),
    alias(What::Key, "ray_actor_cpus", "executor.cpus", false),
    alias(What::Key, "ray_actor_gpus", "executor.gpus", false),
    alias(What::Key, "ray_actor_memory", "executor.memory", false),
    alias(
        What::Key,
        "ray_init_kwargs",
        "[registry] (where the workers are found: no Ray is started)",
        false,
    ),
    alias(What::Key, ACTOR_NAMES, "executor.workers", true),
    alias(
        What::Method,
        "initialize",
        "load_model (a worker loads its config's models by itself)",
        false,
    ),
    alias(What::Method, "execute_rpc", "the method itself: collective_rpc(METHOD, …)", false),
    alias(
        What::Method,
        "execute_model",
        "generate, which Engine::step and Engine::submit call",
        false,
    ),
    alias(
        What::Method,
        "add_requests",
        "generate, which Engine::step and Engine::submit call",
        false,
    ),
    alias(
        What::Option,
        "unique_reply_rank",
        "rank (who runs the call) or reply_rank (whose answer is returned)",
        false,
    ),
];

const fn alias(what: What, name: &'static str, here: &'static str, taken: bool) -> Alias {
    Alias { name, what, here, taken }
}

/// What a name is called here; `None` for a name that no other executor uses.
#[must_use]
pub fn look_up(what: What, name: &str) -> Option<&'static Alias> {
    TABLE.iter().find(|alias| alias.what == what && alias.name == name)
}

/// The backend of this name or alias.
#[must_use]
pub fn backend(name: &str) -> &str {
    look_up(What::Backend, name).filter(|alias| alias.taken).map_or(name, |alias| alias.here)
}

/// What to add to the error that a name is unknown; may be empty.
#[must_use]
pub fn hint(what: What, name: &str) -> String {
    match look_up(what, name) {
        Some(alias) => format!(" ({name} is called {} here)", alias.here),
        None => String::new(),
    }
}

/// The error of a config, with what its unknown key is called here.
#[must_use]
pub fn explain(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::UnknownKey { name, message } => {
            let message = message + &hint(What::Key, &name);
            ConfigError::UnknownKey { name, message }
        }
        ConfigError::File { .. } | ConfigError::Key(_) | ConfigError::Value { .. } => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_names_are_taken_and_others_are_explained() {
        assert_eq!(backend("external_launcher"), "external");
        assert_eq!(backend("ray_actor"), "ray_actor");
        assert!(hint(What::Backend, "ray_actor").contains("launched"));
        assert!(hint(What::Method, "execute_model").contains("generate"));
        assert_eq!(hint(What::Method, "get_rank"), "");
    }
}
