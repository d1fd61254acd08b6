//! Unpredictable connection ids, and connection keys that cannot be forged.

use super::{Identity, KeySecret};
use crate::SmolStr;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;
use smol_str::SmolStrBuilder;

/// Separates the id and the proof.
const SEPARATOR: char = '!';
/// Random bytes of a connection id. Its 12 characters are short enough that most message ids need
/// no allocation.
const ID_BYTES: usize = 9;

/// Bytes of a proof, and characters of its text.
const PROOF_BYTES: usize = 16;
const PROOF_LEN: usize = (PROOF_BYTES * 8).div_ceil(6);

/// The proof in a connection key: an authentication code of the connection id and the identity, by
/// a server with this secret. Stored in its text form.
#[derive(Clone, Copy, Default)]
pub(super) struct Proof([u8; PROOF_LEN]);

impl core::fmt::Debug for Proof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Proof(…)")
    }
}

#[derive(Clone)]
pub(super) struct Keys {
    rng: ChaCha20Rng,
    mac: Hmac<Sha256>,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    pub(super) fn new(seed: [u8; 32], secret: Option<KeySecret>) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut derived = [0; 32];
        rng.fill_bytes(&mut derived);
        let secret = secret.map_or(derived, |secret| secret.0);
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(secret) {
            *to = from;
        }
        let mac = Hmac::<Sha256>::new(&block.into());
        Self { rng, mac }
    }

    /// A seed for internal use: unpredictable, not secret.
    pub(super) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A new connection id: URL-safe Base64, without a colon.
    pub(super) fn connection_id(&mut self) -> SmolStr {
        let mut bytes = [0; ID_BYTES];
        self.rng.fill_bytes(&mut bytes);
        let mut text = [0; ID_BYTES.div_ceil(3) * 4];
        let len = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).unwrap_or(0);
        text.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default().into()
    }

    /// The proof for a connection id and an identity.
    pub(super) fn proof(&self, id: &str, identity: &Identity) -> Proof {
        let mut mac = self.mac.clone();
        let (kind, client_id) = match identity {
            Identity::Anonymous => (0, ""),
            Identity::Client(client_id) => (1, client_id.as_str()),
            Identity::Any => (2, ""),
        };
        // The length of the id comes first, so that no other split of the text has the same proof.
        mac.update(&[kind]);
        mac.update(&(id.len() as u64).to_le_bytes());
        mac.update(id.as_bytes());
        mac.update(client_id.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut proof = Proof::default();
        let bytes = digest.get(..PROOF_BYTES).unwrap_or_default();
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut proof.0);
        proof
    }
}

/// The key of a connection (CD2b).
pub(super) fn key(id: &str, proof: &Proof) -> SmolStr {
    let mut key = SmolStrBuilder::new();
    key.push_str(id);
    key.push(SEPARATOR);
    key.push_str(core::str::from_utf8(&proof.0).unwrap_or_default());
    key.finish()
}

/// Splits a key into the id and the proof; `None` if it is malformed.
pub(super) fn parse(key: &str) -> Option<(&str, Proof)> {
    let (id, proof) = key.as_bytes().split_last_chunk()?;
    let id = key.get(..id.len())?.strip_suffix(SEPARATOR)?;
    (!id.is_empty()).then_some((id, Proof(*proof)))
}

/// Compares two proofs in constant time.
pub(super) fn equal(a: &Proof, b: &Proof) -> bool {
    let difference = a.0.iter().zip(b.0).fold(0, |all, (a, b)| all | (a ^ b));
    core::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new([7; 32], None)
    }

    #[test]
    fn a_key_verifies_for_its_connection_and_identity_only() {
        let mut keys = keys();
        let id = keys.connection_id();
        let me = Identity::Client("me".into());
        let key = key(&id, &keys.proof(&id, &me));
        let Some((found, proof)) = parse(&key) else { panic!("the key has another form") };
        assert_eq!(found, id);
        assert!(equal(&proof, &keys.proof(&id, &me)));
        for other in [Identity::Anonymous, Identity::Any, Identity::Client("m".into())] {
            assert!(!equal(&proof, &keys.proof(&id, &other)));
        }
        let other = keys.connection_id();
        assert!(!equal(&proof, &keys.proof(&other, &me)));
        assert!(!equal(&proof, &Keys::new([8; 32], None).proof(&id, &me)));
    }

    #[test]
    fn nodes_with_one_secret_verify_each_others_keys() {
        let secret = Some(KeySecret([1; 32]));
        let (a, b) = (Keys::new([2; 32], secret), Keys::new([3; 32], secret));
        assert!(equal(&a.proof("id", &Identity::Any), &b.proof("id", &Identity::Any)));
    }

    #[test]
    fn a_single_changed_bit_is_detected() {
        let proof = keys().proof("id", &Identity::Anonymous);
        for bit in 0..8 * PROOF_LEN {
            let mut other = proof;
            if let Some(byte) = other.0.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            assert!(!equal(&proof, &other));
        }
    }

    #[test]
    fn malformed_keys_have_no_proof() {
        for key in ["", "!", "id", "id!", "id!AAAA", "!AAAAAAAAAAAAAAAAAAAAAA", "id!????"] {
            assert!(parse(key).is_none(), "{key}");
        }
        assert!(parse("idAAAAAAAAAAAAAAAAAAAAAA").is_none());
        assert!(parse("id!ĀAAAAAAAAAAAAAAAAAAAAAA").is_none());
        assert!(parse("id!AAAAAAAAAAAAAAAAAAAAAA").is_some());
        assert!(parse("id!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").is_none());
    }
}
