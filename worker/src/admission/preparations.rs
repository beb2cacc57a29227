//! Requests that are prepared, as long as one of their items needs it: the others share it.
//!
//! A request's items come as calls of their own, often at the same time. The first prepares the
//! request, the others wait for that; where it fails, each has its own try, and its own error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hearth_api::{CallError, RequestId};

use crate::compute::Preparation;

/// What a preparation depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) request: RequestId,
    /// The digest of the request's content.
    pub(super) content: String,
    /// The digest of its model.
    pub(super) model: String,
}

/// Held while the request is being prepared.
type Slot = Arc<tokio::sync::Mutex<Weak<Preparation>>>;

#[derive(Default)]
pub(crate) struct Preparations(Mutex<HashMap<Key, Slot>>);

impl Preparations {
    /// The prepared request: what another item has, or what `prepare` gives.
    pub(super) async fn get(
        &self,
        key: Key,
        prepare: impl Future<Output = Result<Preparation, CallError>>,
    ) -> Result<Arc<Preparation>, CallError> {
        let slot = self.slot(key);
        let mut shared = slot.lock().await;
        if let Some(prepared) = shared.upgrade() {
            return Ok(prepared);
        }
        let prepared = Arc::new(prepare.await?);
        *shared = Arc::downgrade(&prepared);
        Ok(prepared)
    }

    /// The request's slot. Those that nobody uses any more are let go.
    fn slot(&self, key: Key) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            let in_use = Arc::strong_count(slot) > 1;
            in_use || slot.try_lock().is_ok_and(|shared| shared.strong_count() > 0)
        });
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hearth_api::{ErrorKind, GenerationRequest};
    use hearth_inference::model::PreparedRequest;

    use super::*;

    fn key(request: &str) -> Key {
        let (content, model) = ("content".to_owned(), "model".to_owned());
        Key { request: request.parse().unwrap(), content, model }
    }

    #[tokio::test]
    async fn a_requests_items_prepare_it_once() {
        let (preparations, made) = (Preparations::default(), AtomicUsize::new(0));
        let prepare = || async {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Preparation {
                prepared: PreparedRequest::new(GenerationRequest::default(), 1, Vec::new(), ()),
                digest: String::new(),
            })
        };
        let (first, second) = tokio::join!(
            preparations.get(key("r"), prepare()),
            preparations.get(key("r"), prepare())
        );
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        let _again = preparations.get(key("r"), prepare()).await.unwrap();
        let _other = preparations.get(key("s"), prepare()).await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 3, "nobody needed it any more; another request");
        assert_eq!(preparations.0.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_nobody_elses() {
        let preparations = Preparations::default();
        let refused = CallError::new(ErrorKind::InvalidArgument, "no");
        let failed = preparations.get(key("r"), async { Err(refused.clone()) }).await;
        assert_eq!(failed.unwrap_err(), refused);
        let prepared = PreparedRequest::new(GenerationRequest::default(), 1, Vec::new(), ());
        let fine = async { Ok(Preparation { prepared, digest: String::new() }) };
        assert!(preparations.get(key("r"), fine).await.is_ok());
    }
}
