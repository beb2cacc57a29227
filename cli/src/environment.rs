//! The process's surroundings, read once, in `main`.

use std::ffi::OsString;
use std::path::PathBuf;

/// Environment variables and places that commands look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) registry: Option<String>,
    pub(crate) pki: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) etcd_cacert: Option<PathBuf>,
    pub(crate) etcd_cert: Option<PathBuf>,
    pub(crate) etcd_key: Option<PathBuf>,
    pub(crate) etcd_user: Option<String>,
    pub(crate) etcd_password: Option<String>,
    pub(crate) etcd_password_file: Option<PathBuf>,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) xdg_runtime_dir: Option<PathBuf>,
    /// Folder that remembers launches.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where programs keep what outlives them.
    pub(crate) state_home: Option<PathBuf>,
    /// Config files, nearest first.
    pub(crate) config_files: Vec<PathBuf>,
    /// Folders that programs are looked for in.
    pub(crate) path: Option<OsString>,
    /// This program's file.
    pub(crate) executable: Option<PathBuf>,
    pub(crate) current_dir: Option<PathBuf>,
    /// The library that daemons are told to load.
    pub(crate) runtime_library: Option<PathBuf>,
    /// Variables that would change the config of a daemon that `hearth up` starts.
    pub(crate) daemon_overrides: Vec<OsString>,
    pub(crate) no_color: bool,
    /// The terminal can't move its cursor back.
    pub(crate) dumb_terminal: bool,
    /// The terminal shows more than ASCII.
    pub(crate) utf8: bool,
    pub(crate) cores: usize,
}

impl Environment {
    /// As it is now. An empty variable counts as unset.
    pub(crate) fn read() -> Self {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let path = |name: &str| var(name).map(PathBuf::from);
        let config_home =
            path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let mut config_files = vec![PathBuf::from("hearth.toml")];
        config_files.extend(config_home.map(|home| home.join("hearth/config.toml")));
        config_files.push(PathBuf::from("/etc/hearth/config.toml"));
        Self {
            registry: text("HEARTH_REGISTRY"),
            pki: path("HEARTH_PKI"),
            context: text("HEARTH_CONTEXT"),
            etcd_cacert: path("HEARTH_ETCD_CACERT"),
            etcd_cert: path("HEARTH_ETCD_CERT"),
            etcd_key: path("HEARTH_ETCD_KEY"),
            etcd_user: text("HEARTH_ETCD_USER"),
            etcd_password: text("HEARTH_ETCD_PASSWORD"),
            etcd_password_file: path("HEARTH_ETCD_PASSWORD_FILE"),
            runtime_dir: path("HEARTH_RUNTIME_DIR"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            state_dir: path("HEARTH_STATE_DIR"),
            state_home: path("XDG_STATE_HOME")
                .or_else(|| path("HOME").map(|home| home.join(".local/state"))),
            config_files,
            path: var("PATH"),
            executable: std::env::current_exe().ok(),
            current_dir: std::env::current_dir().ok(),
            runtime_library: path("HEARTH_RUNTIME__LIBRARY"),
            daemon_overrides: daemon_overrides(std::env::vars_os().map(|(name, _)| name)),
            no_color: var("NO_COLOR").is_some(),
            dumb_terminal: var("TERM").is_some_and(|term| term == "dumb"),
            utf8: is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(text)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Whether the locale, as in `de_DE.UTF-8`, writes in UTF-8. Without one that is not known, and a
/// terminal of today does.
fn is_utf8(locale: Option<String>) -> bool {
    let Some(locale) = locale.map(|locale| locale.to_ascii_lowercase()) else { return true };
    ["utf-8", "utf8"].iter().any(|charset| locale.contains(charset))
}

/// `hearth up` decides who its daemons are and where they register: a variable meant for another
/// worker of this host must not move them into its fleet. Library and log stay the caller's.
fn daemon_overrides(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const CALLERS: [&str; 2] = ["HEARTH_RUNTIME__", "HEARTH_LOG__"];
    let decided = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("HEARTH_")
            && name.contains("__")
            && !CALLERS.iter().any(|prefix| name.starts_with(prefix))
    };
    names.filter(decided).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_how_a_terminal_writes() {
        let is = |locale: &str| is_utf8(Some(locale.to_owned()));
        assert!(is_utf8(None) && is("C.UTF-8") && is("de_DE.utf8"));
        assert!(!is("C") && !is("POSIX") && !is("de_DE.ISO-8859-1"));
    }

    #[test]
    fn other_workers_variables_are_kept_from_a_local_fleet() {
        let names = ["HEARTH_REGISTRY__URL", "HEARTH_RUNTIME__LIBRARY", "HEARTH_REGISTRY", "HOME"];
        let found = daemon_overrides(names.into_iter().map(OsString::from));
        assert_eq!(found, ["HEARTH_REGISTRY__URL"]);
    }
}
