//! One graph of a folder, as its file says it, for people.

use serde::Serialize;

use crate::session::{Graph, Port};

/// A component of a folder that has a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Its name, such as `unet`.
    #[serde(rename = "part")]
    pub name: String,
    /// Bytes of the graph and its weights on disk.
    pub bytes: u64,
    /// Element type of most of its weights.
    pub precision: Option<&'static str>,
    /// Its inputs, as in `sample float32 [?, 4, ?, ?]`.
    pub inputs: Vec<String>,
    /// Its outputs, likewise.
    pub outputs: Vec<String>,
}

impl Component {
    pub(super) fn of(graph: &Graph) -> Self {
        let header = &graph.files().header;
        let shown = |ports: &[Result<Port, String>]| {
            ports.iter().flatten().map(ToString::to_string).collect()
        };
        Self {
            name: graph.name().to_owned(),
            bytes: graph.files().bytes,
            precision: header.precision(),
            inputs: shown(&header.inputs),
            outputs: shown(&header.outputs),
        }
    }
}
