//! The engine that plans and executes requests over a fleet of workers.
