//! Signatures of tokens, checked by the library that TLS is spoken with, too.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use splitway_core::signature::{Check, PublicKey};

/// Whether a signature is right. It takes some 30 to 100 us.
pub(crate) fn verify(Check { key, message, signature }: &Check) -> bool {
    let checked = match &**key {
        PublicKey::Rsa { modulus, exponent } => {
            let key = RsaPublicKeyComponents { n: &**modulus, e: &**exponent };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        PublicKey::P256(point) => {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point[..]);
            key.verify(message, signature)
        }
        PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
    };
    checked.is_ok()
}
