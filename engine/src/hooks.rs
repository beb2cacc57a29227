//! What a program does to requests before they are accepted, and to items before anybody sees them.
//!
//! Hooks run in the order in which they were given to the engine, each on what the one before
//! returned; the first error ends the request, or the item. They may wait: the request's deadline
//! bounds them, and they end with the request. One that panics has failed with `internal`, and the
//! engine goes on.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind};

use crate::request::ItemOutput;

/// Looks at, changes or refuses what goes in and what comes out.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// A request that was submitted, before it is checked and accepted.
    ///
    /// # Errors
    /// Any [`CallError`] refuses the request with it.
    async fn on_request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        Ok(request)
    }

    /// An item that a worker has made, before it is an event or a result. Its index stays what it
    /// is. Previews are not shown to hooks: one that has to see all that a caller sees sets
    /// `preview_every` to none in [`Hook::on_request`].
    ///
    /// # Errors
    /// The item fails with any [`CallError`], and is not tried again.
    async fn on_item(
        &self,
        request: &GenerationRequest,
        item: ItemOutput,
    ) -> Result<ItemOutput, CallError> {
        let _ = request;
        Ok(item)
    }
}

/// For lists of hooks that are known only when the program runs.
#[async_trait]
impl Hook for Box<dyn Hook> {
    async fn on_request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        (**self).on_request(request).await
    }

    async fn on_item(
        &self,
        request: &GenerationRequest,
        item: ItemOutput,
    ) -> Result<ItemOutput, CallError> {
        (**self).on_item(request, item).await
    }
}

/// A request as the hooks leave it.
///
/// # Errors
/// A hook's.
pub(crate) async fn apply_to_request(
    hooks: &[Box<dyn Hook>],
    mut request: GenerationRequest,
) -> Result<GenerationRequest, CallError> {
    for hook in hooks {
        request = guarded("request", async { hook.on_request(request).await }).await?;
    }
    Ok(request)
}

/// An item as the hooks leave it.
///
/// # Errors
/// A hook's.
pub(crate) async fn apply_to_item(
    hooks: &[Box<dyn Hook>],
    request: &GenerationRequest,
    mut item: ItemOutput,
) -> Result<ItemOutput, CallError> {
    let index = item.index;
    for hook in hooks {
        let shown = async { hook.on_item(request, item).await };
        item = ItemOutput { index, ..guarded("item", shown).await? };
    }
    Ok(item)
}

/// Turns a hook's panic into its error, so that nobody else's request ends with it.
async fn guarded<T>(
    what: &str,
    hook: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    AssertUnwindSafe(hook).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("a hook on the {what} panicked: {}", panic_message(&*panic));
        tracing::error!(message);
        Err(CallError::new(ErrorKind::Internal, message))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
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

/// A hook of one function on items.
///
/// ```
/// use hearth_engine::{CallError, ErrorKind, ItemOutput, hooks};
///
/// let small = hooks::on_item(async |item: ItemOutput| match item.bytes.len() {
///     0..=1_000_000 => Ok(item),
///     n => Err(CallError::new(ErrorKind::TooLarge, format!("an item of {n} bytes"))),
/// });
/// # let _: Box<dyn hooks::Hook> = Box::new(small);
/// ```
pub fn on_item<F, Fut>(function: F) -> impl Hook
where
    F: Fn(ItemOutput) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ItemOutput, CallError>> + Send + 'static,
{
    OnItem(function)
}

struct OnRequest<F>(F);
struct OnItem<F>(F);

#[async_trait]
impl<F, Fut> Hook for OnRequest<F>
where
    F: Fn(GenerationRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<GenerationRequest, CallError>> + Send + 'static,
{
    async fn on_request(&self, request: GenerationRequest) -> Result<GenerationRequest, CallError> {
        (self.0)(request).await
    }
}

#[async_trait]
impl<F, Fut> Hook for OnItem<F>
where
    F: Fn(ItemOutput) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ItemOutput, CallError>> + Send + 'static,
{
    async fn on_item(
        &self,
        _request: &GenerationRequest,
        item: ItemOutput,
    ) -> Result<ItemOutput, CallError> {
        (self.0)(item).await
    }
}
