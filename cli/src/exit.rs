//! Exit statuses, and the errors that lead to them.

use std::error::Error;
use std::fmt;

use hearth_api::{CallError, ErrorKind};
use hearth_base::text::escape_line;
use hearth_fabric::{identity, registry};

/// How the command ends, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    /// Failed, also in part: what came is kept.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    NoWorker,
    Deadline,
    NotPermitted,
    Interrupted,
}

impl Status {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoWorker => 3,
            Self::Deadline => 4,
            Self::NotPermitted => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        use ErrorKind as K;
        match kind {
            K::InvalidArgument | K::UnknownMethod | K::UnknownModel | K::TooLarge => Self::Usage,
            K::NoWorker | K::NotReady | K::Draining | K::QueueFull | K::Overloaded => {
                Self::NoWorker
            }
            K::DeadlineExceeded => Self::Deadline,
            K::PermissionDenied => Self::NotPermitted,
            K::UnknownRequest
            | K::IdConflict
            | K::Cancelled
            | K::Abandoned
            | K::WorkerLost
            | K::StaleIncarnation
            | K::Protocol
            | K::VersionMismatch
            | K::ModelFailed
            | K::Quarantined
            | K::Internal
            | K::Unknown => Self::Failed,
        }
    }
}

/// Why a command could not do its work: what to print, and how to exit.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// One line that names the field, the value and the remedy; none to end quietly.
    message: Option<String>,
    causes: Vec<String>,
    /// What else can be done.
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), causes: Vec::new(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Status::Usage, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message)
    }

    /// All is said already.
    pub(crate) fn quiet(status: Status) -> Self {
        Self { status, message: None, causes: Vec::new(), hint: None }
    }

    /// The error and its causes.
    pub(crate) fn of(status: Status, error: &dyn Error) -> Self {
        Self::new(status, error.to_string()).caused_by(error.source())
    }

    /// Adds an error and its causes.
    pub(crate) fn caused_by(mut self, error: Option<&dyn Error>) -> Self {
        let mut next = error;
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds lines that say more.
    pub(crate) fn because(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(causes);
        self
    }

    /// Adds what else can be done, the last line.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Its first line, without the word `error`.
    pub(crate) fn headline(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.message.is_none()
    }
}

/// As it is printed: `error: …`, then a line per cause, then the hint.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(message) = &self.message else { return Ok(()) };
        write!(f, "error: {}", flatten(message))?;
        for cause in &self.causes {
            write!(f, "\ncaused by: {}", flatten(cause))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{hint}")?;
        }
        Ok(())
    }
}

/// A worker's or a library's text may neither begin a line of its own nor move the cursor.
fn flatten(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    escape_line(&lines.collect::<Vec<_>>().join(" ")).into_owned()
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let place = match (&error.worker, error.rank) {
            (Some(worker), Some(rank)) => format!(" (worker {worker}, rank {rank})"),
            (Some(worker), None) => format!(" (worker {worker})"),
            _ => String::new(),
        };
        Self::new(error.kind.into(), format!("{}{place}", error.message)).because(error.causes)
    }
}

impl From<identity::Error> for Failure {
    fn from(error: identity::Error) -> Self {
        use identity::Error as E;
        let status = match error {
            E::Certificate { .. }
            | E::Expired { .. }
            | E::Revoked { .. }
            | E::NotYetValid { .. }
            | E::Untrusted { .. }
            | E::KeyMismatch { .. } => Status::NotPermitted,
            E::Write { .. } => Status::Failed,
            _ => Status::Usage,
        };
        Self::of(status, &error)
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&registry::Error> for Failure {
    fn from(error: &registry::Error) -> Self {
        use registry::Error as E;
        let status = match error {
            E::Url { .. } | E::Settings { .. } | E::File { .. } => Status::Usage,
            E::Auth { .. } | E::Tls { .. } => Status::NotPermitted,
            E::NoFolder { .. } => Status::NoWorker,
            _ if error.is_passing() => Status::NoWorker,
            _ => Status::Failed,
        };
        Self::of(status, error)
    }
}

impl From<hearth_launchers::Error> for Failure {
    fn from(error: hearth_launchers::Error) -> Self {
        use hearth_launchers::Error as E;
        let status = match error {
            E::CollectTimeout { .. } => Status::Deadline,
            E::UnknownReplica { .. } => Status::Usage,
            _ if error.is_configuration() => Status::Usage,
            _ => Status::Failed,
        };
        Self::of(status, &error)
    }
}

impl From<hearth_engine::workers::Error> for Failure {
    fn from(error: hearth_engine::workers::Error) -> Self {
        match error {
            hearth_engine::workers::Error::Launch(error) => error.into(),
            hearth_engine::workers::Error::Identity(error) => error.into(),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::of(Status::Failed, error.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_documented_statuses() {
        let code = |kind: ErrorKind| Status::from(kind).code();
        assert_eq!(code(ErrorKind::InvalidArgument), 2);
        assert_eq!(code(ErrorKind::UnknownModel), 2);
        assert_eq!(code(ErrorKind::NoWorker), 3);
        assert_eq!(code(ErrorKind::DeadlineExceeded), 4);
        assert_eq!(code(ErrorKind::PermissionDenied), 5);
        for kind in ErrorKind::ALL {
            assert!((1..=5).contains(&code(kind)), "{kind} must not look like success");
        }
        assert_eq!(Status::Interrupted.code(), 130);
    }

    #[test]
    fn a_registry_that_does_not_answer_has_no_worker_whichever_it_is() {
        let reason = || "no answer".to_owned();
        let target = "etcd://127.0.0.1:1/x".to_owned();
        let (host, path) = ("no-such-host:7420".to_owned(), std::path::PathBuf::from("/x"));
        for error in [
            registry::Error::Unreachable { target, reason: reason() },
            registry::Error::Resolve { host, reason: reason() },
            registry::Error::NoFolder { path: path.clone() },
            registry::Error::Silent { path },
        ] {
            assert_eq!(Failure::from(&error).status, Status::NoWorker, "{error}");
        }
        let url = registry::Error::Url { url: "static:".to_owned(), problem: reason() };
        assert_eq!(Failure::from(url).status, Status::Usage);
    }

    #[test]
    fn a_failure_is_one_line_and_its_causes() {
        let io = std::io::Error::other("disk full");
        let text = Failure::failed("out.png can't be written").caused_by(Some(&io)).to_string();
        assert_eq!(text, "error: out.png can't be written\ncaused by: disk full");
        let error = CallError::new(ErrorKind::NoWorker, "no worker has sd15")
            .caused_by(&std::io::Error::other("why"));
        let failure = Failure::from(error);
        assert_eq!(failure.status, Status::NoWorker);
        assert_eq!(failure.to_string(), "error: no worker has sd15\ncaused by: why");
        assert_eq!(Failure::quiet(Status::Done).to_string(), "");
        let text = Failure::failed("full").caused_by(Some(&io)).hint("make room").to_string();
        assert_eq!(text, "error: full\ncaused by: disk full\nmake room");
    }

    #[test]
    fn causes_of_any_error_are_listed() {
        let error = anyhow::anyhow!("inner").context("middle").context("outer");
        assert_eq!(
            Failure::from(error).to_string(),
            "error: outer\ncaused by: middle\ncaused by: inner"
        );
    }
}
