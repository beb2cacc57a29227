//! What a program does to requests before they are accepted, and to images before anybody sees
//! them.
//!
//! Hooks run in the order in which they were given to the engine, each on what the one before gave
//! back; the first error ends the request, or the image. They may wait: the request's deadline
//! bounds them, and they end with the request. One that panics has failed with `internal`, and the
//! engine goes on.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind};

use crate::request::output::ImageOutput;

/// Looks at, changes or refuses what goes in and what comes out.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// A request that was submitted, before it is checked and accepted.
    ///
    /// # Errors
    /// Any [`CallError`] refuses the request with it.
    async fn request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        Ok(request)
    }

    /// An image that a worker made, before it is an event or a result. Its index stays what it is.
    /// Previews are not shown to
    /// hooks: one that must see every picture sets `preview_every` to none in
    /// [`Hook::request`].
    ///
    /// # Errors
    /// Any [`CallError`] is what the image failed of; it is not tried again.
    async fn image(
        &self,
        request: &GenerationRequest,
        image: ImageOutput,
    ) -> Result<ImageOutput, CallError> {
        let _ = request;
        Ok(image)
    }
}

/// For lists of hooks that are told apart only when the program runs.
#[async_trait]
impl Hook for Box<dyn Hook> {
    async fn request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        (**self).request(request).await
    }

    async fn image(
        &self,
        request: &GenerationRequest,
        image: ImageOutput,
    ) -> Result<ImageOutput, CallError> {
        (**self).image(request, image).await
    }
}

/// A request as the hooks leave it.
///
/// # Errors
/// A hook's.
pub(crate) async fn request(
    hooks: &[Box<dyn Hook>],
    mut request: GenerationRequest,
) -> Result<GenerationRequest, CallError> {
    for hook in hooks {
        request = guarded("request", async { hook.request(request).await }).await?;
    }
    Ok(request)
}

/// An image as the hooks leave it.
///
/// # Errors
/// A hook's.
pub(crate) async fn image(
    hooks: &[Box<dyn Hook>],
    request: &GenerationRequest,
    mut image: ImageOutput,
) -> Result<ImageOutput, CallError> {
    let index = image.index;
    for hook in hooks {
        let shown = async { hook.image(request, image).await };
        image = ImageOutput { index, ..guarded("image", shown).await? };
    }
    Ok(image)
}

/// A hook's panic is its error: nobody else's request ends of it.
async fn guarded<T>(
    what: &str,
    hook: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    AssertUnwindSafe(hook).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("a hook on the {what} panicked: {}", said(&*panic));
        tracing::error!(message);
        Err(CallError::new(ErrorKind::Internal, message))
    })
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A hook of one function on requests.
///
/// ```
/// use hearth_engine::{CallError, GenerationRequest, hooks};
///
/// let polite = hooks::on_request(async |mut request: GenerationRequest| {
///     request.prompt += ", masterpiece";
///     Ok::<_, CallError>(request)
/// });
/// # let _: Box<dyn hooks::Hook> = Box::new(polite);
/// ```
pub fn on_request<F, Fut>(function: F) -> impl Hook
where
    F: Fn(GenerationRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<GenerationRequest, CallError>> + Send + 'static,
{
    OnRequest(function)
}

/// A hook of one function on images.
///
/// ```
/// use hearth_engine::{CallError, ErrorKind, ImageOutput, hooks};
///
/// let small = hooks::on_image(async |image: ImageOutput| match image.bytes.len() {
///     0..=1_000_000 => Ok(image),
///     n => Err(CallError::new(ErrorKind::TooLarge, format!("an image of {n} bytes"))),
/// });
/// # let _: Box<dyn hooks::Hook> = Box::new(small);
/// ```
pub fn on_image<F, Fut>(function: F) -> impl Hook
where
    F: Fn(ImageOutput) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ImageOutput, CallError>> + Send + 'static,
{
    OnImage(function)
}

struct OnRequest<F>(F);
struct OnImage<F>(F);

#[async_trait]
impl<F, Fut> Hook for OnRequest<F>
where
    F: Fn(GenerationRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<GenerationRequest, CallError>> + Send + 'static,
{
    async fn request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        (self.0)(request).await
    }
}

#[async_trait]
impl<F, Fut> Hook for OnImage<F>
where
    F: Fn(ImageOutput) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ImageOutput, CallError>> + Send + 'static,
{
    async fn image(
        &self,
        _request: &GenerationRequest,
        image: ImageOutput,
    ) -> Result<ImageOutput, CallError> {
        (self.0)(image).await
    }
}
