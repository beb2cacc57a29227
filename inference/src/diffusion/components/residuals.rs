//! What ControlNets add inside a denoiser: one tensor after each of its down blocks' layers and one
//! in the middle. To a graph they are inputs, which rest at zero.

use crate::blueprint::Ports;
use crate::model::Error;
use crate::session::{Bound, Port, Session, SharedTensor};

const DOWN: &str = "down_block_additional_residuals.";
const MID: &str = "mid_block_additional_residual";

/// Whether an input of that name takes a residual.
pub(super) fn is_residual(name: &str) -> bool {
    name == MID || name.starts_with(DOWN)
}

/// The inputs of a graph that take residuals, in the order of [`Residuals`]; `None` if it takes none.
pub(super) fn read(ports: &Ports<'_>) -> Option<Vec<Port>> {
    let count = ports.inputs().iter().filter(|port| is_residual(&port.name)).count();
    let names =
        (0..count.checked_sub(1)?).map(|index| format!("{DOWN}{index}")).chain([MID.to_owned()]);
    let taken: Vec<_> = names.filter_map(|name| ports.input(&name).cloned()).collect();
    let flat = taken.iter().find(|port| port.rank() != 4);
    ports.note_first(flat.map(|port| format!("input {port} must be [B,C,h,w]")));
    Some(taken)
}

/// The inputs of a graph that take residuals: those of the down blocks in order, then the middle's.
pub(super) struct Residuals {
    pub(super) ports: Vec<Port>,
    /// What is bound to them in the current memory: the number that its writer has, none at first.
    fed: Option<u64>,
    /// Zeros for each, and the length of the batch axis that they are for.
    zeros: (usize, Vec<SharedTensor>),
}

/// The number that zeros have.
pub(super) const ZEROS: u64 = 0;

impl Residuals {
    /// Those at `ports`.
    pub(super) fn at(ports: Vec<Port>) -> Self {
        Self { ports, fed: None, zeros: (0, Vec::new()) }
    }

    /// Forgets what is bound, as for fresh memory.
    pub(super) fn forget(&mut self) {
        self.fed = None;
    }

    /// Has `session` read the residuals from `given`, the memory of the writer with that number, or
    /// zeros.
    pub(super) fn feed(
        &mut self,
        session: &Session,
        bound: &mut Bound,
        given: Option<(u64, &[SharedTensor])>,
        rows: usize,
    ) -> Result<(), Error> {
        let number = given.map_or(ZEROS, |(number, _)| number);
        if self.fed == Some(number) {
            return Ok(());
        }
        self.fed = None;
        if given.is_none() && self.zeros.0 != rows {
            self.zeros = (rows, self.zeros(session, rows)?);
        }
        let memory = given.map_or(self.zeros.1.as_slice(), |(_, memory)| memory);
        for (port, memory) in self.ports.iter().zip(memory) {
            session.read_from(bound, &port.name, memory)?;
        }
        self.fed = Some(number);
        Ok(())
    }

    /// One zero for all that the graph leaves open: an addition spreads it.
    fn zeros(&self, session: &Session, rows: usize) -> Result<Vec<SharedTensor>, Error> {
        let zeros = self.ports.iter().map(|port| {
            let mut shape: Vec<_> = port.dims.iter().map(|dim| dim.unwrap_or(1)).collect();
            shape[0] = port.dims[0].unwrap_or(rows);
            session.zeros(port.dtype, &shape)
        });
        Ok(zeros.collect::<Result<_, _>>()?)
    }
}
