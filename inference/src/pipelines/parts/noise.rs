//! The latents that a picture starts from.

use crate::noise::NoiseStream;
use crate::pipelines::state::Layout;

/// Unit noise of `shape` (channels, rows, columns) times `sigma`, in the layout that the denoiser
/// takes. It is drawn as planes whatever the layout, as diffusers does.
pub(in crate::pipelines) fn initial_latents(
    noise: &mut NoiseStream,
    shape: [usize; 3],
    layout: Layout,
    sigma: f32,
) -> Vec<f32> {
    let mut planes = vec![0.0; shape.iter().product()];
    noise.fill_normal(&mut planes);
    planes.iter_mut().for_each(|value| *value *= sigma);
    match layout {
        Layout::Planes => planes,
        Layout::Packed => layout.pack(&planes, shape),
    }
}
