//! One half of a VAE as a graph that may overflow in half precision.
//!
//! A result with values that aren't numbers never leaves here: the work is done again by the same
//! graph in single precision where there is one, else it is an error. Half comes first each time,
//! so that a picture doesn't depend on those before it.

use std::path::PathBuf;
use std::time::Duration;

use crate::folder::{Folder, MAX_SIDE};
use crate::pipelines::Error;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};

/// A graph of one input and one output, both [1, channels, rows, columns].
pub(super) struct VaeGraph {
    session: Session,
    ports: Ports,
    wide: Wide,
    source: Source,
}

/// What the graph is called, and its input and output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) part: &'static str,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    /// What to look at where the output has another shape than the configs say.
    pub(super) hint: &'static str,
}

/// The same graph in single precision.
enum Wide {
    Untried,
    /// It is in single precision already, or can't be rewritten.
    None,
    Loaded(Box<Session>),
}

/// Where the graph can be had again.
struct Source {
    runtime: Runtime,
    root: PathBuf,
    graph: PathBuf,
    device: Device,
}

/// The graph in one of its precisions.
pub(super) struct Run<'a> {
    session: &'a mut Session,
    ports: Ports,
}

impl VaeGraph {
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        ports: Ports,
    ) -> Result<Self, Error> {
        let (root, graph) = (folder.root().to_owned(), folder.graph(ports.part)?);
        let source = Source { runtime: runtime.clone(), root, graph, device };
        let session = Session::load(runtime, ports.part, &source.root, &source.graph, device)?;
        session.expect_inputs(&[ports.input])?;
        session.output(ports.output)?;
        session.expect_floats(&[ports.input, ports.output])?;
        Ok(Self { session, ports, wide: Wide::Untried, source })
    }

    /// Rows and columns of the input, if the graph has them built in.
    pub(super) fn fixed_size(&self) -> Result<Option<[usize; 2]>, Error> {
        let Ports { input, .. } = self.ports;
        let [_, _, Some(rows), Some(columns)] = self.session.input(input)?.dims[..] else {
            return Ok(None);
        };
        let too_many = rows.max(columns) > MAX_SIDE as usize;
        self.session.refuse_for(too_many.then(|| {
            format!(
                "input {input} has {rows} rows and {columns} columns built in, more than \
                 {MAX_SIDE}; export it with open axes"
            )
        }))?;
        Ok(Some([rows, columns].map(|side| side.min(MAX_SIDE as usize))))
    }

    /// Does `work` with the graph, and all of it again in single precision where half overflowed.
    pub(super) fn run<T>(
        &mut self,
        mut work: impl FnMut(&mut Run<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let ports = self.ports;
        match work(&mut Run { session: &mut self.session, ports }) {
            Err(error @ Error::NotANumber { .. }) => match self.wide()? {
                Some(session) => work(&mut Run { session, ports }),
                None => Err(error),
            },
            done => done,
        }
    }

    fn wide(&mut self) -> Result<Option<&mut Session>, Error> {
        if matches!(self.wide, Wide::Untried) {
            let (part, Source { runtime, root, graph, device }) = (self.ports.part, &self.source);
            self.wide = match Session::load_wide(runtime, part, root, graph, *device)? {
                Some(session) => {
                    tracing::warn!(
                        "{part} overflowed in half precision, and runs again in single each time \
                         that it does; export it in float32"
                    );
                    Wide::Loaded(Box::new(session))
                }
                None => Wide::None,
            };
        }
        Ok(match &mut self.wide {
            Wide::Loaded(session) => Some(session),
            Wide::Untried | Wide::None => None,
        })
    }

    /// The graph itself.
    pub(super) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in it so far.
    pub(super) fn busy(&self) -> Duration {
        let wide = match &self.wide {
            Wide::Loaded(session) => session.busy(),
            Wide::Untried | Wide::None => Duration::ZERO,
        };
        self.session.busy() + wide
    }
}

impl Run<'_> {
    /// Runs the graph on planes of `shape`; it must give planes of the shape `wanted`.
    pub(super) fn planes(
        &mut self,
        planes: &[f32],
        [channels, rows, columns]: [usize; 3],
        wanted: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Vec<f32>, Error> {
        let Ports { part, input, output: name, hint } = self.ports;
        let shape = [1, channels, rows, columns];
        let input = Input { name: input, shape: &shape, values: Values::F32(planes) };
        let output = self.session.run(&[input], name, interrupt)?;
        if output.shape.first() != Some(&1) || output.shape[1..] != wanted {
            let [channels, rows, columns] = wanted;
            let reason = format!(
                "{name} has shape {:?}, not [1, {channels}, {rows}, {columns}]; {hint}",
                output.shape
            );
            return Err(self.session.port_error(reason).into());
        }
        if !output.values.iter().all(|value| value.is_finite()) {
            return Err(Error::NotANumber { part });
        }
        Ok(output.values)
    }
}
