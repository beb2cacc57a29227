//! One call to many workers: who runs it, whose answer comes back, one envelope per rank.
//!
//! The fan-out is concurrent, so it takes as long as the slowest rank, and the timeout cancels what
//! is still open. Nothing is retried here: a caller that asks every rank wants to know each answer.

mod envelope;
mod fan_out;
mod options;
mod targets;

use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, RequestId, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::Method;

use crate::Engine;
use crate::executor::OutgoingCall;
use crate::fleet::WorkerView;
use crate::known_as::{self, What};

use fan_out::{control_call, fan_out};
use targets::{everyone, targets};

pub(crate) use fan_out::cancel;

pub use envelope::{Envelope, RawEnvelope, WorkerHealth};
pub use options::{Exec, ReplyFrom, RpcOptions};

impl Engine {
    /// Calls a method on every worker, or on one, and returns an envelope per worker in the order
    /// of their ranks. A worker that can't be reached has an error in its envelope.
    ///
    /// # Errors
    /// `invalid_argument` for arguments that are no object, a rank that no worker has or a timeout
    /// of zero; `no_worker` for an empty fleet. What a worker reports is in its envelope.
    pub async fn collective_rpc(
        &self,
        method: &str,
        args: serde_json::Value,
        options: RpcOptions,
    ) -> Result<Vec<Envelope>, CallError> {
        let envelopes = self.collective_raw(method, encode_args(&args)?, options).await?;
        Ok(envelopes.into_iter().map(Envelope::from).collect())
    }

    /// [`Engine::collective_rpc`] with arguments and values as they travel: MessagePack maps.
    ///
    /// # Errors
    /// As [`Engine::collective_rpc`].
    pub async fn collective_raw(
        &self,
        method: &str,
        args: Bytes,
        options: RpcOptions,
    ) -> Result<Vec<RawEnvelope>, CallError> {
        self.collective_with(method, args, Vec::new(), options).await
    }

    /// [`Engine::collective_raw`] with bulk parts, such as tensors, which every worker that runs it
    /// receives.
    ///
    /// # Errors
    /// As [`Engine::collective_rpc`].
    pub async fn collective_with(
        &self,
        method: &str,
        args: Bytes,
        attachments: Vec<(Attachment, Bytes)>,
        options: RpcOptions,
    ) -> Result<Vec<RawEnvelope>, CallError> {
        check_timeout(options.timeout)?;
        let view = self.view();
        let targets = targets(&view, options)?;
        let call = OutgoingCall { attachments, ..control_call(method, args, options.timeout) };
        let mut envelopes = self.call_each(&targets, &call, options.timeout).await;
        if let ReplyFrom::Unique(rank) = options.reply {
            envelopes.retain(|envelope| envelope.rank == Some(rank));
        }
        Ok(envelopes)
    }

    /// Calls a method on one worker, whatever its rank.
    ///
    /// # Errors
    /// `invalid_argument` for arguments that are no object or a timeout of zero; `worker_lost` for
    /// a worker that isn't known any more; what the worker reports.
    pub async fn call_worker(
        &self,
        worker: &WorkerId,
        method: &str,
        args: serde_json::Value,
        timeout: Duration,
    ) -> Result<serde_json::Value, CallError> {
        check_timeout(timeout)?;
        let call = control_call(method, encode_args(&args)?, timeout);
        let view = self.view();
        let target = everyone(&view).find(|known| known.id == *worker);
        let answers = self.call_each(target.as_slice(), &call, timeout).await;
        let unknown = || {
            let message = format!("worker {worker} is not known any more");
            CallError::new(ErrorKind::WorkerLost, message)
        };
        answers.into_iter().next().map(Envelope::from).ok_or_else(unknown)?.outcome
    }

    /// Asks every worker for its health, all at once.
    pub async fn check_health(&self, timeout: Duration) -> Vec<WorkerHealth> {
        let view = self.view();
        let targets: Vec<_> = everyone(&view).collect();
        let args = Bytes::from_static(codec::EMPTY);
        let call = control_call(Method::CheckHealth.name(), args, timeout);
        let envelopes = fan_out(self.executor(), &targets, &call, timeout).await;
        envelopes.into_iter().map(WorkerHealth::from).collect()
    }

    /// Cancels a request, whoever submitted it, on every worker that has a part of it.
    pub async fn cancel(&self, id: &RequestId) -> Vec<Envelope> {
        let envelopes = cancel(self.executor(), id).await;
        envelopes.into_iter().map(Envelope::from).collect()
    }

    /// Calls workers concurrently. If they don't know the method, the error says what it is called
    /// here.
    async fn call_each(
        &self,
        targets: &[&WorkerView],
        call: &OutgoingCall,
        timeout: Duration,
    ) -> Vec<RawEnvelope> {
        let mut envelopes = fan_out(self.executor(), targets, call, timeout).await;
        let hint = known_as::hint(What::Method, &call.method);
        for envelope in &mut envelopes {
            if let Err(error) = &mut envelope.outcome
                && error.kind == ErrorKind::UnknownMethod
            {
                error.message += &hint;
            }
        }
        envelopes
    }
}

fn check_timeout(timeout: Duration) -> Result<(), CallError> {
    if timeout.is_zero() {
        return Err(CallError::invalid("timeout", "timeout is 0: give the time to wait"));
    }
    Ok(())
}

/// JSON arguments as they travel. None at all is an empty map.
fn encode_args(args: &serde_json::Value) -> Result<Bytes, CallError> {
    match args {
        serde_json::Value::Null => Ok(Bytes::from_static(codec::EMPTY)),
        serde_json::Value::Object(_) => codec::encode(args).map(Bytes::from).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "args don't fit").caused_by(&error)
        }),
        other => Err(CallError::invalid(
            "args",
            format!("args is {other}: give an object, as in {{\"level\": 1}}"),
        )),
    }
}
