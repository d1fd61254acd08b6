//! Requests for tokens, as clients send them (RSA9, TE2 and following).

use super::{
    fields::Fields,
    patterns::{self, Patterns},
};
use crate::response::error;
use presence_proto::wire::codes;
use presence_proto::{UnixMillis, wire::ErrorInfo};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashSet, VecDeque},
    fmt::Write as _,
};

/// How old or how far ahead a signed request may be, in milliseconds.
const REQUEST_AGE: u64 = 15 * 60 * 1000;
/// The fewest characters of a nonce (TE5 wants them to be random).
const MIN_NONCE: usize = 16;
/// How many signed requests of a key are remembered so that none is used twice.
const REMEMBERED_REQUESTS: usize = 100_000;

/// A token with its details, as SDKs expect them (TD1).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TokenDetails {
    /// The token (TD2).
    pub token: String,
    /// The name of the key that it was issued for.
    pub key_name: String,
    /// The time of issue, in milliseconds since the Unix epoch (TD4).
    pub issued: i64,
    /// The time of expiry, in milliseconds since the Unix epoch (TD3).
    pub expires: i64,
    /// The capability, as JSON text (TD5).
    pub capability: String,
    /// The client id that the token is limited to (TD6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl TokenDetails {
    /// A token with the full capability of its key, valid between two times in milliseconds since
    /// the Unix epoch.
    #[must_use]
    pub fn new(token: String, key_name: &str, issued: i64, expires: i64) -> Self {
        let capability = patterns::EVERYTHING.to_owned();
        Self { token, key_name: key_name.to_owned(), issued, expires, capability, client_id: None }
    }
}

/// A request for a token (TE1). It is signed, or comes with a whole key.
#[derive(Debug)]
pub struct TokenRequest {
    /// The key name in the path of the HTTP request.
    pub(super) path_key_name: String,
    /// The whole key that came with the HTTP request, `name:secret`.
    pub(super) basic: Option<String>,
    pub(super) key_name: Option<String>,
    ttl: Option<Whole>,
    pub(super) capability: Option<Asked>,
    pub(super) client_id: Option<String>,
    timestamp: Option<Whole>,
    nonce: Option<String>,
    pub(super) mac: Option<String>,
}

/// A whole number, and its digits as they are signed.
#[derive(Debug)]
struct Whole {
    number: i64,
    digits: String,
}

/// A capability that is asked for, and its text as it is signed.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) patterns: Patterns,
    pub(super) text: String,
}

impl TokenRequest {
    /// The name of the key that a token is requested for (TE2).
    #[must_use]
    pub fn key_name(&self) -> &str {
        &self.path_key_name
    }

    /// The whole key that came with the request, `name:secret`. It is not verified.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.basic.as_deref()
    }

    /// The requested client id (TE6).
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The requested capability, as JSON text (TE5).
    #[must_use]
    pub fn capability(&self) -> Option<&str> {
        self.capability.as_ref().map(|asked| &*asked.text)
    }

    /// The requested lifetime, in milliseconds (TE4).
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        self.ttl.as_ref().map(|ttl| ttl.number)
    }

    /// Reads the body of an HTTP request.
    ///
    /// # Errors
    ///
    /// 40001 if it is not an object, 40003 or 40000 (capability) if a field is malformed.
    pub(crate) fn new(
        path_key_name: String,
        basic: Option<String>,
        body: Value,
    ) -> Result<Self, ErrorInfo> {
        let mut fields = Fields::of(body).map_err(|what| {
            error(codes::INVALID_REQUEST_BODY, 400, format!("The body is {what}"))
        })?;
        let malformed = |what: String| error(codes::INVALID_PARAMETER_VALUE, 400, what);
        let text = |fields: &mut Fields, name| fields.text(name).map_err(malformed);
        Ok(Self {
            path_key_name,
            basic,
            key_name: text(&mut fields, "keyName")?,
            ttl: whole(&mut fields, "ttl").map_err(malformed)?,
            capability: asked(fields.take("capability"))?,
            client_id: text(&mut fields, "clientId")?.filter(|id| !id.is_empty()),
            timestamp: whole(&mut fields, "timestamp").map_err(malformed)?,
            nonce: text(&mut fields, "nonce")?,
            mac: text(&mut fields, "mac")?,
        })
    }

    /// The text that is signed (RSA9g).
    pub(super) fn signed_text(&self) -> String {
        let digits = |whole: &Option<Whole>| match whole {
            Some(Whole { digits, .. }) => digits.clone(),
            None => String::new(),
        };
        let mut text = String::new();
        let lines = [
            self.path_key_name.as_str(),
            &digits(&self.ttl),
            self.capability.as_ref().map_or("", |asked| asked.text.as_str()),
            self.client_id.as_deref().unwrap_or_default(),
            &digits(&self.timestamp),
            self.nonce.as_deref().unwrap_or_default(),
        ];
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Whether a request that is signed can be used now.
    ///
    /// # Errors
    ///
    /// 40003 for a nonce that is too short, 40104 for a request that is too old or from the future.
    pub(super) fn check(&self, now: UnixMillis) -> Result<(), ErrorInfo> {
        if self.nonce.as_deref().unwrap_or_default().chars().count() < MIN_NONCE {
            let message = format!("nonce must have {MIN_NONCE} characters at least");
            return Err(error(codes::INVALID_PARAMETER_VALUE, 400, message));
        }
        let timestamp = self.timestamp.as_ref().map_or(0, |timestamp| timestamp.number);
        if now.as_millis().abs_diff(timestamp) > REQUEST_AGE {
            return Err(error(
                codes::TOKEN_REQUEST_TIMESTAMP_OUTSIDE_PERMITTED_WINDOW,
                401,
                "The token request is too old, or from the future",
            ));
        }
        Ok(())
    }
}

/// Takes a whole number out, of milliseconds. It may be text, and empty text is none.
fn whole(fields: &mut Fields, name: &str) -> Result<Option<Whole>, String> {
    let digits = match fields.take(name) {
        None => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => match number.as_f64() {
            // There are encoders that write all numbers as floats.
            Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Some(other) => other.to_string(),
    };
    match digits.parse() {
        Ok(number) => Ok(Some(Whole { number, digits })),
        Err(_) => Err(format!("{name} is not a whole number of milliseconds")),
    }
}

/// The capability that is asked for: as JSON text, as it is signed, or as an object.
fn asked(field: Option<Value>) -> Result<Option<Asked>, ErrorInfo> {
    match field {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(Asked { patterns: patterns::parse(&text)?, text })),
        Some(value) => {
            let patterns =
                patterns::of(value).map_err(|what| error(codes::BAD_REQUEST, 400, what))?;
            let text = patterns::text(&patterns);
            Ok(Some(Asked { patterns, text }))
        }
    }
}

/// The signed requests that were used and are not yet too old to be used again, by their digests.
#[derive(Default)]
pub(super) struct UsedRequests {
    seen: HashSet<[u8; 32]>,
    order: VecDeque<(UnixMillis, [u8; 32])>,
}

impl UsedRequests {
    /// False if it was used before, or if there are too many to remember.
    pub(super) fn insert(&mut self, signed: &str, now: UnixMillis) -> bool {
        while let Some((used, digest)) = self.order.front()
            && now.as_millis().abs_diff(used.as_millis()) > 2 * REQUEST_AGE
        {
            self.seen.remove(digest);
            self.order.pop_front();
        }
        let digest = Sha256::digest(signed).into();
        if self.seen.len() >= REMEMBERED_REQUESTS || !self.seen.insert(digest) {
            return false;
        }
        self.order.push_back((now, digest));
        true
    }
}
