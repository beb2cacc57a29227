//! Noise schedules and step rules, each from its paper, one pure struct per file.
//!
//! A scheduler knows no pipeline, draws no noise and reads no clock: it is built for one image's
//! run of steps, and the step noise that stochastic rules need is an argument.

/// The noise schedule and step rule of one image's denoising run.
///
/// `sample` is the image's latent, flattened; every slice of one run has its length.
pub trait Scheduler: Send {
    /// The timesteps given to the model, in the order of the steps; one model call for each.
    fn timesteps(&self) -> &[f32];

    /// The standard deviation that the initial unit noise is multiplied with.
    fn init_noise_sigma(&self) -> f32;

    /// Writes the model's input for step `step` (an index into [`timesteps`](Self::timesteps)).
    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]);

    /// Whether step `step` adds noise drawn from the image's noise stream.
    fn needs_noise(&self, step: usize) -> bool;

    /// Takes step `step`: replaces `sample` with the previous (less noisy) sample.
    ///
    /// `noise` is unit Gaussian noise, given when [`needs_noise`](Self::needs_noise) asks for it.
    fn step(&mut self, step: usize, model_output: &[f32], sample: &mut [f32], noise: Option<&[f32]>);
}
