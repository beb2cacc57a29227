//! What is known of a class of diffusers without building it.

use super::keys::Keys;

/// A class's facts.
#[derive(Debug)]
pub struct About {
    /// Diffusers' name of the class.
    pub name: &'static str,
    /// Which models it is for.
    pub kind: Kind,
    /// What its `set_timesteps` takes besides the number of steps, by its field in
    /// [`Run`](super::Run).
    pub takes: &'static [&'static str],
    /// The config keys that the class has in diffusers, in its order.
    pub(super) keys: Keys,
    /// The class's default of `num_train_timesteps`.
    pub(super) train_timesteps: usize,
}

/// Which models a class is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Predictions of noise, sample or v at a timestep. Some classes of this kind also follow a
    /// flow, where `prediction_type` says so; the [`Schedule`](super::Schedule) knows.
    Diffusion,
    /// The same, but the model is told the logarithm or the angle of a noise level, not a timestep
    /// (Karras et al. 2022, table 1).
    Edm,
    /// The velocity of a flow.
    Flow,
    /// The clean sample from any level of noise (consistency models).
    Consistency,
}

impl About {
    /// What most classes have in common.
    pub(super) const USUAL: Self =
        Self { name: "", kind: Kind::Diffusion, takes: &[], keys: &[], train_timesteps: 1000 };

    /// All keys, one by one.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied().flatten().copied()
    }
}
