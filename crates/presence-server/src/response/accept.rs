//! The format of a response.

use super::query::{Pairs, last};
use axum::{
    extract::Request,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use presence_proto::wire::{Format, PresenceMessage};
use serde::Serialize;

/// The format of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept(Format);

impl Accept {
    pub(crate) const JSON: Self = Self(Format::Json);

    /// By the parameter `format`, else by the header `Accept`.
    pub(crate) fn of(headers: &HeaderMap, params: &Pairs) -> Self {
        let by_header = || {
            headers
                .get(header::ACCEPT)
                .and_then(|accept| accept.to_str().ok())
                .filter(|accept| accept.contains("application/x-msgpack"))
                .map(|_| Format::MessagePack)
        };
        let by_parameter = last(params, "format").and_then(Format::from_name);
        Self(by_parameter.or_else(by_header).unwrap_or(Format::Json))
    }

    /// The format that a request asks for.
    pub(crate) fn asked_by(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self::of(request.headers(), &serde_urlencoded::from_str(query).unwrap_or_default())
    }

    const fn content_type(self) -> &'static str {
        match self.0 {
            Format::Json => "application/json",
            Format::MessagePack => "application/x-msgpack",
        }
    }

    /// A body in this format.
    pub(crate) fn body(self, value: &impl Serialize) -> Response {
        let bytes = match self.0 {
            Format::Json => serde_json::to_vec(value).ok(),
            Format::MessagePack => rmp_serde::to_vec_named(value).ok(),
        };
        self.bytes(bytes.unwrap_or_default())
    }

    /// A body of presence messages.
    pub(crate) fn list(self, messages: &[PresenceMessage]) -> Response {
        self.bytes(PresenceMessage::encode_list(messages, self.0))
    }

    fn bytes(self, bytes: Vec<u8>) -> Response {
        ([(header::CONTENT_TYPE, self.content_type())], bytes).into_response()
    }
}
