//! Logs, probes and metrics of the Hearth daemons.
