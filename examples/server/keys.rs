//! The API keys of an app, and what they and the tokens made with them allow.

use crate::{
    jwt::{self, Claims},
    patterns::{self, Patterns},
    problem::error,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use presence_proto::{
    UnixMillis,
    server::{Capability, Identity},
    wire::ErrorInfo,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt::{Display, Write as _},
    sync::{Arc, Mutex},
};

/// How long a token lives that does not say so, in milliseconds.
const DEFAULT_TTL: i64 = 60 * 60 * 1000;
/// How long a token may live, in milliseconds.
const MAX_TTL: i64 = 24 * 60 * 60 * 1000;
/// How old or how far ahead a signed request may be, in milliseconds.
const REQUEST_AGE: i64 = 15 * 60 * 1000;
/// How many signed requests of a key are remembered so that none is used twice.
const REMEMBERED_REQUESTS: usize = 100_000;

/// The keys of an app, by their names. A name has the form `app.key`.
pub(crate) struct Keys {
    app: String,
    keys: HashMap<String, Key>,
}

/// A key: its secret, and what it allows.
pub(crate) struct Key {
    secret: String,
    capability: Arc<Capability>,
    /// The capability as it was given, to be told in token details.
    capability_text: String,
    used: Mutex<UsedRequests>,
}

/// What credentials allow.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) identity: Identity,
    pub(crate) capability: Arc<Capability>,
    pub(crate) expires: Option<UnixMillis>,
}

/// A request for a token. Signed by `mac`, or made by somebody who has the key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRequest {
    key_name: Option<String>,
    #[serde(default)]
    ttl: Loose,
    #[serde(default)]
    capability: Option<CapabilityField>,
    client_id: Option<String>,
    #[serde(default)]
    timestamp: Loose,
    nonce: Option<String>,
    mac: Option<String>,
}

/// A whole number that may be absent, or be text.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i64),
    Text(String),
    #[default]
    Absent,
}

/// A capability as JSON text, as it is signed, or as an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CapabilityField {
    Text(String),
    Object(Patterns),
}

/// A token, and what it is good for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenDetails {
    token: String,
    key_name: String,
    issued: i64,
    expires: i64,
    capability: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
}

impl Keys {
    /// None yet.
    pub(crate) fn of_app(app: &str) -> Self {
        Self { app: app.to_owned(), keys: HashMap::new() }
    }

    /// Adds a key. False if there is one of this name.
    pub(crate) fn add(&mut self, name: String, key: Key) -> bool {
        self.keys.insert(name, key).is_none()
    }

    /// What a whole key, `name:secret`, allows: any client id.
    ///
    /// # Errors
    ///
    /// 40101 if there is no such key, or its secret is another.
    pub(crate) fn basic(&self, key: &str) -> Result<Grant, ErrorInfo> {
        let (_, key) = self.key(key)?;
        let capability = Arc::clone(&key.capability);
        Ok(Grant { identity: Identity::Any, capability, expires: None })
    }

    /// What a token allows at this time.
    ///
    /// # Errors
    ///
    /// 40102 if it is of another app, 40142 if it has expired, 40144 if it is no token of a key of
    /// this app.
    pub(crate) fn token(&self, token: &str, now: UnixMillis) -> Result<Grant, ErrorInfo> {
        let name = jwt::key_name(token).map_err(|e| no_token(&e))?;
        if app_of(&name).is_some_and(|app| app != self.app) {
            return Err(error(40102, 401, "The token is of another app"));
        }
        let key = self.keys.get(&name).ok_or_else(|| no_token(&"no such key"))?;
        let claims = jwt::verify(token, &key.secret).map_err(|e| no_token(&e))?;
        let expires = claims.exp.saturating_mul(1000);
        if expires <= now.as_millis() {
            return Err(error(40142, 401, "The token has expired"));
        }
        let capability = match &claims.capability {
            None => Arc::clone(&key.capability),
            Some(text) => Arc::new(key.narrowed(&patterns::parse(text)?)),
        };
        Ok(Grant {
            identity: Identity::from_client_id(claims.client_id.as_deref()),
            capability,
            expires: Some(UnixMillis::from_millis(expires)),
        })
    }

    /// Makes a token. `name` is the key's in the request's path; `basic` is a whole key that came
    /// with the request.
    ///
    /// # Errors
    ///
    /// 40101 for a wrong signature or key, 40104 for an old request and 40105 for one used
    /// before, 40003 for a bad lifetime, 40000 for a bad capability, 40160 if nothing is left of it.
    pub(crate) fn issue(
        &self,
        name: &str,
        request: &TokenRequest,
        basic: Option<&str>,
        now: UnixMillis,
    ) -> Result<TokenDetails, ErrorInfo> {
        if request.key_name.as_deref().is_some_and(|named| named != name) {
            return Err(error(40101, 401, "The request is for another key"));
        }
        let key = match basic {
            Some(basic) if request.mac.is_none() => {
                let (named, key) = self.key(basic)?;
                if named != name {
                    return Err(error(40101, 401, "The request is for another key"));
                }
                key
            }
            _ => self.signed_by(name, request, now)?,
        };

        let ttl = request.ttl.number()?.unwrap_or(DEFAULT_TTL);
        if !(1..=MAX_TTL).contains(&ttl) {
            return Err(error(40003, 400, "ttl must be between 1 ms and 24 h"));
        }
        let asked = match &request.capability {
            None => None,
            Some(CapabilityField::Text(text)) if text.is_empty() => None,
            Some(CapabilityField::Text(text)) => Some((patterns::parse(text)?, text.clone())),
            Some(CapabilityField::Object(patterns)) => {
                Some((patterns.clone(), serde_json::json!(patterns).to_string()))
            }
        };
        if let Some((patterns, _)) = &asked
            && !key.allows_some_of(patterns)
        {
            return Err(error(40160, 401, "The key allows nothing of what is asked"));
        }
        let capability = asked.map_or_else(|| key.capability_text.clone(), |(_, text)| text);
        let client_id = request.client_id.clone().filter(|id| !id.is_empty());

        let issued = now.as_millis();
        let expires = issued.saturating_add(ttl);
        let claims = Claims {
            iat: issued / 1000,
            // Whole seconds, and not shorter than what was promised.
            exp: expires.saturating_add(999) / 1000,
            capability: Some(capability.clone()),
            client_id: client_id.clone(),
        };
        let token = jwt::sign(&claims, name, &key.secret)
            .map_err(|e| error(50000, 500, format!("The token cannot be signed: {e}")))?;
        Ok(TokenDetails {
            token,
            key_name: name.to_owned(),
            issued,
            expires,
            capability,
            client_id,
        })
    }

    fn key(&self, key: &str) -> Result<(&str, &Key), ErrorInfo> {
        let (name, secret) = key.split_once(':').ok_or_else(no_such_key)?;
        let (name, known) = self.keys.get_key_value(name).ok_or_else(no_such_key)?;
        // Compared by their keyed hashes, so that the time taken tells nothing.
        let expected = mac(&known.secret)?.chain_update(&known.secret).finalize().into_bytes();
        mac(&known.secret)?.chain_update(secret).verify(&expected).map_err(|_| no_such_key())?;
        Ok((name, known))
    }

    fn signed_by(
        &self,
        name: &str,
        request: &TokenRequest,
        now: UnixMillis,
    ) -> Result<&Key, ErrorInfo> {
        let invalid = || error(40101, 401, "The signature of the token request is wrong");
        let key = self.keys.get(name).ok_or_else(no_such_key)?;
        let given = request.mac.as_deref().ok_or_else(invalid)?;
        let given = STANDARD.decode(given).map_err(|_| invalid())?;
        let signed = request.signed_text(name);
        mac(&key.secret)?.chain_update(&signed).verify_slice(&given).map_err(|_| invalid())?;

        let timestamp = request.timestamp.number()?.unwrap_or_default();
        if (now.as_millis() - timestamp).abs() > REQUEST_AGE {
            return Err(error(40104, 401, "The token request is too old, or from the future"));
        }
        let fresh = key.used.lock().is_ok_and(|mut used| used.insert(&signed, now));
        if fresh { Ok(key) } else { Err(error(40105, 401, "The token request was used before")) }
    }
}

impl Key {
    /// A key that allows all, or what the patterns say.
    pub(crate) fn new(secret: String, capability: Option<Patterns>) -> Self {
        let (capability, capability_text) = match capability {
            None => (Capability::all(), r#"{"[*]*":["*"]}"#.to_owned()),
            Some(patterns) => {
                (patterns::capability(&patterns), serde_json::json!(patterns).to_string())
            }
        };
        let capability = Arc::new(capability);
        Self { secret, capability, capability_text, used: Mutex::default() }
    }

    pub(crate) fn has_secret(&self) -> bool {
        !self.secret.is_empty()
    }

    /// Whether anything can be left of a capability that somebody with this key hands on. Of a
    /// pattern with a `*` only the operations are looked at.
    fn allows_some_of(&self, patterns: &Patterns) -> bool {
        patterns.iter().any(|(pattern, names)| {
            let own = match pattern.contains('*') {
                true => self.capability.anywhere(),
                false => self.capability.on(pattern),
            };
            own.intersects(patterns::operations(names))
        })
    }

    /// What is left of a capability that somebody with this key hands on.
    fn narrowed(&self, patterns: &Patterns) -> Capability {
        patterns::capability(patterns).within(Arc::clone(&self.capability))
    }
}

impl TokenRequest {
    /// What the signature is of.
    fn signed_text(&self, name: &str) -> String {
        let capability = match &self.capability {
            Some(CapabilityField::Text(text)) => text.clone(),
            Some(CapabilityField::Object(patterns)) => serde_json::json!(patterns).to_string(),
            None => String::new(),
        };
        let mut text = String::new();
        let lines = [
            name,
            &self.ttl.text(),
            &capability,
            self.client_id.as_deref().unwrap_or_default(),
            &self.timestamp.text(),
            self.nonce.as_deref().unwrap_or_default(),
        ];
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

impl Loose {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Absent => String::new(),
        }
    }

    fn number(&self) -> Result<Option<i64>, ErrorInfo> {
        match self {
            Self::Number(number) => Ok(Some(*number)),
            Self::Text(text) if text.is_empty() => Ok(None),
            Self::Text(text) => {
                text.parse().map(Some).map_err(|_| error(40003, 400, "Not a whole number"))
            }
            Self::Absent => Ok(None),
        }
    }
}

/// The signed requests that were used and are not yet too old to be used again, by their digests.
#[derive(Default)]
struct UsedRequests {
    seen: HashSet<[u8; 32]>,
    order: VecDeque<(UnixMillis, [u8; 32])>,
}

impl UsedRequests {
    /// False if it was used before, or if there are too many to remember.
    fn insert(&mut self, signed: &str, now: UnixMillis) -> bool {
        while let Some((used, digest)) = self.order.front()
            && now.as_millis() - used.as_millis() > 2 * REQUEST_AGE
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

fn mac(secret: &str) -> Result<Hmac<Sha256>, ErrorInfo> {
    Hmac::new_from_slice(secret.as_bytes()).map_err(|_| error(50000, 500, "Unusable secret"))
}

/// The app of a key: what is before the dot of its name, if the name has the form `app.key`.
pub(crate) fn app_of(name: &str) -> Option<&str> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let (app, key) = name.split_once('.')?;
    (is_plain(app) && is_plain(key)).then_some(app)
}

pub(crate) fn no_credentials() -> ErrorInfo {
    error(40101, 401, "Neither a key nor a token was given")
}

pub(crate) fn no_such_key() -> ErrorInfo {
    error(40101, 401, "No such key")
}

pub(crate) fn no_token(why: &dyn Display) -> ErrorInfo {
    error(40144, 401, format!("The token cannot be verified: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_proto::server::Operations;

    const NOW: UnixMillis = UnixMillis::from_millis(1_700_000_000_000);

    fn keys() -> Keys {
        jwt::install();
        let mut keys = Keys::of_app("app");
        let patterns = patterns::parse(r#"{"room:*":["presence","subscribe"]}"#).unwrap();
        assert!(keys.add("app.all".to_owned(), Key::new("secret".to_owned(), None)));
        assert!(keys.add("app.room".to_owned(), Key::new("other".to_owned(), Some(patterns))));
        keys
    }

    fn request(json: serde_json::Value) -> TokenRequest {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_key_needs_its_own_secret() {
        let keys = keys();
        assert_eq!(keys.basic("app.all:secret").unwrap().identity, Identity::Any);
        for wrong in ["app.all:other", "app.all:", "app.all", "app.none:secret", ""] {
            assert_eq!(keys.basic(wrong).unwrap_err().code, 40101, "{wrong}");
        }
    }

    #[test]
    fn a_token_never_allows_more_than_its_key() {
        let keys = keys();
        let asked = request(serde_json::json!({"capability": r#"{"*":["*"]}"#, "clientId": "al"}));
        let details = keys.issue("app.room", &asked, Some("app.room:other"), NOW).unwrap();
        let grant = keys.token(&details.token, NOW).unwrap();
        assert_eq!(grant.identity, Identity::Client("al".into()));
        let expected = Operations::PRESENCE | Operations::SUBSCRIBE;
        assert_eq!(grant.capability.on("room:1"), expected);
        assert_eq!(grant.capability.on("hall"), Operations::empty());

        let nothing = request(serde_json::json!({"capability": r#"{"hall":["*"]}"#}));
        let refused = keys.issue("app.room", &nothing, Some("app.room:other"), NOW);
        assert_eq!(refused.unwrap_err().code, 40160);
    }

    #[test]
    fn a_token_expires_and_cannot_be_forged() {
        let keys = keys();
        let asked = request(serde_json::json!({"ttl": 5000}));
        let details = keys.issue("app.all", &asked, Some("app.all:secret"), NOW).unwrap();
        let at = |ms: i64| UnixMillis::from_millis(NOW.as_millis() + ms);
        assert!(keys.token(&details.token, at(4999)).is_ok());
        assert_eq!(keys.token(&details.token, at(5000)).unwrap_err().code, 40142);

        let claims = Claims { iat: 0, exp: i64::MAX / 1000, capability: None, client_id: None };
        for (name, secret) in [("app.all", "guess"), ("app.none", "secret")] {
            let forged = jwt::sign(&claims, name, secret).unwrap();
            assert_eq!(keys.token(&forged, NOW).unwrap_err().code, 40144);
        }
        assert_eq!(keys.token("rubbish", NOW).unwrap_err().code, 40144);
    }

    #[test]
    fn a_signed_request_counts_once_and_not_for_long() {
        let keys = keys();
        let signed = |timestamp: i64, nonce: &str, secret: &str| {
            let text = format!("app.all\n\n\n\n{timestamp}\n{nonce}\n");
            let tag = mac(secret).unwrap().chain_update(text).finalize().into_bytes();
            request(serde_json::json!({
                "keyName": "app.all", "timestamp": timestamp, "nonce": nonce,
                "mac": STANDARD.encode(tag),
            }))
        };
        let issue = |request| keys.issue("app.all", &request, None, NOW).map_err(|e| e.code);
        let now = NOW.as_millis();
        assert!(issue(signed(now, "one", "secret")).is_ok());
        assert_eq!(issue(signed(now, "one", "secret")).err(), Some(40105));
        assert!(issue(signed(now, "two", "secret")).is_ok());
        assert_eq!(issue(signed(now, "three", "guess")).err(), Some(40101));
        assert_eq!(issue(signed(now - REQUEST_AGE - 1, "four", "secret")).err(), Some(40104));
        assert_eq!(issue(request(serde_json::json!({"keyName": "app.all"}))).err(), Some(40101));
    }
}
