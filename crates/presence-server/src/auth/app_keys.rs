//! The API keys of an app, and what they and the tokens made with them allow.

use super::{
    Grant, TokenDetails, TokenRequest,
    jwt::{self, Claims},
    patterns::{self, Patterns},
    token_request::UsedRequests,
};
use crate::response::error;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use presence_proto::wire::codes;
use presence_proto::{
    UnixMillis,
    server::{Capability, Identity},
    wire::ErrorInfo,
};
use sha2::Sha256;
use std::{
    collections::HashMap,
    fmt::{self, Display},
    sync::{Arc, Mutex},
};
use tracing::error;

/// Default lifetime of a token, in milliseconds.
const DEFAULT_TTL: i64 = 60 * 60 * 1000;
/// Maximum lifetime of a token, in milliseconds.
const MAX_TTL: i64 = 24 * 60 * 60 * 1000;
/// Tolerated clock skew of the issuer of a token, in milliseconds.
const LEEWAY: i64 = 60 * 1000;

/// The keys of an app, by their names. A name has the form `app.key`.
#[derive(Debug)]
pub(super) struct AppKeys {
    app: String,
    keys: HashMap<String, Key>,
}

/// A key: its secret and its capability.
pub(super) struct Key {
    secret: String,
    capability: Arc<Capability>,
    /// The capability as it was configured, for token details.
    capability_text: String,
    used: Mutex<UsedRequests>,
}

/// Without its secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("capability", &self.capability_text).finish_non_exhaustive()
    }
}

impl AppKeys {
    /// No keys.
    pub(super) fn new(app: &str) -> Self {
        jwt::install();
        Self { app: app.to_owned(), keys: HashMap::new() }
    }

    /// Adds a key. False if there is one of this name.
    pub(super) fn add(&mut self, name: String, key: Key) -> bool {
        self.keys.insert(name, key).is_none()
    }

    /// What a whole key, `name:secret`, allows: any client id.
    ///
    /// # Errors
    ///
    /// 40101 if there is no such key, or its secret is another.
    pub(super) fn basic(&self, key: &str) -> Result<Grant, ErrorInfo> {
        let (_, key) = self.key(key)?;
        let capability = Arc::clone(&key.capability);
        Ok(Grant::new(&*self.app, Identity::Any, capability))
    }

    /// What a token of the key `name` allows at this time.
    ///
    /// # Errors
    ///
    /// 40142 if it has expired, 40144 if it is not a token of a key of this app, is not valid yet or
    /// is valid for too long, 40000 for a bad capability.
    pub(super) fn token(
        &self,
        name: &str,
        token: &str,
        now: UnixMillis,
    ) -> Result<Grant, ErrorInfo> {
        let key = self.keys.get(name).ok_or_else(|| no_token(&"no such key"))?;
        let claims = jwt::verify(token, &key.secret).map_err(|e| no_token(&e))?;
        in_time(&claims, now)?;
        let capability = match &claims.capability {
            None => Arc::clone(&key.capability),
            Some(text) => Arc::new(key.narrowed(&patterns::parse(text)?)),
        };
        let identity = Identity::from_client_id(claims.client_id.as_deref());
        Ok(Grant::new(&*self.app, identity, capability).until(claims.exp))
    }

    /// Issues a token.
    ///
    /// # Errors
    ///
    /// 40101 for a wrong signature or key, 40104 for an old request and 40105 for one used
    /// before, 40003 for a bad lifetime or nonce, 40000 for a bad capability, 40160 if nothing is left of it.
    pub(super) fn issue(
        &self,
        request: &TokenRequest,
        now: UnixMillis,
    ) -> Result<TokenDetails, ErrorInfo> {
        let name = &*request.path_key_name;
        if request.key_name.as_deref().is_some_and(|named| named != name) {
            return Err(error(codes::INVALID_CREDENTIALS, 401, "The request is for another key"));
        }
        let key = match request.basic.as_deref() {
            Some(basic) if request.mac.is_none() => {
                let (named, key) = self.key(basic)?;
                if named != name {
                    return Err(error(
                        codes::INVALID_CREDENTIALS,
                        401,
                        "The request is for another key",
                    ));
                }
                key
            }
            _ => self.signed_by(name, request, now)?,
        };

        let ttl = request.ttl().unwrap_or(DEFAULT_TTL);
        if !(1..=MAX_TTL).contains(&ttl) {
            return Err(error(
                codes::INVALID_PARAMETER_VALUE,
                400,
                "ttl must be between 1 ms and 24 h",
            ));
        }
        let capability = match &request.capability {
            None => key.capability_text.clone(),
            Some(asked) if key.allows_some_of(&asked.patterns) => asked.text.clone(),
            Some(_) => {
                return Err(error(
                    codes::CAPABILITY_DENIED,
                    401,
                    "The key allows nothing of what is asked",
                ));
            }
        };
        let client_id = request.client_id.clone();

        let expires = UnixMillis::from_millis(now.as_millis().saturating_add(ttl));
        let claims = Claims {
            iat: Some(now),
            nbf: None,
            exp: expires,
            capability: Some(capability.clone()),
            client_id: client_id.clone(),
        };
        let token = jwt::sign(&claims, name, &key.secret).map_err(|failure| {
            error!("a token cannot be signed: {failure}");
            error(codes::INTERNAL_ERROR, 500, "The token cannot be signed")
        })?;
        let mut details = TokenDetails::new(token, name, now.as_millis(), expires.as_millis());
        details.capability = capability;
        details.client_id = client_id;
        Ok(details)
    }

    fn key(&self, key: &str) -> Result<(&str, &Key), ErrorInfo> {
        let (name, secret) = key.split_once(':').ok_or_else(no_such_key)?;
        let (name, known) = self.keys.get_key_value(name).ok_or_else(no_such_key)?;
        // Compared by their keyed hashes, so that the time taken reveals nothing.
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
        let invalid = || {
            error(codes::INVALID_CREDENTIALS, 401, "The signature of the token request is wrong")
        };
        let key = self.keys.get(name).ok_or_else(no_such_key)?;
        let given = request.mac.as_deref().ok_or_else(invalid)?;
        let given = STANDARD.decode(given).map_err(|_| invalid())?;
        let signed = request.signed_text();
        mac(&key.secret)?.chain_update(&signed).verify_slice(&given).map_err(|_| invalid())?;

        request.check(now)?;
        let fresh = key.used.lock().is_ok_and(|mut used| used.insert(&signed, now));
        if fresh {
            Ok(key)
        } else {
            Err(error(codes::NONCE_VALUE_REPLAYED, 401, "The token request was used before"))
        }
    }
}

impl Key {
    /// A key that allows all, or what the patterns say.
    pub(super) fn new(secret: String, capability: Option<Patterns>) -> Self {
        let (capability, capability_text) = match capability {
            None => (Capability::all(), patterns::EVERYTHING.to_owned()),
            Some(patterns) => (patterns::capability(&patterns), patterns::text(&patterns)),
        };
        let capability = Arc::new(capability);
        Self { secret, capability, capability_text, used: Mutex::default() }
    }

    pub(super) fn has_secret(&self) -> bool {
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

    /// The part of a delegated capability that this key allows.
    fn narrowed(&self, patterns: &Patterns) -> Capability {
        patterns::capability(patterns).within(Arc::clone(&self.capability))
    }
}

fn mac(secret: &str) -> Result<Hmac<Sha256>, ErrorInfo> {
    Hmac::new_from_slice(secret.as_bytes())
        .map_err(|_| error(codes::INTERNAL_ERROR, 500, "Unusable secret"))
}

/// Checks that a token is valid now, and not for too long.
fn in_time(claims: &Claims, now: UnixMillis) -> Result<(), ErrorInfo> {
    let now = now.as_millis();
    let is_ahead = |time: Option<UnixMillis>| {
        time.is_some_and(|time| time.as_millis() > now.saturating_add(LEEWAY))
    };
    let exp = claims.exp.as_millis();
    if exp <= now {
        return Err(error(codes::TOKEN_EXPIRED, 401, "The token has expired"));
    }
    if is_ahead(claims.nbf) {
        return Err(no_token(&"it is not good yet (nbf)"));
    }
    if is_ahead(claims.iat) {
        return Err(no_token(&"it was issued in the future (iat)"));
    }
    let lives_for = |since: i64, most: i64| exp.saturating_sub(since) > most;
    if lives_for(now, MAX_TTL + LEEWAY)
        || claims.iat.is_some_and(|iat| lives_for(iat.as_millis(), MAX_TTL))
    {
        return Err(no_token(&"it is good for more than 24 h (exp)"));
    }
    Ok(())
}

/// The app of a key: the part of its name before the dot. `None` unless the name is `app.key`.
pub(super) fn app_of(name: &str) -> Option<&str> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let (app, key) = name.split_once('.')?;
    (is_plain(app) && is_plain(key)).then_some(app)
}

pub(crate) fn no_credentials() -> ErrorInfo {
    error(codes::INVALID_CREDENTIALS, 401, "Neither a key nor a token was given")
}

pub(super) fn no_such_key() -> ErrorInfo {
    error(codes::INVALID_CREDENTIALS, 401, "No such key")
}

pub(super) fn no_token(why: &dyn Display) -> ErrorInfo {
    error(codes::INVALID_JWT, 401, format!("The token cannot be verified: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_proto::server::Operations;

    const NOW: UnixMillis = UnixMillis::from_millis(1_700_000_000_000);

    fn verify(keys: &AppKeys, token: &str, now: UnixMillis) -> Result<Grant, ErrorInfo> {
        let name = jwt::key_name(token).map_err(|error| no_token(&error))?;
        keys.token(&name, token, now)
    }

    fn keys() -> AppKeys {
        let mut keys = AppKeys::new("app");
        let patterns = patterns::parse(r#"{"room:*":["presence","subscribe"]}"#).unwrap();
        assert!(keys.add("app.all".to_owned(), Key::new("secret".to_owned(), None)));
        assert!(keys.add("app.room".to_owned(), Key::new("other".to_owned(), Some(patterns))));
        keys
    }

    /// A request that came with this key, if any.
    fn request(key: &str, with: Option<&str>, json: serde_json::Value) -> TokenRequest {
        TokenRequest::new(key.to_owned(), with.map(str::to_owned), json).unwrap()
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
        let json = serde_json::json!({"capability": r#"{"*":["*"]}"#, "clientId": "al"});
        let asked = request("app.room", Some("app.room:other"), json);
        let details = keys.issue(&asked, NOW).unwrap();
        let grant = verify(&keys, &details.token, NOW).unwrap();
        assert_eq!(grant.identity, Identity::Client("al".into()));
        let expected = Operations::PRESENCE | Operations::SUBSCRIBE;
        assert_eq!(grant.capability.on("room:1"), expected);
        assert_eq!(grant.capability.on("hall"), Operations::empty());

        let json = serde_json::json!({"capability": r#"{"hall":["*"]}"#});
        let nothing = request("app.room", Some("app.room:other"), json);
        let refused = keys.issue(&nothing, NOW);
        assert_eq!(refused.unwrap_err().code, 40160);
    }

    #[test]
    fn a_token_expires_and_cannot_be_forged() {
        let keys = keys();
        let asked = request("app.all", Some("app.all:secret"), serde_json::json!({"ttl": 5000}));
        let details = keys.issue(&asked, NOW).unwrap();
        let at = |ms: i64| UnixMillis::from_millis(NOW.as_millis() + ms);
        assert!(verify(&keys, &details.token, at(4999)).is_ok());
        assert_eq!(verify(&keys, &details.token, at(5000)).unwrap_err().code, 40142);

        let claims = serde_json::json!({"exp": NOW.as_millis() / 1000 + 60});
        for (name, secret) in [("app.all", "guess"), ("app.none", "secret")] {
            let forged = jwt::encode(claims.as_object().unwrap(), name, secret).unwrap();
            assert_eq!(verify(&keys, &forged, NOW).unwrap_err().code, 40144);
        }
        assert_eq!(verify(&keys, "rubbish", NOW).unwrap_err().code, 40144);
    }

    /// The expiry of a token of `app.all` with these claims, or its error.
    fn claimed(claims: serde_json::Value) -> Result<Option<UnixMillis>, (u32, String)> {
        let token = jwt::encode(claims.as_object().unwrap(), "app.all", "secret").unwrap();
        let grant = verify(&keys(), &token, NOW);
        grant.map(|grant| grant.expires).map_err(|e| (e.code, e.message.to_string()))
    }

    /// The time that is `seconds` after now, in seconds since the Unix epoch.
    fn at(seconds: i64) -> i64 {
        NOW.as_millis() / 1000 + seconds
    }

    #[test]
    fn times_of_a_token_may_have_parts_of_seconds() {
        let now = NOW.as_millis() as f64 / 1000.0;
        let claims = serde_json::json!({"iat": now - 0.25, "nbf": now - 0.125, "exp": now + 0.5});
        let expires = UnixMillis::from_millis(NOW.as_millis() + 500);
        assert_eq!(claimed(claims), Ok(Some(expires)));
        let expired = claimed(serde_json::json!({"exp": now - 0.001}));
        assert_eq!(expired.unwrap_err().0, 40142);
        // As the server itself makes them.
        let keys = keys();
        let asked = request("app.all", Some("app.all:secret"), serde_json::json!({"ttl": 1500}));
        let now = UnixMillis::from_millis(NOW.as_millis() + 123);
        let details = keys.issue(&asked, now).unwrap();
        assert_eq!(details.expires, NOW.as_millis() + 1623);
        let grant = verify(&keys, &details.token, now).unwrap();
        assert_eq!(grant.expires, Some(UnixMillis::from_millis(details.expires)));
    }

    #[test]
    fn a_token_that_is_not_good_yet_or_not_yet_issued_is_refused() {
        let leeway = LEEWAY / 1000;
        for claim in ["nbf", "iat"] {
            for (ahead, is_good) in
                [(-3600, true), (0, true), (leeway, true), (leeway + 1, false), (3000, false)]
            {
                let claimed = claimed(serde_json::json!({claim: at(ahead), "exp": at(3600)}));
                assert_eq!(claimed.is_ok(), is_good, "{claim} {ahead}: {claimed:?}");
                if let Err((code, message)) = claimed {
                    assert_eq!(code, 40144);
                    assert!(message.contains(&format!("({claim})")), "{message}");
                }
            }
        }
    }

    #[test]
    fn a_token_is_good_for_a_day_at_most() {
        const DAY: i64 = MAX_TTL / 1000;
        let leeway = LEEWAY / 1000;
        for (iat, exp, is_good) in [
            (Some(0), DAY, true),
            (Some(0), DAY + 1, false),
            (Some(-3600), DAY - 3600, true),
            (Some(-3600), DAY - 3599, false),
            // Most of its life is over, and it is too long all the same.
            (Some(-DAY), 1, false),
            (Some(leeway), DAY + leeway, true),
            (None, DAY + leeway, true),
            (None, DAY + leeway + 1, false),
            (None, i64::MAX / 1000, false),
            (Some(i64::MIN / 1000), 1, false),
        ] {
            let mut claims = serde_json::json!({"exp": at(0).saturating_add(exp)});
            if let Some(iat) = iat {
                claims["iat"] = at(0).saturating_add(iat).into();
            }
            let claimed = claimed(claims);
            assert_eq!(claimed.is_ok(), is_good, "{iat:?} {exp}: {claimed:?}");
            if let Err((code, message)) = claimed {
                assert_eq!(code, 40144);
                assert!(message.contains("24 h"), "{message}");
            }
        }
        // The longest that the server itself gives.
        let asked = request("app.all", Some("app.all:secret"), serde_json::json!({"ttl": MAX_TTL}));
        let now = UnixMillis::from_millis(NOW.as_millis() + 999);
        let details = keys().issue(&asked, now).unwrap();
        assert!(verify(&keys(), &details.token, now).is_ok());
    }

    #[test]
    fn what_is_wrong_in_a_token_is_said_in_our_words() {
        let exp = at(60);
        for (claims, why) in [
            (serde_json::json!({}), "it does not say when it expires (exp)"),
            (serde_json::json!({"exp": null}), "it does not say when it expires (exp)"),
            (serde_json::json!({"exp": "soon"}), "exp is not a number of seconds"),
            (serde_json::json!({"exp": exp, "iat": []}), "iat is not a number of seconds"),
            (serde_json::json!({"exp": exp, "nbf": true}), "nbf is not a number of seconds"),
            (serde_json::json!({"exp": 1e300}), "it is good for more than 24 h (exp)"),
            (
                serde_json::json!({"exp": exp, "x-ably-capability": {"*": ["*"]}}),
                "x-ably-capability is not text",
            ),
            (serde_json::json!({"exp": exp, "x-ably-clientId": 1}), "x-ably-clientId is not text"),
        ] {
            let told = claimed(claims).unwrap_err();
            assert_eq!(told, (40144, format!("The token cannot be verified: {why}")));
        }
        let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let [none, other, kid, good] = [
            r#"{"alg":"none","kid":"app.all"}"#,
            r#"{"alg":"RS256","kid":"app.all"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"app.all"}"#,
        ]
        .map(part);
        let no_jwt = "it is not a JWT that is signed with HS256";
        let header = jsonwebtoken::decode_header(format!("{good}.e30.AAAA")).unwrap();
        let secret = jsonwebtoken::EncodingKey::from_secret(b"secret");
        let list = jsonwebtoken::encode(&header, &[1], &secret).unwrap();
        for (token, why) in [
            (String::new(), no_jwt),
            ("rubbish".to_owned(), no_jwt),
            ("a.b.c".to_owned(), no_jwt),
            (format!("{none}.e30."), no_jwt),
            (format!("{other}.e30.AAAA"), no_jwt),
            (format!("{kid}.e30.AAAA"), "its header does not name a key (kid)"),
            (format!("{good}.e30.AAAA"), "its signature is wrong"),
            (format!("{good}.e30"), no_jwt),
            (list, "its claims are not an object"),
        ] {
            let told = verify(&keys(), &token, NOW).unwrap_err();
            let expected = format!("The token cannot be verified: {why}");
            assert_eq!((told.code, &*told.message), (40144, &*expected), "{token}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_token_request_is_said_in_our_words() {
        let of = |json| {
            TokenRequest::new("n".to_owned(), None, json)
                .map_err(|e| (e.code, e.message.to_string()))
        };
        let form = r#"The capability is not of the form {"CHANNEL": ["OPERATION"]}"#;
        let ttl = "ttl is not a whole number of milliseconds";
        for (json, code, why) in [
            (serde_json::json!([]), 40001, "The body is not an object"),
            (serde_json::json!({"ttl": 1.5}), 40003, ttl),
            (serde_json::json!({"ttl": "soon"}), 40003, ttl),
            (serde_json::json!({"ttl": {}}), 40003, ttl),
            (serde_json::json!({"ttl": 1e300}), 40003, ttl),
            (serde_json::json!({"ttl": u64::MAX}), 40003, ttl),
            (
                serde_json::json!({"timestamp": true}),
                40003,
                "timestamp is not a whole number of milliseconds",
            ),
            (serde_json::json!({"keyName": 1}), 40003, "keyName is not text"),
            (serde_json::json!({"clientId": []}), 40003, "clientId is not text"),
            (serde_json::json!({"nonce": 1}), 40003, "nonce is not text"),
            (serde_json::json!({"mac": 1}), 40003, "mac is not text"),
            (serde_json::json!({"capability": 1}), 40000, form),
            (serde_json::json!({"capability": {"room": "*"}}), 40000, form),
            (serde_json::json!({"capability": "[]"}), 40000, form),
            (
                serde_json::json!({"capability": "{"}),
                40000,
                "The capability is not JSON, at line 1, column 1",
            ),
        ] {
            assert_eq!(of(json.clone()).map(drop), Err((code, why.to_owned())), "{json}");
        }
        for ttl in [serde_json::json!(5000), serde_json::json!(5000.0), serde_json::json!("5000")] {
            let request = of(serde_json::json!({ "ttl": ttl })).unwrap();
            assert_eq!(
                (request.ttl(), request.signed_text()),
                (Some(5000), "n\n5000\n\n\n\n\n".into())
            );
        }
        for ttl in [serde_json::json!(null), serde_json::json!("")] {
            assert_eq!(of(serde_json::json!({ "ttl": ttl })).unwrap().ttl(), None);
        }
    }

    #[test]
    fn a_signed_request_counts_once_and_not_for_long() {
        let keys = keys();
        let signed = |timestamp: i64, nonce: &str, secret: &str| {
            let text = format!("app.all\n\n\n\n{timestamp}\n{nonce}\n");
            let tag = mac(secret).unwrap().chain_update(text).finalize().into_bytes();
            let json = serde_json::json!({
                "keyName": "app.all", "timestamp": timestamp, "nonce": nonce,
                "mac": STANDARD.encode(tag),
            });
            request("app.all", None, json)
        };
        let issue = |request| keys.issue(&request, NOW).map_err(|e| e.code);
        let now = NOW.as_millis();
        let nonce = |n: u32| format!("nonce-{n:010}");
        assert!(issue(signed(now, &nonce(1), "secret")).is_ok());
        assert_eq!(issue(signed(now, &nonce(1), "secret")).err(), Some(40105));
        assert!(issue(signed(now, &nonce(2), "secret")).is_ok());
        assert_eq!(issue(signed(now, &nonce(3), "guess")).err(), Some(40101));
        let old = now - 15 * 60 * 1000;
        assert!(issue(signed(old, &nonce(4), "secret")).is_ok());
        for time in [old - 1, now + 15 * 60 * 1000 + 1, i64::MIN, i64::MAX] {
            assert_eq!(issue(signed(time, &nonce(5), "secret")).err(), Some(40104));
        }
        // TE5: a nonce is random, which a short one is not.
        for short in ["", "1", "nonce-012345678", "ééééééééééééééé"] {
            assert_eq!(issue(signed(now, short, "secret")).err(), Some(40003), "{short}");
        }
        assert_eq!(
            issue(request("app.all", None, serde_json::json!({"keyName": "app.all"}))).err(),
            Some(40101)
        );
    }
}
