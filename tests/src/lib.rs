//! End-to-end tests of the real binaries, faults, wire compatibility and tidy rules.
