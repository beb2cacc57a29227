//! The methods that a program adds which embeds the worker.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use hearth_api::{CallError, ErrorKind};
use hearth_protocol::methods::Method;
use hearth_protocol::role::Role;

use super::call::{Answer, Call};

/// A registered method: a future that is dropped when the caller cancels or goes away.
pub type Handler = Arc<
    dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>> + Send + Sync,
>;

/// The methods that an embedding program adds.
#[derive(Default)]
pub struct Methods(HashMap<String, (Vec<Role>, Handler)>);

/// Why a method can't be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("method {0:?} is there already: choose another name")]
pub struct NameConflict(pub String);

impl Methods {
    /// Adds a method that the given roles may call.
    ///
    /// # Errors
    /// [`NameConflict`], also for a built-in method's name.
    pub fn register(
        &mut self,
        name: &str,
        roles: &[Role],
        handler: Handler,
    ) -> Result<(), NameConflict> {
        if name.parse::<Method>().is_ok() || self.0.contains_key(name) {
            return Err(NameConflict(name.to_owned()));
        }
        self.0.insert(name.to_owned(), (roles.to_vec(), handler));
        Ok(())
    }

    /// The method of that name, if the role may call it.
    pub(crate) fn find(&self, name: &str, role: Role) -> Result<&Handler, CallError> {
        let Some((roles, handler)) = self.0.get(name) else {
            let built_in = Method::ALL.iter().map(|method| method.name());
            let mut known: Vec<&str> = built_in.chain(self.0.keys().map(String::as_str)).collect();
            known.sort_unstable();
            let message = format!("method {name:?} is unknown: known are {}", known.join(", "));
            return Err(CallError::new(ErrorKind::UnknownMethod, message));
        };
        if !roles.contains(&role) {
            return Err(denied(role, name));
        }
        Ok(handler)
    }
}

pub(crate) fn denied(role: Role, method: &str) -> CallError {
    let message =
        format!("role {role} may not call {method}: use a certificate with a role that may");
    CallError::new(ErrorKind::PermissionDenied, message)
}
