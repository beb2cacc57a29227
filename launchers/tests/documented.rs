//! `docs/launchers.md` says of each launcher what the launcher says of itself.

use std::path::Path;

use hearth_launchers::{Capabilities, Launchers, Options, StateDir};

#[test]
fn the_table_of_capabilities_is_true() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/launchers.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, table) = document.split_once("<!-- capabilities").unwrap();
    let (table, _) = table.split_once("<!-- end of capabilities").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { shim: Some("/bin/true".into()), ..Options::default() };
    let launchers = Launchers::new(StateDir::new(folder.path()), options);
    assert_eq!(rows[0][1..], *Launchers::NAMES);
    for (column, name) in Launchers::NAMES.iter().enumerate() {
        let Capabilities {
            supports_inter_replica_network,
            supports_many_hosts,
            limits_cpus,
            limits_memory,
            supports_gpus,
            supports_owner,
            shares_files,
        } = launchers.by_name(name).unwrap().capabilities();
        let all = [
            supports_inter_replica_network,
            supports_many_hosts,
            limits_cpus,
            limits_memory,
            supports_gpus,
            supports_owner,
            shares_files,
        ];
        let told: Vec<bool> =
            rows[2..].iter().map(|row| row[column + 1].starts_with("yes")).collect();
        assert_eq!(told, all, "{name}");
    }
}
