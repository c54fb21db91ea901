use super::jwk::NoKeySet;
use super::*;
use ring::signature::{self as native, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Value, json};

// Keys as `openssl pkey -pubout` and the like write them; they were made for this and are used nowhere.
pub(crate) const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA9ltqapGdVHDhVBDcYFxW\n\
    ZoKBujs2FqJYucYaZynHiJG25AnUQso7hPFrnWD2aq0wUpeyd+Pyn39gRqWIyW0n\n\
    yZLku4TcpjpLqt/AHi5mWS7sVRcgRPcbQ6t+PGEXdcdISakj/pfjzC8HjMI2Hvr3\n\
    XrJ0TSmNdYYO/vNmDnVxozG/o79U5JKONza/A8Ean4hBwwW1BnhIpRqzXxufdtrf\n\
    TobyKKEowthqjjtkyqyFD6n8b8o3mi2Z81U7WmShmc78FItQ1J8qYrbFrI9BkTHm\n\
    7Tu7TiEDlce54RDVlvmrQgKDgkZ9PzY7i+u4WyzjFmVAv80ux2LTuEhpuNLKzVxQ\n\
    3wIDAQAB\n\
    -----END PUBLIC KEY-----";
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDZCFSc3C5U90Rw2PRYM57pkGp0\n\
    Ic3NtBxKujL1tdUiYhxdfTvtp19ZFybicvwlwyD8/J68zPwBcWPXyBitf5G/gTlv\n\
    eHixU8xSev1M2QlbhfVyzjNiN+1pQNtL06d6b3ploggbh0woDH67z28BwA48CK46\n\
    4SzwiH/1AkbR5Ey4/QIDAQAB\n\
    -----END PUBLIC KEY-----";
const PKCS_1: &str = "-----BEGIN RSA PUBLIC KEY-----\n\
    MIIBCgKCAQEA9ltqapGdVHDhVBDcYFxWZoKBujs2FqJYucYaZynHiJG25AnUQso7\n\
    hPFrnWD2aq0wUpeyd+Pyn39gRqWIyW0nyZLku4TcpjpLqt/AHi5mWS7sVRcgRPcb\n\
    Q6t+PGEXdcdISakj/pfjzC8HjMI2Hvr3XrJ0TSmNdYYO/vNmDnVxozG/o79U5JKO\n\
    Nza/A8Ean4hBwwW1BnhIpRqzXxufdtrfTobyKKEowthqjjtkyqyFD6n8b8o3mi2Z\n\
    81U7WmShmc78FItQ1J8qYrbFrI9BkTHm7Tu7TiEDlce54RDVlvmrQgKDgkZ9PzY7\n\
    i+u4WyzjFmVAv80ux2LTuEhpuNLKzVxQ3wIDAQAB\n\
    -----END RSA PUBLIC KEY-----";
pub(crate) const P_256: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL6RTROZQaSBYgBMpTAf3PNYJNKBA\n\
    GL6gytgRkuIb0cYEWi1d4lG79HnyW4IebKN4KY7XdGg7phJovLzgD4YR1Q==\n\
    -----END PUBLIC KEY-----";
const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----\n\
    MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADL6RTROZQaSBYgBMpTAf3PNYJNKBA\n\
    GL6gytgRkuIb0cY=\n\
    -----END PUBLIC KEY-----";
const P_384: &str = "-----BEGIN PUBLIC KEY-----\n\
    MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEkbFA8JdjcRXl5+HC4DD1CSg9GnhwFDFQ\n\
    7AX3N7gPZk0QiTs18kAPjNHfVuhT5YmRwhJjxD5Afu4jvZKQ9lTy28DKcN4DrsdH\n\
    5zU1Y4Qbnffeu5PXPAliz4EI8ApER3Ws\n\
    -----END PUBLIC KEY-----";
pub(crate) const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEALbTP9fG59ekSGlcjm6mFgZSQSp1Sgqv3OXAZU2nqVys=\n\
    -----END PUBLIC KEY-----";
const X25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VuAyEAJC07CwOhB0lJWVQWHI/vE5+qBz+WmZz4X6Pl3I+g3Rk=\n\
    -----END PUBLIC KEY-----";

/// What a runtime says to a check.
pub(crate) fn is_right(check: &Check) -> bool {
    let Check { key, message, signature } = check;
    let checked = match &**key {
        PublicKey::Rsa { modulus, exponent } => {
            let key = RsaPublicKeyComponents { n: &modulus[..], e: &exponent[..] };
            key.verify(&native::RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        PublicKey::P256(point) => {
            let key = UnparsedPublicKey::new(&native::ECDSA_P256_SHA256_FIXED, &point[..]);
            key.verify(message, signature)
        }
        PublicKey::Ed25519(key) => {
            UnparsedPublicKey::new(&native::ED25519, key).verify(message, signature)
        }
    };
    checked.is_ok()
}

// The examples of RFC 7515, appendix A, and RFC 8037, appendix A.

pub(crate) const RFC_PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// A.2 of RFC 7515.
pub(crate) const RFC_RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

pub(crate) fn rfc_rsa() -> Value {
    json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})
}

pub(crate) fn rfc_p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

pub(crate) fn rfc_ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

fn only(key: Value) -> Option<Arc<PublicKey>> {
    let keys = key_set(&set(&[key])).unwrap();
    keys.into_iter().next().map(|jwk| jwk.key)
}

fn with(key: Value, name: &str, value: Value) -> Value {
    let mut key = key;
    key[name] = value;
    key
}

#[test]
fn the_examples_of_the_rfcs_are_right_and_nothing_beside_them() {
    for (key, header, payload, signature) in [
        (rfc_rsa(), "eyJhbGciOiJSUzI1NiJ9", RFC_PAYLOAD, RFC_RS256),
        (
            rfc_p256(),
            "eyJhbGciOiJFUzI1NiJ9",
            RFC_PAYLOAD,
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            rfc_ed25519(),
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
        let message = format!("{header}.{payload}").into_bytes();
        let mut check = Check { key: only(key).unwrap(), message, signature };
        assert!(is_right(&check), "{:?}", check.key);
        check.message[0] ^= 1;
        assert!(!is_right(&check), "{:?}", check.key);
        check.message[0] ^= 1;
        check.signature[7] ^= 1;
        assert!(!is_right(&check), "{:?}", check.key);
    }
}

#[test]
fn keys_in_pem_are_of_the_algorithm_that_they_can() {
    for (pem, algorithm) in
        [(RSA_2048, Algorithm::Rs256), (P_256, Algorithm::Es256), (ED25519, Algorithm::EdDsa)]
    {
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        // However its lines were broken on the way.
        let in_one = pem.replace('\n', "");
        let indented = format!("  {}\r\n\n", pem.replace('\n', "\r\n\t  "));
        for written in [in_one, indented] {
            assert_eq!(PublicKey::from_pem(&written).as_ref(), Ok(&key), "{written}");
        }
    }
}

#[test]
fn what_is_no_key_for_us_says_why() {
    let broken = RSA_2048.replace("MIIB", "MIIC");
    let cut = P_256.replace("GL6gytgRkuIb0cYEWi1d4lG79HnyW4IebKN4KY7XdGg7phJovLzgD4YR1Q==", "");
    let twice = format!("{P_256}\n{ED25519}");
    for (pem, expected) in [
        ("", "expected a public key in PEM: `-----BEGIN PUBLIC KEY-----`"),
        ("MCowBQYDK2VwAyEA", "expected a public key in PEM: `-----BEGIN PUBLIC KEY-----`"),
        (PKCS_1, "expected `-----BEGIN PUBLIC KEY-----`, found a key of PKCS #1"),
        (
            "-----BEGIN CERTIFICATE-----",
            "expected `-----BEGIN PUBLIC KEY-----`, found a certificate",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----\nsecret",
            "expected `-----BEGIN PUBLIC KEY-----`, found a private key, which belongs to who signs alone",
        ),
        ("-----BEGIN PUBLIC KEY-----\nAA==\n", "this PEM is broken: its last line is gone"),
        (
            "-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----",
            "this PEM is broken: it is no Base64",
        ),
        (&twice, "this PEM is broken: something follows its last line"),
        (&broken, "what this PEM holds is no public key (RFC 5280)"),
        (&cut, "what this PEM holds is no public key (RFC 5280)"),
        (RSA_1024, "expected an RSA key of 2048 to 8192 bits, found 1024"),
        (COMPRESSED, "expected a point that is not compressed"),
        (P_384, "expected a key of RSA, P-256 or Ed25519, found one of the curve 1.3.132.0.34"),
        (X25519, "expected a key of RSA, P-256 or Ed25519, found one of the algorithm 1.3.101.110"),
        (&"x".repeat(8193), "this PEM is broken: it is longer than any key"),
    ] {
        let error = PublicKey::from_pem(pem).unwrap_err();
        assert_eq!(error.to_string(), expected, "{pem}");
    }
}

#[test]
fn no_byte_of_a_key_that_is_changed_brings_down_who_reads_it() {
    for pem in [RSA_2048, P_256, ED25519] {
        for at in 0..pem.len() {
            for byte in [b'A', b'/', b'-', b'\n', 0] {
                let mut bytes = pem.as_bytes().to_vec();
                bytes[at] = byte;
                drop(PublicKey::from_pem(str::from_utf8(&bytes).unwrap()));
            }
        }
    }
}

#[test]
fn exponents_that_no_runtime_takes_are_refused() {
    let modulus = [0xff; 256];
    for (exponent, is_taken) in [
        (&[3][..], true),
        (&[0, 1, 0, 1], true),
        (&[1, 255, 255, 255, 255], true),
        (&[2, 0, 0, 0, 1], false),
        (&[1], false),
        (&[2], false),
        (&[0], false),
        (&[], false),
    ] {
        let key = PublicKey::rsa(&modulus, exponent);
        assert_eq!(key.is_ok(), is_taken, "{exponent:?}");
    }
    assert_eq!(PublicKey::rsa(&[], &[3]), Err(NoKey::Bits(0)));
    assert_eq!(PublicKey::rsa(&[0x7f; 256], &[3]), Err(NoKey::Bits(2047)));
    assert_eq!(PublicKey::rsa(&[1; 1025], &[3]), Err(NoKey::Bits(8193)));
}

#[test]
fn of_a_set_only_keys_that_signatures_are_checked_with_are_taken() {
    for key in [rfc_rsa(), rfc_p256(), rfc_ed25519()] {
        let algorithm = only(key.clone()).unwrap().algorithm().as_str();
        for (name, value, is_taken) in [
            ("alg", json!(algorithm), true),
            ("alg", json!("HS256"), false),
            ("alg", json!(null), false),
            ("use", json!("sig"), true),
            ("use", json!("enc"), false),
            ("key_ops", json!(["verify"]), true),
            ("key_ops", json!(["encrypt"]), false),
            ("key_ops", json!("verify"), false),
            ("kid", json!("k"), true),
            ("kid", json!(1), false),
            ("x5c", json!(["of no interest"]), true),
            ("kty", json!("oct"), false),
            ("kty", json!(null), false),
        ] {
            let key = with(key.clone(), name, value.clone());
            assert_eq!(only(key).is_some(), is_taken, "{algorithm} {name}: {value}");
        }
    }
    for (key, name, value) in [
        (rfc_rsa(), "n", "AQAB"),
        (rfc_rsa(), "e", "AQ=="),
        (rfc_p256(), "x", "AQAB"),
        (rfc_p256(), "crv", "P-384"),
        (rfc_p256(), "y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5"),
        (rfc_ed25519(), "x", "AQAB"),
        (rfc_ed25519(), "crv", "Ed448"),
    ] {
        assert_eq!(only(with(key, name, json!(value))), None, "{name}: {value}");
    }
    // A secret that somebody publishes is none.
    assert_eq!(only(json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMko"})), None);
}

#[test]
fn a_key_is_written_as_it_was_read() {
    for key in [rfc_rsa(), rfc_p256(), rfc_ed25519()] {
        let members = only(key.clone()).unwrap().members().into_iter();
        let written = members.map(|(name, value)| (name.to_owned(), json!(value)));
        assert_eq!(Value::Object(written.collect()), key);
    }
}

#[test]
fn a_set_has_a_form_and_so_many_keys_at_most() {
    let mixed = set(&[json!(1), json!({}), with(rfc_ed25519(), "kid", json!("a"))]);
    let found = key_set(&mixed).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kid.as_deref(), Some("a"));
    assert_eq!(key_set(&set(&vec![rfc_ed25519(); KEYS_MAX])).map(|keys| keys.len()), Ok(KEYS_MAX));
    assert_eq!(key_set(&set(&vec![rfc_ed25519(); KEYS_MAX + 1])), Err(NoKeySet::TooMany));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        assert_eq!(key_set(text.as_bytes()), Err(NoKeySet::Malformed), "{text}");
    }
}
