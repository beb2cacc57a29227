//! The worker daemon: registers itself, keeps models warm, serves calls over QUIC.
