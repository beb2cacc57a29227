//! One graph by itself: any ONNX model, to be run with tensors by those who know it.
//!
//! It is loaded, checked and listed as other models are, and generates nothing.

use std::sync::Arc;

use crate::blueprint::{Draft, Family, Reader};
use crate::model::{Description, Error, Generator, Model, Prepare};
use crate::session::Session;

/// Folders with a `model.onnx` and no `model_index.json`.
pub(crate) static FAMILY: Family = Family { name: "onnx", classes: &[], tasks: &[], read };

/// The graph's name.
const GRAPH: &str = "model";

/// A loaded graph.
struct BareGraph {
    description: Arc<Description>,
    session: Session,
}

/// Reads the folder's `model.onnx`.
fn read(reader: &Reader<'_>) -> Result<Draft, Error> {
    reader.refuse_vae_tiling()?;
    reader.expect(&[GRAPH], &[]);
    reader.graph(GRAPH);
    let description = Description {
        family: FAMILY.name,
        device: reader.device().to_string(),
        weight_bytes: reader.weight_bytes(),
        digest: String::new(),
        graphs: vec![GRAPH.to_owned()],
        pictures: None,
    };
    Ok(Draft {
        description,
        warnings: Vec::new(),
        build: Box::new(|description, sessions| {
            let session = sessions.take(GRAPH)?;
            Ok(Box::new(BareGraph { description, session }))
        }),
    })
}

impl Model for BareGraph {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        vec![&mut self.session]
    }

    fn generator(&mut self) -> Option<&mut dyn Generator> {
        None
    }

    fn preparer(&self) -> Option<Arc<dyn Prepare>> {
        None
    }
}
