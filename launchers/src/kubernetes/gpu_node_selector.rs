//! A type of graphics cards as Kubernetes chooses it: by the labels of its nodes, which the config
//! names. Pure.

use super::config::{Config, NAME};
use crate::{Error, GpuType, Gpus, LaunchSpec};

/// The spec with cards by their number, and the labels of the nodes that have them.
///
/// # Errors
/// [`Error::Spec`] for a type that the config doesn't have, and for labels that contradict it.
pub(super) fn resolve(spec: &LaunchSpec, config: &Config) -> Result<LaunchSpec, Error> {
    let mut spec = spec.clone();
    let Some(Gpus::Typed(cards)) = &spec.resources.gpus else { return Ok(spec) };
    let Some(labels) = config.gpu_node_selector.get(cards.name()).filter(|all| !all.is_empty())
    else {
        return Err(unmapped(cards, config));
    };
    for (key, value) in labels {
        let given = spec.placement.labels.insert(key.clone(), value.clone());
        if let Some(given) = given.filter(|given| given != value) {
            return Err(Error::Spec {
                field: "labels",
                value: format!("{key}={given}"),
                remedy: format!("the nodes with {} have {key}={value}: leave it out", cards.name()),
            });
        }
    }
    spec.resources.gpus = Some(Gpus::Count(cards.count()));
    Ok(spec)
}

fn unmapped(cards: &GpuType, config: &Config) -> Error {
    let known: Vec<&str> = config.gpu_node_selector.keys().map(String::as_str).collect();
    let known = match known[..] {
        [] => "none are".to_owned(),
        _ => format!("those are {}", known.join(", ")),
    };
    let name = cards.name();
    let remedy = format!(
        "the launcher {NAME} knows no nodes with that type ({known} in its gpu_node_selector): add \
         \"{name}\" = {{ \"nvidia.com/gpu.product\" = \"…\" }} with the label that such nodes have"
    );
    Error::Spec { field: "gpus", value: cards.to_string(), remedy }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn labels(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    fn config() -> Config {
        let product = labels("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB");
        let gpu_node_selector = BTreeMap::from([("A100".to_owned(), product)]);
        Config { gpu_node_selector, ..Config::default() }
    }

    fn spec(cards: &str) -> LaunchSpec {
        let mut spec = LaunchSpec::new("job", 2, "true");
        spec.resources.gpus = Some(Gpus::Typed(cards.parse().unwrap()));
        spec.placement.labels = labels("zone", "a");
        spec
    }

    #[test]
    fn a_type_becomes_the_label_of_its_nodes() {
        let resolved = resolve(&spec("A100:2"), &config()).unwrap();
        assert_eq!(resolved.resources.gpus, Some(Gpus::Count(2)));
        let mut expected = labels("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB");
        expected.extend(labels("zone", "a"));
        assert_eq!(resolved.placement.labels, expected);
        let plain = LaunchSpec::new("job", 1, "true");
        assert_eq!(resolve(&plain, &config()).unwrap(), plain);
    }

    #[test]
    fn a_type_without_nodes_is_refused_with_what_to_add() {
        let refused = |config: &Config| resolve(&spec("H100"), config).unwrap_err().to_string();
        let message = refused(&config());
        for part in ["gpus is H100", "those are A100", "gpu_node_selector", "\"H100\" = {"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(refused(&Config::default()).contains("none are"));
        let mut other = spec("A100");
        other.placement.labels = labels("nvidia.com/gpu.product", "NVIDIA-L4");
        let message = resolve(&other, &config()).unwrap_err().to_string();
        assert!(message.contains("labels is nvidia.com/gpu.product=NVIDIA-L4"), "{message}");
    }
}
