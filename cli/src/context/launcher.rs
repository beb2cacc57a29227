//! `[launcher]` of `hearth.toml` and `config.toml`: what launchers are told, each under its name.
//!
//! ```toml
//! [launcher.kubernetes.gpu_node_selector.A100]
//! "nvidia.com/gpu.product" = "NVIDIA-A100-SXM4-80GB"
//! ```

use std::path::Path;

use super::file::{ConfigFile, LauncherSection};
use crate::environment::Environment;
use crate::exit::Failure;

impl LauncherSection {
    /// Of each launcher what the nearest file says that names it.
    pub(crate) fn read(env: &Environment) -> Result<Self, Failure> {
        Ok(Self::weigh(&ConfigFile::read_all(&env.config_files)?))
    }

    fn weigh(files: &[ConfigFile]) -> Self {
        let named = files.iter().find_map(|file| Some((file, file.launcher.kubernetes.clone()?)));
        let kubernetes = named.map(|(file, mut kubernetes)| {
            kubernetes.kubeconfig = kubernetes.kubeconfig.map(|path| file.beside(&path));
            kubernetes
        });
        let command = files.iter().find_map(|file| {
            let config = file.launcher.command.clone()?;
            Some(config.beside(file.path.parent().unwrap_or(Path::new(""))))
        });
        Self { kubernetes, command }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_that_names_a_launcher_counts() {
        let file = |path: &str, text: &str| ConfigFile::parse(Path::new(path), text);
        let near = file("/a/hearth.toml", "registry = \"dir:x\"\n").unwrap();
        let text = "[launcher.kubernetes]\nkubeconfig = \"kube\"\nkeep = \"1h\"\n\
                    gpu_node_selector = { A100 = { product = \"a100\" } }\n";
        let files = [near, file("/b/config.toml", text).unwrap()];
        let kubernetes = LauncherSection::weigh(&files).kubernetes.unwrap();
        assert_eq!(kubernetes.kubeconfig.as_deref(), Some(Path::new("/b/kube")));
        assert_eq!(kubernetes.keep.as_secs(), 3600);
        assert_eq!(kubernetes.gpu_node_selector["A100"]["product"], "a100");
        assert_eq!(LauncherSection::weigh(&files[..1]), LauncherSection::default());
        let error =
            file("/c", "[launcher.kubernetes]\ngpu_selector = {}\n").unwrap_err().to_string();
        assert!(error.contains("gpu_selector") && error.contains("gpu_node_selector"), "{error}");
    }
}
