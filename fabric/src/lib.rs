//! How Hearth processes find and reach each other: QUIC, registries, identity.
