//! The ways to reach workers, by name.

mod backends;
mod error;
mod external;
#[cfg(feature = "launchers")]
mod launched;
mod mp;
mod owned;
mod start;
mod worker_program;

pub use backends::Backends;
pub use error::Error;
pub use external::{ExternalExecutor, ExternalOptions};
#[cfg(feature = "launchers")]
pub use launched::LaunchedExecutor;
pub use mp::MpExecutor;
#[cfg(feature = "launchers")]
pub use owned::workers;
pub use start::Start;
