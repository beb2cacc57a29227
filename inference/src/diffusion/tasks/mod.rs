//! What a picture starts from: noise, a picture to change, or a part of one to fill.
//!
//! Each draws from the image's noise stream in diffusers' order, so that the same seed gives the
//! same picture. All of it is done in planes; the denoiser's layout comes last.

mod blend;
mod inpainting;
mod source;
mod start;

pub(super) use self::blend::Blend;
pub(super) use self::source::Source;
pub(super) use self::start::{Beginning, Start};
