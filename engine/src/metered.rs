//! An executor whose calls are counted. An engine without metrics does without it.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_api::{CallError, WorkerId};
use hearth_protocol::methods::Method;
use tokio::sync::watch;

use crate::executor::{CallEvent, CallStream, Executor, OutgoingCall};
use crate::fleet::FleetView;
use crate::metrics::{CallTimer, CoordinatorMetrics};

/// The label of methods that a program has registered: their names could be any.
const OTHER: &str = "other";

/// Counts the calls of another executor.
pub(crate) struct MeteredExecutor {
    executor: Arc<dyn Executor>,
    metrics: CoordinatorMetrics,
}

/// A call that is counted when it ends.
struct Call {
    stream: Box<dyn CallStream>,
    timer: Option<CallTimer>,
}

impl MeteredExecutor {
    pub(crate) fn new(executor: Arc<dyn Executor>, metrics: CoordinatorMetrics) -> Self {
        Self { executor, metrics }
    }
}

#[async_trait]
impl Executor for MeteredExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.executor.fleet()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        let method = call.method.parse::<Method>().ok();
        let item = (method == Some(Method::Generate)).then_some(call.attempt);
        let timer = self.metrics.call_began(method.map_or(OTHER, Method::name), item);
        match self.executor.call(worker, call).await {
            Ok(stream) => Ok(Box::new(Call { stream, timer: Some(timer) })),
            Err(error) => {
                timer.ended(Some(error.kind.code()));
                Err(error)
            }
        }
    }

    async fn close(&self) {
        self.executor.close().await;
    }

    fn unended(&self) -> Option<String> {
        self.executor.unended()
    }
}

#[async_trait]
impl CallStream for Call {
    async fn next(&mut self) -> Result<CallEvent, CallError> {
        let event = self.stream.next().await;
        let failure = match &event {
            Ok(CallEvent::Reply(reply)) => reply.outcome.as_ref().err().map(|error| error.kind),
            Ok(_) => return event,
            Err(error) => Some(error.kind),
        };
        if let Some(timer) = self.timer.take() {
            timer.ended(failure.map(hearth_api::ErrorKind::code));
        }
        event
    }
}
