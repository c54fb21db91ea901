//! Those who sign tokens, with keys of their own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};
use splitway_core::signature::{Check, PublicKey};

/// Somebody who signs tokens.
pub enum Signer {
    /// Whoever has this secret.
    Hs256(Vec<u8>),
    /// On P-256.
    Es256(EcdsaKeyPair),
    /// With Ed25519.
    EdDsa(Ed25519KeyPair),
    /// With RSA.
    Rs256(Box<RsaKeyPair>),
}

impl Signer {
    /// Signs with this secret.
    pub fn hs256(secret: &str) -> Self {
        Self::Hs256(secret.as_bytes().to_vec())
    }

    /// Signs with a new key.
    pub fn es256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap())
    }

    /// Signs with a new key.
    pub fn eddsa() -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap())
    }

    /// Signs with a key that was made for tests: making one takes seconds.
    pub fn rs256() -> Self {
        let der = base64::engine::general_purpose::STANDARD.decode(RSA.replace('\n', "")).unwrap();
        Self::Rs256(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    /// The name of the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    /// A token of these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }

    /// A token that names its key.
    pub fn token_by(&self, kid: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": kid}), claims)
    }

    /// A token with this header.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match self {
            Self::Hs256(secret) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            Self::Es256(pair) => {
                pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
            }
            Self::EdDsa(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// The public key in JSON, of this name.
    pub fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        match self {
            Self::Hs256(_) => panic!("a secret has no public key"),
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": kid})
            }
            Self::EdDsa(pair) => {
                let key = encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": key, "kid": kid})
            }
            Self::Rs256(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e), "kid": kid, "use": "sig"})
            }
        }
    }

    /// The public key in PEM, as documents have it.
    pub fn pem(&self) -> String {
        // What stands before the key in a SubjectPublicKeyInfo (RFC 5280, 5480, 8410).
        let (start, key): (&[u8], Vec<u8>) = match self {
            Self::Hs256(_) => panic!("a secret has no public key"),
            Self::Es256(pair) => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                pair.public_key().as_ref().to_vec(),
            ),
            Self::EdDsa(pair) => (
                b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
                pair.public_key().as_ref().to_vec(),
            ),
            // Of 2048 bits.
            Self::Rs256(pair) => (
                b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00",
                pair.public_key().as_ref().to_vec(),
            ),
        };
        let encoded = base64::engine::general_purpose::STANDARD.encode([start, &key].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n")
    }
}

/// A set of public keys, as it is published.
pub fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// What a runtime says of a signature.
pub fn is_right(Check { key, message, signature }: &Check) -> bool {
    let checked = match &**key {
        PublicKey::Rsa { modulus, exponent } => {
            let key = RsaPublicKeyComponents { n: &**modulus, e: &**exponent };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        PublicKey::P256(point) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point[..]).verify(message, signature)
        }
        PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
    };
    checked.is_ok()
}

/// A key of 2048 bits (PKCS #8), used nowhere else.
const RSA: &str = "\
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQD2W2pqkZ1UcOFUENxgXFZmgoG6OzYWoli5xhpnKceIkbbkCdRC\n\
yjuE8WudYPZqrTBSl7J34/Kff2BGpYjJbSfJkuS7hNymOkuq38AeLmZZLuxVFyBE9xtDq348YRd1x0hJqSP+l+PMLweMwjYe+vde\n\
snRNKY11hg7+82YOdXGjMb+jv1Tkko43Nr8DwRqfiEHDBbUGeEilGrNfG5922t9OhvIooSjC2GqOO2TKrIUPqfxvyjeaLZnzVTta\n\
ZKGZzvwUi1DUnypitsWsj0GRMebtO7tOIQOVx7nhENWW+atCAoOCRn0/NjuL67hbLOMWZUC/zS7HYtO4SGm40srNXFDfAgMBAAEC\n\
ggEADxz/k8cYHEiKgkJAisbPZB2IgNjGEjBmegsdrouBGq85xZaWx3wpl5fJ7s82fsfeKYr132YECeXiDaN1F0pTgQm6b4iQksAL\n\
yVFNs2xMShdXV0cCa0iviwC3z1NzgX22wRIXy7QcvPd7opZ9hHwH9e7DtMIiU/3j6J8c+TEaRhUV6JVIuRz0mnZNsqMiDNQ07ImO\n\
g93i+v4gCllUHsF8ffFp34LDnH7Nw+WX5wMhtD0OywHYr+vtgj86StaA3veAUbwgVKEcO+FDShbZtH4+RPgS+50ONwLQstSuj+g4\n\
TuxD+yGbgnYAGEFzG1zgWgnk41AKWWpat2iV4xHgHZMyWQKBgQD9zthmVhGZxtkzqkzkZ4q6vxdA+jF9Jf4PvvzW3BQbFfVDSVNj\n\
25J/XB1slfmVToPhQjjbTfhxKkf/OSpQXyAPf9Nby28e5kqY6uop7sJqJxqN+uiMzAV87NAKUUgJlPIZPX1pA5PqkfZETJ2zWFkL\n\
ezIziD0/sJ2Da0xQgNrSCQKBgQD4fBjM+a/eWXLljAWI9w8FhPemnBb8V4gukCWAzqHBnWcAaUahQu/QugF030dQc4OTvW36OSFM\n\
LUJN7CMQKBlF1h1qwJJVebd1SkeZwvndi15nAGDwhyd3RRgtUvOt5Gx2JoDEw4t8WoyHI5rC7fJMLWahoPfqc0HBbQbtdLIlpwKB\n\
gQDYDHpC6qMC3rTHeQEJMGZ0PvPheNglqvCQoMgDccWfpNppU4Krrx4OUfAuHaAeC37Rghh5/e4tDovI4vV1AvR8nRfivNIzYF9B\n\
uj5oQXi2+eBt2ZaZO5a0V7VkAvqqRWKsP56AhO4lr+gNDZb0MpFh55W9LgzNKV97nhuRL46VWQKBgGdOuMTnfi3URIeY+mgiRzWF\n\
Pa0gMhJBlhW9yknOHsQvW7Z5DmtXN/swihB8D9sr22VeGU4x2F0iZ/GbnkxGT5OQXHSYkX5F93clJbWQsW9hVSM/rg3yMv9MU6vs\n\
U/FVCZ7pjRnBLsnJn6lDrUEjylvPeF70XH414v23BW1N2g77AoGAaOk0N5WjXJibkA8IAMWs6XSOexuG7x+pc6rtuR9q/ZlylVn2\n\
nBaaqfnYnqmpzZBtq53BRCtsYeeBsqatxrOcGEynRT8kUTK+yXavDgAsqLrXR84+K1bycti/I958kUqFf8JivWgUHmarHy/YxU4x\n\
3ZvbR5e11X8zarkTHEZ+MPg=";
