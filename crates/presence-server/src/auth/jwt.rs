//! Tokens: JWTs signed with HS256, the secret being that of the key that the header names.

use super::fields::Fields;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use presence_proto::UnixMillis;
use serde_json::{Map, Value};
use sha2::Sha256;
use signature::{Signer, Verifier};

const CAPABILITY: &str = "x-ably-capability";
const CLIENT_ID: &str = "x-ably-clientId";

/// The error of most malformed tokens.
const NO_JWT: &str = "it is not a JWT that is signed with HS256";

/// The claims of a token.
#[derive(Debug)]
pub(super) struct Claims {
    /// The time of issue.
    pub(super) iat: Option<UnixMillis>,
    /// The time from which it is valid.
    pub(super) nbf: Option<UnixMillis>,
    /// The time of expiry.
    pub(super) exp: UnixMillis,
    /// JSON text of the capability; absent is that of the key.
    pub(super) capability: Option<String>,
    /// The client id; absent is anonymous, `*` is any.
    pub(super) client_id: Option<String>,
}

/// Makes this process compute HS256 with the `hmac` crate. Must precede the first token.
pub(super) fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
}

/// The name of the key that signed a token, as its header claims.
///
/// # Errors
///
/// Why this is no token.
pub(super) fn key_name(token: &str) -> Result<String, &'static str> {
    // An algorithm that is not known makes a header as malformed as any.
    let header = jsonwebtoken::decode_header(token).map_err(|_| NO_JWT)?;
    if header.alg != Algorithm::HS256 {
        return Err(NO_JWT);
    }
    header.kid.ok_or("its header does not name a key (kid)")
}

/// The claims of a token whose signature is right. Times are for the caller to judge.
///
/// # Errors
///
/// The signature is wrong, or a claim has not the form that it must have.
pub(super) fn verify(token: &str, secret: &str) -> Result<Claims, String> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(secret.as_bytes());
    let token =
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| {
            match error.kind() {
                ErrorKind::InvalidSignature => "its signature is wrong",
                ErrorKind::Json(_) => "its claims are not an object",
                _ => NO_JWT,
            }
        })?;
    let mut claims = Fields::of(Value::Object(token.claims))?;
    Ok(Claims {
        iat: time(&mut claims, "iat")?,
        nbf: time(&mut claims, "nbf")?,
        exp: time(&mut claims, "exp")?.ok_or("it does not say when it expires (exp)")?,
        capability: claims.text(CAPABILITY)?,
        client_id: claims.text(CLIENT_ID)?,
    })
}

/// Takes a time out: seconds since the Unix epoch, and parts of seconds (RFC 7519, NumericDate).
fn time(claims: &mut Fields, name: &str) -> Result<Option<UnixMillis>, String> {
    let number = match claims.take(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(format!("{name} is not a number of seconds")),
    };
    let millis = match (number.as_i64(), number.as_f64()) {
        (Some(seconds), _) => seconds.saturating_mul(1000),
        // The cast saturates.
        (None, Some(seconds)) => (seconds * 1000.0).round() as i64,
        (None, None) => return Err(format!("{name} is not a number of seconds")),
    };
    Ok(Some(UnixMillis::from_millis(millis)))
}

/// A time as a claim.
fn seconds(time: UnixMillis) -> Value {
    match time.as_millis() {
        whole if whole % 1000 == 0 => (whole / 1000).into(),
        millis => (millis as f64 / 1000.0).into(),
    }
}

/// A token.
///
/// # Errors
///
/// None is known.
pub(super) fn sign(claims: &Claims, key_name: &str, secret: &str) -> Result<String, Error> {
    let times = [("iat", claims.iat), ("nbf", claims.nbf), ("exp", Some(claims.exp))];
    let texts = [(CAPABILITY, &claims.capability), (CLIENT_ID, &claims.client_id)];
    let times = times.into_iter().filter_map(|(name, time)| Some((name, seconds(time?))));
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?.into())));
    let claims: Map<String, Value> =
        times.chain(texts).map(|(name, value)| (name.to_owned(), value)).collect();
    encode(&claims, key_name, secret)
}

/// A token with any claims.
pub(super) fn encode(
    claims: &Map<String, Value>,
    key_name: &str,
    secret: &str,
) -> Result<String, Error> {
    let header = Header { kid: Some(key_name.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes()))
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(secret: &[u8]) -> Result<Self, Error> {
        Hmac::new_from_slice(secret).map(Self).map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0
            .clone()
            .chain_update(message)
            .verify_slice(signature)
            .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
