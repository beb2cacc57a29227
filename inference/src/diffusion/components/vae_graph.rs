//! One half of a VAE as a graph that may overflow in half precision.
//!
//! A result with values that aren't numbers never leaves here: the work is done again by the same
//! graph in single precision where there is one, else it is an error. Half comes first each time,
//! so that a picture doesn't depend on those before it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::configs::bad;
use super::numbers;
use crate::blueprint::folder::MAX_SIDE;
use crate::blueprint::{Axis, Reader, Sessions};
use crate::model::Error;
use crate::session::{Graph, Input, Interrupt, Runtime, Session, Values};

/// A graph of one input and one output, both [1, channels, rows, columns], as its folder says it.
pub(super) struct VaeGraphSpec {
    ports: Ports,
    /// Rows and columns of the input, if the graph has them built in.
    pub(super) fixed_size: Option<[usize; 2]>,
    graph: Option<Arc<Graph>>,
}

/// The same graph with its session.
pub(super) struct VaeGraph {
    session: Session,
    ports: Ports,
    wide: Wide,
    /// Rows and columns of the input, if the graph has them built in.
    pub(super) fixed_size: Option<[usize; 2]>,
    runtime: Runtime,
    graph: Arc<Graph>,
}

/// What the graph is called, and its input and output.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    pub(super) component: &'static str,
    pub(super) input: &'static str,
    pub(super) output: Cow<'static, str>,
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

/// The graph in one of its precisions.
pub(super) struct Run<'a> {
    session: &'a mut Session,
    ports: &'a Ports,
}

impl VaeGraphSpec {
    /// Reads the graph, whose input has so many channels.
    pub(super) fn read(reader: &Reader<'_>, ports: Ports, channels: usize) -> Self {
        let graph = reader.graph(ports.component);
        graph.expect_inputs(&[ports.input]);
        graph.output(&ports.output);
        graph.expect_floats(&[ports.input, &ports.output]);
        let fixed_size = graph.input(ports.input).and_then(|input| match input.dims[..] {
            [_, _, Some(rows), Some(columns)] => Some([rows, columns]),
            _ => None,
        });
        let axes = [Axis::Batch(&[1]), Axis::Length(channels), Axis::Any, Axis::Any];
        graph.expect_shape(ports.input, &axes);
        let half_open = graph.input(ports.input).is_some_and(|input| {
            matches!(input.dims[..], [_, _, Some(_), None] | [_, _, None, Some(_)])
        });
        graph.note_first(half_open.then(|| {
            let input = ports.input;
            format!(
                "input {input} has one of its rows and columns built in; export it with both open"
            )
        }));
        let too_large = fixed_size.filter(|[rows, columns]| *rows.max(columns) > MAX_SIDE as usize);
        graph.note_first(too_large.map(|[rows, columns]| {
            format!(
                "input {} has {rows} rows and {columns} columns built in, more than {MAX_SIDE}; \
                 export it with open axes",
                ports.input
            )
        }));
        let fixed_size = fixed_size.map(|size| size.map(|side| side.min(MAX_SIDE as usize)));
        Self { ports, fixed_size, graph: graph.graph() }
    }

    pub(super) fn open(self, sessions: &mut Sessions) -> Result<VaeGraph, Error> {
        let Self { ports, fixed_size, graph } = self;
        let session = sessions.take(ports.component)?;
        let unread = || bad(ports.component, "its graph was not read".to_owned());
        let (runtime, graph) = (sessions.runtime().clone(), graph.ok_or_else(unread)?);
        Ok(VaeGraph { session, ports, wide: Wide::Untried, fixed_size, runtime, graph })
    }
}

impl VaeGraph {
    /// Does `work` with the graph, and all of it again in single precision where half overflowed.
    pub(super) fn run<T>(
        &mut self,
        mut work: impl FnMut(&mut Run<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let ports = &self.ports.clone();
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
            self.wide = match Session::load_wide(&self.runtime, &self.graph)? {
                Some(session) => {
                    tracing::warn!(
                        "{} overflowed in half precision, and runs again in single each time \
                         that it does; export it in float32",
                        self.ports.component
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

    /// Channels of its output, where ONNX Runtime knows their number.
    pub(super) fn output_channels(&self) -> Option<usize> {
        self.session.output(&self.ports.output).ok()?.dims.get(1).copied()?
    }

    /// What its output is called.
    pub(super) fn output(&self) -> &str {
        &self.ports.output
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
        let Ports { component, input, output: name, hint } = self.ports;
        let (component, input) = (*component, *input);
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
        numbers::check(component, &output.values)?;
        Ok(output.values)
    }
}
