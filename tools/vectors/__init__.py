"""Makes the reference vectors that the Rust tests compare with; see tools/README.md."""
