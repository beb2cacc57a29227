//! Where the peers' packages are: beside an interpreter that has them, or in a folder of the bench.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::report::say;

/// A set of packages.
pub(super) struct Environment {
    /// Its folder below [`FOLDER`].
    name: &'static str,
    /// What an interpreter must be able to do.
    probe: &'static str,
    requirements: &'static str,
    size: &'static str,
}

/// The bench's folder for what is installed.
pub(super) const FOLDER: &str = "target/bench/peers";

/// An interpreter that may have the packages already.
const PYTHON: &str = "BENCH_PYTHON";

impl Environment {
    pub(super) const RPC: Self = Self {
        name: "rpc",
        probe: "import grpc, numpy, ray",
        requirements: "bench/peers/requirements.txt",
        size: "0.4 GB",
    };

    pub(super) const PICTURES: Self = Self {
        name: "pictures",
        probe: "import optimum.onnxruntime, diffusers, onnxruntime, torch",
        requirements: "tools/requirements.txt",
        size: "6 GB, most of it CUDA libraries that torch brings and nothing here uses",
    };

    /// An interpreter with the packages: `BENCH_PYTHON` if it has them, else the folder's own, which
    /// is made when it is not there.
    pub(super) async fn interpreter(&self) -> Result<PathBuf> {
        if let Some(given) = std::env::var_os(PYTHON).map(PathBuf::from)
            && self.is_in(&given).await
        {
            return Ok(given);
        }
        let folder = std::path::absolute(Path::new(FOLDER).join(self.name))?;
        let python = folder.join("bin/python");
        if !self.is_in(&python).await {
            self.install(&folder, &python).await?;
        }
        Ok(python)
    }

    async fn is_in(&self, python: &Path) -> bool {
        let mut command = Command::new(python);
        command.args(["-c", self.probe]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }

    async fn install(&self, folder: &Path, python: &Path) -> Result<()> {
        say(&format!(
            "installing {} from PyPI into {} ({}); an interpreter that has it can be named by {PYTHON}",
            self.requirements,
            folder.display(),
            self.size,
        ));
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(folder);
        run(create).await.context("on Debian: apt-get install python3-venv")?;
        let mut install = Command::new(python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["--requirement", self.requirements]);
        run(install).await?;
        if !self.is_in(python).await {
            bail!("{} can't {}: remove the folder and try again", python.display(), self.probe);
        }
        Ok(())
    }
}

async fn run(mut command: Command) -> Result<()> {
    let name = format!("{:?}", command.as_std());
    let status = command.status().await.with_context(|| format!("{name} can't be started"))?;
    if status.success() { Ok(()) } else { bail!("{name} ended with {status}") }
}
