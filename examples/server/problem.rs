//! Errors as the protocol says them over HTTP.

use crate::rest::Accept;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use presence_proto::wire::ErrorInfo;
use serde::Serialize;

/// A request that failed: the status, the two headers and the body that SDKs look at.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) error: ErrorInfo,
    pub(crate) accept: Accept,
}

/// An error with its codes.
pub(crate) fn error(code: u32, status: u16, message: impl AsRef<str>) -> ErrorInfo {
    ErrorInfo::new(code, status, message.as_ref())
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
        headers.insert(HeaderName::from_static("x-ably-errorcode"), HeaderValue::from(code));
        // A message that no header can carry is in the body all the same.
        if let Ok(message) = HeaderValue::from_str(message) {
            headers.insert(HeaderName::from_static("x-ably-errormessage"), message);
        }
        response
    }
}
