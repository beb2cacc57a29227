//! Setters for the fields that a program sets most, to be chained behind [`GenerationRequest::new`].
//! All fields are public: the others are set in place.

use super::{GenerationRequest, Input, NoiseDevice, OutputFormat, Task};
use crate::ids::RequestId;

/// A setter for each field, and what it takes.
macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident: $taken:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $field(mut self, $field: $taken) -> Self {
            self.$field = Some($field.into());
            self
        }
    )*};
}

impl GenerationRequest {
    /// A request for what the prompt says; all else is the model's default.
    ///
    /// ```
    /// use hearth_api::request::GenerationRequest;
    ///
    /// let request = GenerationRequest::new("red heart").num_images(2).seed(7);
    /// assert_eq!(request.num_images, Some(2));
    /// ```
    #[must_use]
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    setters! {
        /// The request's name; drawn by whoever accepts it when absent.
        id: RequestId;
        /// Which model; may be absent where there is one only.
        model: impl Into<String>;
        /// What kind of work.
        task: Task;
        /// What the output should not show.
        negative_prompt: impl Into<String>;
        /// How many images; 1 when absent.
        num_images: u32;
        /// Denoising steps.
        num_inference_steps: u32;
        /// Classifier-free guidance; off at 1 and below.
        guidance_scale: f64;
        /// Item i uses `seed + i`; drawn by whoever accepts the request when absent.
        seed: u64;
        /// Whose normal numbers the noise is made of.
        noise_device: NoiseDevice;
        /// Scheduler's name, with overrides as `name:key=value,key=value`.
        scheduler: impl Into<String>;
        /// The picture to start from.
        image: Input;
        /// What of `image` to make anew: where it is light.
        mask_image: Input;
        /// How much of `image` to make anew, above 0 to 1.
        strength: f64;
        /// Compute it alone, bit by bit the same whatever else runs.
        exact: bool;
        /// How the result is encoded.
        output_format: OutputFormat;
        /// Send a preview each so many steps.
        preview_every: u32;
        /// Milliseconds that the whole request may take.
        deadline_ms: u64;
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (Some(width), Some(height));
        self
    }

    /// Adds words of the caller's own, which are kept in the result.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}
