//! Tokens: JWTs signed with HS256, the secret being that of the key that the header names.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// When it was issued, in seconds since the Unix epoch.
    pub(crate) iat: i64,
    /// When it expires, in seconds since the Unix epoch.
    pub(crate) exp: i64,
    /// JSON text of the capability; absent is that of the key.
    #[serde(rename = "x-ably-capability", default, skip_serializing_if = "Option::is_none")]
    pub(crate) capability: Option<String>,
    /// The client id; absent is anonymous, `*` is any.
    #[serde(rename = "x-ably-clientId", default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
}

/// Makes this process compute HS256 with the `hmac` crate. Call once, before any token is seen.
pub(crate) fn install() {
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
    // An error says that it is installed already, which is as good.
    let _ = PROVIDER.install_default();
}

/// The name of the key that signed a token, as its header claims.
pub(crate) fn key_name(token: &str) -> Result<String, Error> {
    jsonwebtoken::decode_header(token)?.kid.ok_or_else(|| ErrorKind::InvalidToken.into())
}

/// The claims of a token whose signature is right. Expiry is for the caller to judge.
pub(crate) fn verify(token: &str, secret: &str) -> Result<Claims, Error> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::decode(token, &key, &validation)?.claims)
}

/// A token.
pub(crate) fn sign(claims: &Claims, key_name: &str, secret: &str) -> Result<String, Error> {
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
