//! Which source wins, and which word belongs to which registry.

use std::fs;

use tempfile::TempDir;

use super::*;

/// A machine with a `hearth.toml`, a user's `config.toml` and no `hearth up`.
struct Machine {
    dir: TempDir,
    env: Environment,
}

impl Machine {
    fn new(near: &str, far: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config_files = vec![dir.path().join("hearth.toml"), dir.path().join("config.toml")];
        for (path, text) in config_files.iter().zip([near, far]) {
            if !text.is_empty() {
                fs::write(path, text).unwrap();
            }
        }
        let runtime_dir = Some(dir.path().join("run"));
        Self { dir, env: Environment { config_files, runtime_dir, ..Environment::default() } }
    }

    fn resolve(&self, global: &Global) -> Result<Context, Failure> {
        Context::resolve(global, &self.env)
    }

    fn registry(&self, global: &Global) -> String {
        self.resolve(global).unwrap().registry.to_string()
    }
}

fn flags() -> Global {
    Global::default()
}

#[test]
fn flags_over_environment_over_near_file_over_far_file() {
    let far = "registry = \"static:far:1\"\npki = \"pki\"\n";
    let mut machine = Machine::new("", far);
    assert_eq!(machine.registry(&flags()), "static:far:1");
    fs::write(&machine.env.config_files[0], "registry = \"static:near:1\"").unwrap();
    let context = machine.resolve(&flags()).unwrap();
    assert_eq!(context.registry.to_string(), "static:near:1");
    assert_eq!(context.pki, machine.dir.path().join("pki"), "what the near file leaves open");
    machine.env.registry = Some("static:env:1".to_owned());
    assert_eq!(machine.registry(&flags()), "static:env:1");
    let global = Global { registry: Some("static:flag:1".to_owned()), ..flags() };
    assert_eq!(machine.registry(&global), "static:flag:1");
}

#[test]
fn a_context_stands_where_it_was_chosen() {
    let near = "registry = \"static:near:1\"\npki = \"p\"\n";
    let far = "context = \"lab\"\npki = \"p\"\n[contexts.lab]\nregistry = \"static:lab:1\"\n\
               [contexts.prod]\nregistry = \"static:prod:1\"\n";
    let mut machine = Machine::new("", far);
    assert_eq!(machine.registry(&flags()), "static:lab:1");
    fs::write(&machine.env.config_files[0], near).unwrap();
    assert_eq!(machine.registry(&flags()), "static:near:1");
    machine.env.context = Some("lab".to_owned());
    assert_eq!(machine.registry(&flags()), "static:lab:1");
    machine.env.registry = Some("static:env:1".to_owned());
    assert_eq!(machine.registry(&flags()), "static:env:1");
    let global = Global { context: Some("prod".to_owned()), ..flags() };
    assert_eq!(machine.registry(&global), "static:prod:1");
}

#[test]
fn an_unknown_context_names_the_known() {
    let machine = Machine::new("", "[contexts.lab]\nregistry = \"static:lab:1\"\n");
    let global = Global { context: Some("lob".to_owned()), ..flags() };
    let failure = machine.resolve(&global).unwrap_err();
    assert_eq!(failure.status, Status::Usage);
    let text = failure.to_string();
    assert!(text.contains("\"lob\"") && text.contains("known are lab"), "{text}");
}

#[test]
fn a_files_password_stays_with_its_registry() {
    let file = "registry = \"etcd://safe:2379\"\npki = \"p\"\netcd_user = \"root\"\n\
                etcd_password_file = \"secret\"\n";
    let mut machine = Machine::new(file, "");
    fs::write(machine.dir.path().join("secret"), "s3cret\n").unwrap();
    let settings = machine.resolve(&flags()).unwrap().settings;
    assert_eq!(settings.password.as_deref(), Some("s3cret"));
    let global = Global { registry: Some("etcd://elsewhere:2379".to_owned()), ..flags() };
    let settings = machine.resolve(&global).unwrap().settings;
    assert_eq!((settings.user, settings.password), (None, None));
    machine.env.etcd_password = Some("typed".to_owned());
    let global = Global { etcd_user: Some("me".to_owned()), ..global };
    let settings = machine.resolve(&global).unwrap().settings;
    assert_eq!(settings.password.as_deref(), Some("typed"));
}

#[test]
fn a_certificate_is_needed_and_asked_for() {
    let machine = Machine::new("", "");
    let global = Global { registry: Some("static:a:1".to_owned()), ..flags() };
    let failure = machine.resolve(&global).unwrap_err();
    assert_eq!(failure.status, Status::Usage);
    assert!(failure.to_string().contains("--pki"), "{failure}");
    let failure = machine.resolve(&flags()).unwrap_err();
    assert_eq!(failure.status, Status::NoWorker);
    assert!(failure.to_string().contains("hearth up"), "{failure}");
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let machine = Machine::new("pki = \"p\"\nregistri = \"x\"\n", "");
    let text = machine.resolve(&flags()).unwrap_err().to_string();
    assert!(text.contains("hearth.toml line 2") && text.contains("registri"), "{text}");
}

#[test]
fn a_relative_dir_registry_is_beside_its_file() {
    let machine = Machine::new("registry = \"dir:reg\"\npki = \"/p\"\n", "");
    let expected = format!("dir:{}", machine.dir.path().join("reg").display());
    assert_eq!(machine.registry(&flags()), expected);
}
