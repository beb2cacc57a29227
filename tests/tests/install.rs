//! What `make install` lays out: programs that run from there, with their library and model, and
//! units that name them.

use std::path::Path;
use std::process::Command;

use hearth_tests::{Run, program, source};

#[test]
fn an_installed_tree_runs_by_itself() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let mut install = Command::new(source().join("scripts/install.sh"));
    install.env("DESTDIR", &root).env("PREFIX", "/opt/hearth");
    install.env("PROGRAMS", program("hearth").parent().unwrap());
    let _ = Run::from(install.output().unwrap()).ok();

    let prefix = root.join("opt/hearth");
    let in_tree = |name: &str, args: &[&str]| {
        let mut command = Command::new(prefix.join("bin").join(name));
        command.args(args).current_dir(dir.path());
        command.env("HEARTH_RUNTIME_DIR", dir.path().join("runtime"));
        Run::from(command.output().unwrap())
    };
    for name in ["hearth", "hearth-worker", "hearth-coordinator"] {
        assert!(in_tree(name, &["--version"]).ok().stdout.starts_with(name));
        assert!(prefix.join(format!("bin/.debug/{name}.debug")).is_file(), "{name}");
    }
    let example = prefix.join("share/doc/hearth/examples/worker.toml");
    let _ =
        in_tree("hearth-worker", &["--check-config", "--config", example.to_str().unwrap()]).ok();
    // With the library and the model that are beside it.
    let picture = ["generate", "--local", "red heart", "--steps", "2", "-o", "heart.png"];
    let _ = in_tree("hearth", &picture).ok();
    assert!(dir.path().join("heart.png").is_file());

    let unit = |name: &str| read(&prefix.join("lib/systemd/system").join(name));
    assert!(unit("hearth-worker@.service").contains("ExecStart=/opt/hearth/bin/hearth-worker "));
    assert!(unit("hearth-coordinator.service").contains("=/opt/hearth/bin/hearth-coordinator "));
    for file in ["lib/sysusers.d/hearth.conf", "lib/tmpfiles.d/hearth.conf"] {
        assert!(read(&prefix.join(file)).contains("hearth"), "{file}");
    }
    assert!(read(&prefix.join("share/man/man1/hearth.1")).contains("generate"));
    assert!(read(&prefix.join("share/bash-completion/completions/hearth")).contains("generate"));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
