//! Which peers there are in Python.

use clap::builder::PossibleValue;

use super::environment::Environment;

/// A peer in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ray,
    GrpcMtls,
    Optimum,
}

impl clap::ValueEnum for Peer {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Ray, Self::GrpcMtls, Self::Optimum]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Peer {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ray => "ray",
            Self::GrpcMtls => "grpc_mtls",
            Self::Optimum => "optimum",
        }
    }

    pub(super) fn script(self) -> &'static str {
        match self {
            Self::Ray => "ray_peer.py",
            Self::GrpcMtls => "grpc_peer.py",
            Self::Optimum => "optimum_peer.py",
        }
    }

    pub(super) fn environment(self) -> Environment {
        match self {
            Self::Ray | Self::GrpcMtls => Environment::RPC,
            Self::Optimum => Environment::PICTURES,
        }
    }
}
