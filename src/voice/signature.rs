//! Signatures of voice files: Ed25519 (RFC 8032) over the manifest, which holds the hash of every member.
//!
//! A signature shows that a file is as its signer made it. It does not show who the signer is: compare the key with one
//! from another source. Nothing here uses the network.

use ed25519_dalek::{Signature as Bits, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::VoiceError;
use super::package::hex;

/// What precedes the manifest in the signed message, so that a signature made for something else never fits.
const CONTEXT: &[u8] = b"coffre voice manifest 1\0";

/// Name of the method in the file.
const METHOD: &str = "ed25519";

/// Longest signature member in bytes.
pub const MAX_BYTES: u64 = 4_096;

/// Whether a file is signed. A broken signature is an error instead: [`VoiceError::BrokenSignature`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// Nobody signed the file.
    #[default]
    Unsigned,
    /// The signature fits; the public key.
    Signed([u8; 32]),
}

impl Signature {
    /// The public key in hexadecimal, of a signed file.
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Unsigned => None,
            Self::Signed(key) => Some(hex(key)),
        }
    }

    /// Checks the signature member over the manifest's bytes.
    pub(super) fn check(member: &[u8], manifest: &[u8]) -> Result<Self, VoiceError> {
        let broken = |reason: &str| VoiceError::BrokenSignature { reason: reason.to_owned() };
        let file: File = serde_json::from_slice(member).map_err(|_| broken("it cannot be read"))?;
        if file.method != METHOD {
            return Err(broken("it was made with a method that this Coffre does not know; update Coffre"));
        }
        let key: [u8; 32] = from_hex(&file.key).ok_or_else(|| broken("its key cannot be read"))?;
        let bits: [u8; 64] = from_hex(&file.signature).ok_or_else(|| broken("it cannot be read"))?;
        let verifier = VerifyingKey::from_bytes(&key).map_err(|_| broken("its key is no key"))?;
        let fits = verifier.verify_strict(&message(manifest), &Bits::from_bytes(&bits));
        fits.map_err(|_| broken("`manifest.json` was changed after it was signed"))?;
        Ok(Self::Signed(key))
    }
}

/// The signature member.
#[derive(Serialize, Deserialize)]
struct File {
    method: String,
    key: String,
    signature: String,
}

/// Signs voice files. Holds a secret, which it never shows.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// A signer with a secret of 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// A signer from the content of a key file: 64 hexadecimal digits.
    pub fn from_text(text: &str) -> Option<Self> {
        from_hex(text.trim()).map(|secret| Self::new(&secret))
    }

    /// The content of a key file. Anyone who has it can sign with this key.
    pub fn to_secret_text(&self) -> String {
        format!("{}\n", hex(self.0.as_bytes()))
    }

    /// The public key in hexadecimal.
    pub fn key(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// The signature member for a manifest.
    pub(super) fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        let signature = hex(&self.0.sign(&message(manifest)).to_bytes());
        serde_json::to_vec(&File { method: METHOD.to_owned(), key: self.key(), signature }).unwrap_or_default()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.key())
    }
}

fn message(manifest: &[u8]) -> Vec<u8> {
    [CONTEXT, manifest].concat()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_known_and_what_was_changed_is_not() {
        let signer = Signer::new(&[7; 32]);
        let member = signer.sign(b"manifest");
        let signed = Signature::check(&member, b"manifest").expect("as signed");
        assert_eq!(signed.key(), Some(signer.key()));
        let changed = Signature::check(&member, b"manifesT");
        assert!(matches!(changed, Err(VoiceError::BrokenSignature { reason }) if reason.contains("manifest.json")));
        for at in 0..member.len() {
            let mut other = member.clone();
            other[at] ^= 1;
            assert!(Signature::check(&other, b"manifest").is_err(), "byte {at}");
        }
        assert!(Signature::check(b"", b"manifest").is_err());
        assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.key()));
        assert_eq!(Signer::from_text(&signer.to_secret_text()).expect("its own").key(), signer.key());
        assert!(Signer::from_text("short").is_none());
    }

    #[test]
    fn keys_are_those_of_the_standard() {
        // RFC 8032, 7.1, test 1.
        let secret = from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex");
        assert_eq!(Signer::new(&secret).key(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }
}
