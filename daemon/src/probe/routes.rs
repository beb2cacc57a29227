//! The probe's routes and what they answer.

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hearth_telemetry::metrics::Form;
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

/// What the process counts, in the form that the scraper asks for.
async fn metrics(Shared(state): Shared<State>, headers: HeaderMap) -> Response {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let form = Form::negotiate(Some(&accept.join(",")));
    match state.metrics.encode_as(form) {
        Ok(text) => {
            let headers = [(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept")];
            (headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn status(code: StatusCode, body: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
