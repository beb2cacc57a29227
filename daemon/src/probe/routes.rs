//! The probe's routes and what they answer.

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hearth_telemetry::metrics::CONTENT_TYPE;
use serde_json::json;

use super::state::{Readiness, State};

/// All routes of the probe.
pub(super) fn router(state: State) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/health", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// The process runs, and its event loop turns.
async fn live() -> Response {
    status(StatusCode::OK, &json!({ "status": "live" }))
}

/// The process takes requests, or says why it does not.
async fn ready(Shared(state): Shared<State>) -> Response {
    match &*state.readiness.borrow() {
        Readiness::Ready => status(StatusCode::OK, &json!({ "status": "ready" })),
        Readiness::NotReady(reason) => status(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "not ready", "reason": reason }),
        ),
    }
}

async fn metrics(Shared(state): Shared<State>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn status(code: StatusCode, body: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
