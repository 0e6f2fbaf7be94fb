use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::Diagnostic;

use crate::api::{ApiError, ApiErrorBody};
use crate::dataplane::Gone;

/// Why a request was not done, with the status clients get.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no NIC `{0}`; `clearway nic list` names them")]
    NicNotFound(String),
    #[error("guest `{0}` has several NICs; say which: {1}")]
    NicAmbiguous(String, String),
    #[error("no guest `{0}`; `clearway nic list` names them")]
    GuestNotFound(String),
    #[error("this agent has no such path; is it older than its client?")]
    UnknownPath,
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    #[error("topology does not validate: {count} errors")]
    Topology {
        count: usize,
        details: Vec<Diagnostic>,
    },
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl RequestError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            RequestError::NicNotFound(_) => (StatusCode::NOT_FOUND, "NicNotFound"),
            RequestError::NicAmbiguous(..) => (StatusCode::BAD_REQUEST, "NicAmbiguous"),
            RequestError::GuestNotFound(_) => (StatusCode::NOT_FOUND, "GuestNotFound"),
            RequestError::UnknownPath => (StatusCode::NOT_FOUND, "UnknownPath"),
            RequestError::Conflict(_) => (StatusCode::CONFLICT, "Conflict"),
            RequestError::Invalid(_) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            RequestError::Topology { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "InvalidTopology"),
            RequestError::Gone(_) => (StatusCode::SERVICE_UNAVAILABLE, "DataPlaneStopped"),
            RequestError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Failed"),
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let message = self.to_string();
        let details = match self {
            RequestError::Topology { details, .. } => details,
            _ => Vec::new(),
        };
        let error = ApiErrorBody {
            code: code.to_owned(),
            message,
            details,
        };
        (status, Json(ApiError { error })).into_response()
    }
}
