//! Errors over HTTP, in the form that SDKs expect.

use super::{accept::Accept, error::error};
use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use presence_proto::wire::{ErrorInfo, codes};
use serde::Serialize;

/// The header that has an error's code.
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ably-errorcode");

/// A request that failed: the status, the two headers and the body that SDKs look at.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) error: ErrorInfo,
    pub(crate) accept: Accept,
}

impl Accept {
    pub(crate) fn problem(self, error: ErrorInfo) -> Problem {
        Problem { error, accept: self }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: BodyError<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyError<'a> {
    code: u32,
    status_code: u16,
    message: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let ErrorInfo { code, status_code, ref message, .. } = self.error;
        let status = StatusCode::from_u16(status_code).unwrap_or(StatusCode::BAD_REQUEST);
        let body = Body { error: BodyError { code, status_code, message } };
        let mut response = (status, self.accept.body(&body)).into_response();
        let headers = response.headers_mut();
        headers.insert(ERROR_CODE, HeaderValue::from(code));
        // A message that no header can carry is in the body all the same.
        if let Ok(message) = HeaderValue::from_str(message) {
            headers.insert(HeaderName::from_static("x-ably-errormessage"), message);
        }
        response
    }
}

/// Gives every error the protocol's form. The layers of the HTTP server answer in plain text.
pub(crate) async fn in_form(request: Request, next: Next) -> Response {
    let accept = Accept::asked_by(&request);
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    if !refused || response.headers().contains_key(ERROR_CODE) {
        return response;
    }
    let (code, message) = meaning(status, &method);
    let mut formed =
        Problem { error: error(code, status.as_u16(), message), accept }.into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        formed.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    formed
}

/// The protocol's code for a status, and its message.
fn meaning(status: StatusCode, method: &Method) -> (u32, String) {
    match status {
        StatusCode::BAD_REQUEST => {
            (codes::BAD_REQUEST, "The path, the query or the body is malformed".to_owned())
        }
        StatusCode::NOT_FOUND => (codes::NOT_FOUND, "There is nothing at this path".to_owned()),
        StatusCode::METHOD_NOT_ALLOWED => {
            (codes::METHOD_NOT_ALLOWED, format!("There is no {method} of this path"))
        }
        StatusCode::REQUEST_TIMEOUT => {
            (codes::TIMEOUT_ERROR, "The request took too long".to_owned())
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            (codes::MAX_MESSAGE_SIZE_EXCEEDED, "The body is too long".to_owned())
        }
        other => {
            let reason = other.canonical_reason().unwrap_or("The request cannot be served");
            (u32::from(other.as_u16()) * 100, reason.to_owned())
        }
    }
}
