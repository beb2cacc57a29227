//! What other diffusion executors call the things of this one: one table, for errors that say what
//! a thing is called here, and for the aliases that are taken as they are.

/// A name of another executor, and what to use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The other name.
    pub name: &'static str,
    /// What kind of thing it names.
    pub what: What,
    /// What it is called here.
    pub here: &'static str,
    /// Whether the other name is taken as well.
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

/// The variable that has the names of workers elsewhere.
pub(crate) const ACTOR_NAMES: &str = "DIFFUSION_WORKER_ACTOR_NAMES";

/// All of them.
pub const TABLE: &[Known] = &[
    known(What::Backend, "external_launcher", "external", true),
    known(
        What::Backend,
        "ray_actor",
        "\"launched\" (starts replicas through executor.launcher), or \"external\" for workers that \
         run already",
        false,
    ),
    known(What::Backend, "ray", "\"launched\" or \"external\"", false),
    known(What::Backend, "uni", "\"mp\" with workers = 1", false),
    known(What::Backend, "multiprocessing", "mp", true),
    known(What::Key, "distributed_executor_backend", "executor.backend", true),
    known(What::Key, "num_gpus", "executor.gpus", true),
    known(What::Key, ACTOR_NAMES, "executor.workers", true),
    known(
        What::Method,
        "initialize",
        "load_model (a worker loads its config's models by itself)",
        false,
    ),
    known(What::Method, "execute_rpc", "the method itself: collective_rpc(METHOD, …)", false),
    known(
        What::Method,
        "execute_model",
        "generate, which Engine::step and Engine::submit call",
        false,
    ),
    known(
        What::Method,
        "add_requests",
        "generate, which Engine::step and Engine::submit call",
        false,
    ),
    known(
        What::Option,
        "unique_reply_rank",
        "rank (who runs the call) or reply_rank (whose answer is returned)",
        false,
    ),
];

const fn known(what: What, name: &'static str, here: &'static str, taken: bool) -> Known {
    Known { name, what, here, taken }
}

/// What a name is called here; none for a name that no other executor has.
#[must_use]
pub fn look_up(what: What, name: &str) -> Option<&'static Known> {
    TABLE.iter().find(|known| known.what == what && known.name == name)
}

/// The backend that a name means: itself, or the one that another name is taken for.
#[must_use]
pub fn backend(name: &str) -> &str {
    look_up(What::Backend, name).filter(|known| known.taken).map_or(name, |known| known.here)
}

/// What to say beside the error that a name is unknown; empty where there is nothing to say.
#[must_use]
pub fn hint(what: What, name: &str) -> String {
    match look_up(what, name) {
        Some(known) => format!(" ({name} is called {} here)", known.here),
        None => String::new(),
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
