use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::source::{FRESH, LOST, PAUSE};
use super::*;
use crate::fault::{At, Fault, Report};
use crate::problem::Failure;
use crate::signature::tests::{
    ED25519, P_256, RFC_PAYLOAD, RFC_RS256, RSA_2048, is_right, rfc_p256, rfc_rsa,
};
use crate::wire;
use std::time::Duration;

/// A moment at which the tokens of RFC 7515 count.
const NOW: Timestamp = Timestamp::from_millis(1_300_819_000_000);

/// A.1 of RFC 7515.
const RFC_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
const RFC_HS256: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RFC_HS256_HEADER: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";

const SECRET: &str = "a-secret-of-thirty-two-characters";

fn compile(value: &Value, sources: &mut Sources) -> (Option<JwtCredential>, Report) {
    let mut report = Report::default();
    let compiled = wire::read(value, At::Root, &mut report, |wire: JwtCredentialWire, report| {
        wire.compile(sources, At::Root, report)
    });
    (compiled, report)
}

fn credential(value: Value) -> JwtCredential {
    let (compiled, report) = compile(&value, &mut Sources::default());
    assert_eq!(report.faults, []);
    compiled.unwrap()
}

fn part(value: &Value) -> String {
    Base64UrlUnpadded::encode_string(value.to_string().as_bytes())
}

/// What would be signed.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", part(header), part(claims))
}

fn joined(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(signature))
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _};
    let signed = unsigned(header, claims);
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap().chain_update(&signed);
    joined(&signed, &mac.finalize().into_bytes())
}

/// What is said of a token.
#[derive(Debug)]
enum Said {
    Given,
    Refused,
    Fetch(Errand),
    Wait,
    Away,
}

use Said::{Away, Given, Refused, Wait};

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Said {
    #[track_caller]
    fn errand(self) -> Errand {
        let Self::Fetch(errand) = self else { panic!("nothing is fetched: {self:?}") };
        errand
    }

    /// Brings what is at the URL.
    #[track_caller]
    fn fetch(self, text: &[u8], now: Timestamp) {
        assert_eq!(self.errand().deliver(Ok(text.to_vec()), now), Ok(()));
    }
}

/// What is said of a token at a moment, once a runtime has checked what there is to check.
fn judge_at(credential: &JwtCredential, token: &str, now: Timestamp) -> Said {
    let Ok(token) = parse(token) else { return Refused };
    match credential.trust(token, &Claim::ALL, now, true) {
        Trust::Given => Given,
        Trust::Check(check) if is_right(&check) => Given,
        Trust::Check(_) | Trust::Refused => Refused,
        Trust::Fetch(errand) => Said::Fetch(errand),
        Trust::Wait => Wait,
        Trust::Away => Away,
    }
}

fn judge(credential: &JwtCredential, token: &str) -> Said {
    judge_at(credential, token, NOW)
}

fn by_secret() -> JwtCredential {
    credential(json!({"key": "k", "secret": SECRET}))
}

#[test]
fn the_examples_of_rfc_7515_are_taken_until_they_are_over() {
    let hs256 = format!("{RFC_HS256_HEADER}.{RFC_PAYLOAD}.{RFC_HS256}");
    let by_secret = credential(json!({"key": "joe", "secret": RFC_SECRET, "base64_secret": true}));
    assert_eq!(judge(&by_secret, &hs256), Given);
    let over = Timestamp::from_millis(1_300_819_380_000);
    assert_eq!(judge_at(&by_secret, &hs256, over), Refused);

    let mut sources = Sources::default();
    let source =
        json!({"key": "joe", "algorithm": "RS256", "jwks_uri": "https://joe.example/keys"});
    let (by_key, _) = compile(&source, &mut sources);
    let by_key = by_key.unwrap();
    let rs256 = format!("eyJhbGciOiJSUzI1NiJ9.{RFC_PAYLOAD}.{RFC_RS256}");
    let errand = judge(&by_key, &rs256).errand();
    assert_eq!(errand.url(), "https://joe.example/keys");
    assert_eq!(errand.deliver(Ok(keys(&[rfc_p256(), rfc_rsa()])), NOW), Ok(()));
    assert_eq!(judge(&by_key, &rs256), Given);
    assert_eq!(judge_at(&by_key, &rs256, over), Refused);
}

#[test]
fn a_token_that_is_not_signed_is_refused_by_everybody() {
    // A.5 of RFC 7515, and with whatever stands where the signature would.
    let bare = format!("eyJhbGciOiJub25lIn0.{RFC_PAYLOAD}.");
    let keyed = |name: &str, pem: &str| {
        credential(json!({"key": "k", "algorithm": name, "public_key": pem}))
    };
    let all =
        [by_secret(), keyed("RS256", RSA_2048), keyed("ES256", P_256), keyed("EdDSA", ED25519)];
    for credential in &all {
        assert_eq!(judge(credential, &bare), Refused);
        for name in ["none", "None", "NONE", "nOnE", "", "HS257", "hs256"] {
            let header = json!({"alg": name});
            for token in [
                unsigned(&header, &json!({"key": "k"})) + ".",
                hs256(&header, &json!({"key": "k"}), SECRET.as_bytes()),
                hs256(&header, &json!({"key": "k"}), b""),
            ] {
                assert_eq!(judge(credential, &token), Refused, "{name}");
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let claims = json!({"key": "k"});
    for (name, pem) in [("RS256", RSA_2048), ("ES256", P_256), ("EdDSA", ED25519)] {
        let credential = credential(json!({"key": "k", "algorithm": name, "public_key": pem}));
        let lines = format!("{pem}\n");
        for secret in [pem, &lines, pem.lines().nth(1).unwrap(), ""] {
            for header in [json!({"alg": "HS256"}), json!({"alg": name})] {
                let token = hs256(&header, &claims, secret.as_bytes());
                assert_eq!(judge(&credential, &token), Refused, "{name} {header}");
            }
        }
    }
    // Nor the other way round: a key that a token brings along itself counts for nothing.
    let (token, own) = signed_ed25519(json!({"alg": "EdDSA"}), &claims);
    let brought = json!({"alg": "EdDSA", "jwk": own, "jku": "https://evil.example/keys"});
    let (with_key, _) = signed_ed25519(brought, &claims);
    for token in [token, with_key] {
        assert_eq!(judge(&by_secret(), &token), Refused);
        let other = credential(json!({"key": "k", "algorithm": "EdDSA", "public_key": ED25519}));
        assert_eq!(judge(&other, &token), Refused);
    }
}

#[test]
fn tokens_count_in_their_time_to_the_millisecond() {
    let at = |millis: u64| Timestamp::from_millis(millis);
    for (claims, patience, from, until) in [
        (json!({}), 0, 0_u64, u64::MAX),
        (json!({"exp": 100}), 0, 0, 99_999),
        (json!({"exp": 100}), 5, 0, 104_999),
        (json!({"exp": 100.25}), 0, 0, 100_249),
        (json!({"exp": 1e2}), 0, 0, 99_999),
        (json!({"nbf": 100}), 0, 100_000, u64::MAX),
        (json!({"nbf": 100}), 5, 95_000, u64::MAX),
        (json!({"nbf": 99.5}), 0, 99_500, u64::MAX),
        (json!({"nbf": 50, "exp": 100}), 0, 50_000, 99_999),
        (json!({"nbf": -1, "exp": 4_000_000_000_u32}), 0, 0, 3_999_999_999_999),
    ] {
        let credential =
            credential(json!({"key": "k", "secret": SECRET, "lifetime_grace_period": patience}));
        let token = hs256(&json!({"alg": "HS256"}), &claims, SECRET.as_bytes());
        for (now, expected) in [
            (from.checked_sub(1), Refused),
            (Some(from), Given),
            (Some(until), Given),
            (until.checked_add(1), Refused),
        ] {
            let Some(now) = now else { continue };
            assert_eq!(judge_at(&credential, &token, at(now)), expected, "{claims} at {now}");
        }
    }
}

#[test]
fn a_time_that_is_none_never_comes() {
    for claims in [
        json!({"exp": "4000000000"}),
        json!({"exp": null}),
        json!({"exp": true}),
        json!({"nbf": "1"}),
        json!({"nbf": {}}),
        json!({"exp": [4_000_000_000_u32]}),
        json!({"exp": -1}),
    ] {
        let token = hs256(&json!({"alg": "HS256"}), &claims, SECRET.as_bytes());
        assert_eq!(judge(&by_secret(), &token), Refused, "{claims}");
        let token = parse(&token).unwrap();
        // Unless nobody asks.
        assert!(matches!(by_secret().trust(token, &[], NOW, true), Trust::Given), "{claims}");
    }
}

#[test]
fn what_is_not_written_as_a_token_is_none() {
    let good = hs256(&json!({"alg": "HS256"}), &json!({"key": "k"}), SECRET.as_bytes());
    assert!(parse(&good).is_ok());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let of = |header: &Value| unsigned(header, &json!({"key": "k"})) + ".c2ln";
    let raw = |header: &str, payload: &str| {
        let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        format!("{}.{}.c2ln", part(header), part(payload))
    };
    for text in [
        String::new(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!(" {good}"),
        format!("{good}="),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}\n.{signature}"),
        format!("{header}.{payload}+.{signature}"),
        // The last letter of a signature of 32 bytes has 2 bits of no meaning.
        format!("{}_", &good[..good.len() - 1]),
        of(&json!({"alg": "HS256", "crit": []})),
        of(&json!({"alg": "HS256", "crit": ["b64"], "b64": false})),
        of(&json!({"alg": ["HS256"]})),
        of(&json!({"typ": "JWT"})),
        of(&json!({"alg": "HS256", "kid": 7})),
        of(&json!([])),
        raw(r#"{"alg":"none","alg":"HS256"}"#, "{}"),
        raw(r#"{"alg":"HS256"}"#, r#"{"key":"a","key":"k"}"#),
        raw(r#"{"alg":"HS256"}"#, "[]"),
        raw(r#"{"alg":"HS256"}"#, ""),
        raw(&format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000)), "{}"),
        raw(r#"{"alg":"HS256"}"#, &format!(r#"{{"x":"{}"}}"#, "x".repeat(token::TOKEN_MAX))),
    ] {
        assert_eq!(parse(&text), Err(token::Malformed), "{text:.80}");
    }
}

#[test]
fn no_change_of_a_token_is_taken() {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let token = hs256(&header, &json!({"key": "k", "exp": 4_000_000_000_u32}), SECRET.as_bytes());
    assert_eq!(judge(&by_secret(), &token), Given);
    for at in 0..token.len() {
        for byte in *b"AbZ09-_.=" {
            let mut changed = token.clone().into_bytes();
            if std::mem::replace(&mut changed[at], byte) != byte {
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(judge(&by_secret(), &changed), Refused, "{changed}");
            }
        }
        assert_eq!(judge(&by_secret(), &token[..at]), Refused, "{at}");
    }
}

#[test]
fn a_signature_on_p_256_has_one_form() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .unwrap();
    let point = pair.public_key().as_ref();
    let encode = Base64UrlUnpadded::encode_string;
    let key =
        json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
    let credential = of_source("ES256", &[key]);
    let signed = unsigned(&json!({"alg": "ES256"}), &json!({"key": "k"}));
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    assert_eq!(judge(&credential, &joined(&signed, signature.as_ref())), Given);
    for forged in [&signature.as_ref()[..63], &[0; 64], &[], &[signature.as_ref(), &[0]].concat()] {
        assert_eq!(judge(&credential, &joined(&signed, forged)), Refused, "{forged:?}");
    }
}

/// A token, and the public key of who signed it.
fn signed_ed25519(header: Value, claims: &Value) -> (String, Value) {
    signed_by(1, header, claims)
}

fn signed_by(seed: u8, header: Value, claims: &Value) -> (String, Value) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let mut key = json!({
        "kty": "OKP", "crv": "Ed25519",
        "x": Base64UrlUnpadded::encode_string(pair.public_key().as_ref()),
    });
    if let Some(kid) = header.get("kid") {
        key["kid"] = kid.clone();
    }
    let signed = unsigned(&header, claims);
    (joined(&signed, pair.sign(signed.as_bytes()).as_ref()), key)
}

const URL: &str = "https://keys.example/jwks.json";

fn waiting(algorithm: &str) -> JwtCredential {
    credential(json!({"key": "k", "algorithm": algorithm, "jwks_uri": URL}))
}

fn keys(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// Whose keys have come.
fn of_source(algorithm: &str, all: &[Value]) -> JwtCredential {
    let credential = waiting(algorithm);
    let token = unsigned(&json!({"alg": algorithm, "kid": "?"}), &json!({})) + ".c2ln";
    judge(&credential, &token).fetch(&keys(all), NOW);
    credential
}

fn named(seed: u8, kid: &str) -> (String, Value) {
    signed_by(seed, json!({"alg": "EdDSA", "kid": kid}), &json!({"key": "k"}))
}

#[test]
fn a_token_names_one_of_several_keys() {
    let ((a, key_a), (b, key_b)) = (named(1, "a"), named(2, "b"));
    let (unnamed, _) = signed_by(2, json!({"alg": "EdDSA"}), &json!({"key": "k"}));
    let (as_a, _) = named(2, "a");
    let both = of_source("EdDSA", &[key_a, rfc_rsa(), key_b.clone()]);
    assert_eq!(judge(&both, &a), Given);
    assert_eq!(judge(&both, &b), Given);
    assert_eq!(judge(&both, &as_a), Refused, "signed with b, and says a");
    assert_eq!(judge(&both, &unnamed), Refused, "which one, nobody says");
    let one = of_source("EdDSA", &[rfc_rsa(), key_b]);
    assert_eq!(judge(&one, &unnamed), Given, "there is only one that it can mean");
    // A name that stands for a key of another algorithm is the name of none.
    let mut rsa = rfc_rsa();
    rsa["kid"] = json!("b");
    assert_eq!(judge(&of_source("EdDSA", &[rsa]), &b), Refused);
}

#[test]
fn one_asks_for_keys_and_the_others_wait() {
    let (token, key) = named(1, "a");
    let credential = waiting("EdDSA");
    let errand = judge(&credential, &token);
    assert_eq!(judge(&credential, &token), Wait);
    errand.fetch(&keys(&[key]), NOW);
    assert_eq!(judge(&credential, &token), Given);
}

#[test]
fn nobody_waits_for_who_has_left() {
    let (token, _) = named(1, "a");
    let credential = waiting("EdDSA");
    // The runtime was ended with it, and does not even drop it.
    std::mem::forget(judge(&credential, &token).errand());
    let just_before = Timestamp::from_millis(NOW.plus(LOST).as_millis() - 1);
    assert_eq!(judge_at(&credential, &token, just_before), Wait);
    let errand = judge_at(&credential, &token, NOW.plus(LOST)).errand();
    assert_eq!(judge_at(&credential, &token, NOW.plus(LOST)), Wait);
    drop(errand);
    assert_eq!(judge_at(&credential, &token, NOW.plus(LOST)), Away);
}

#[test]
fn tokens_that_cannot_count_ask_for_nothing() {
    let (expired, _) = signed_ed25519(json!({"alg": "EdDSA"}), &json!({"exp": 1}));
    let credential = waiting("EdDSA");
    assert_eq!(judge(&credential, &expired), Refused);
    let other = hs256(&json!({"alg": "HS256"}), &json!({"key": "k"}), SECRET.as_bytes());
    assert_eq!(judge(&credential, &other), Refused);
    let (token, _) = named(1, "a");
    let looked = credential.trust(parse(&token).unwrap(), &Claim::ALL, NOW, false);
    assert!(matches!(looked, Trust::Away), "who only looks asks for nothing");
    judge(&credential, &token).errand();
}

#[test]
fn rotated_keys_are_found_by_their_new_name() {
    let ((old, key_old), (new, key_new)) = (named(1, "old"), named(2, "new"));
    let credential = of_source("EdDSA", std::slice::from_ref(&key_old));
    let later = NOW.plus(PAUSE);
    let errand = judge_at(&credential, &new, later);
    assert_eq!(judge_at(&credential, &old, later), Given, "does not wait for it");
    assert_eq!(judge_at(&credential, &new, later), Wait);
    errand.fetch(&keys(&[key_new]), later);
    assert_eq!(judge_at(&credential, &new, later), Given);
    assert_eq!(judge_at(&credential, &old, later), Refused, "it was taken back");
}

#[test]
fn invented_names_lead_to_one_request_in_a_while() {
    let (token, key) = named(1, "a");
    let credential = of_source("EdDSA", std::slice::from_ref(&key));
    let mut fetches = 0;
    for millis in (0..=120_000).step_by(250) {
        let now = NOW.plus(Duration::from_millis(millis));
        let (invented, _) = named(2, &millis.to_string());
        match judge_at(&credential, &invented, now) {
            said @ Said::Fetch(_) => {
                fetches += 1;
                said.fetch(&keys(std::slice::from_ref(&key)), now);
            }
            said @ (Given | Refused | Wait | Said::Away) => assert_eq!(said, Refused),
        }
        if millis % 1000 == 0 {
            assert_eq!(judge_at(&credential, &token, now), Given);
        }
    }
    assert_eq!(fetches, 4);
}

#[test]
fn keys_are_kept_while_their_source_is_away_and_followed_when_it_is_back() {
    let (token, key) = named(1, "a");
    let credential = of_source("EdDSA", &[key]);
    let mut now = NOW.plus(FRESH);
    let away = Failure::ConnectionRefused;
    for (answer, why) in [
        (Err(away), Vain::Failed(away)),
        (Ok(b"<html>".to_vec()), Vain::NoKeySet),
        (Ok(b"{}".to_vec()), Vain::NoKeySet),
        (Ok(keys(&vec![rfc_p256(); 101])), Vain::NoKeySet),
        (Ok([keys(&[]), vec![b' '; KEY_SET_MAX]].concat()), Vain::NoKeySet),
        (Err(away), Vain::Failed(away)),
    ] {
        let errand = judge_at(&credential, &token, now).errand();
        assert_eq!(judge_at(&credential, &token, now), Given, "others go on meanwhile");
        assert_eq!(errand.deliver(answer, now), Err(why));
        assert_eq!(judge_at(&credential, &token, now), Given);
        now = now.plus(PAUSE);
    }
    judge_at(&credential, &token, now).fetch(&keys(&[]), now);
    assert_eq!(judge_at(&credential, &token, now), Refused, "it says that there is none");
}

#[test]
fn a_source_that_never_answered_is_away_and_not_asked_all_the_time() {
    let (token, key) = named(1, "a");
    let credential = waiting("EdDSA");
    drop(judge(&credential, &token).errand());
    assert_eq!(judge(&credential, &token), Away);
    let later = NOW.plus(PAUSE);
    judge_at(&credential, &token, later).fetch(&keys(&[key]), later);
    assert_eq!(judge_at(&credential, &token, later), Given);
}

#[test]
fn a_later_document_goes_on_with_the_keys_and_so_does_a_request_on_its_way() {
    let (token, key) = named(1, "a");
    let wire = json!({"key": "k", "algorithm": "EdDSA", "jwks_uri": URL});
    let (mut earlier, mut later) = (Sources::default(), Sources::default());
    let (before, after) =
        (compile(&wire, &mut earlier).0.unwrap(), compile(&wire, &mut later).0.unwrap());
    let errand = judge(&before, &token);
    later.follow(&earlier);
    assert_eq!(judge(&after, &token), Wait);
    errand.fetch(&keys(&[key]), NOW);
    assert_eq!(judge(&after, &token), Given);
    let other = json!({"key": "k", "algorithm": "EdDSA", "jwks_uri": "https://other.example/"});
    let (other, _) = compile(&other, &mut later);
    later.follow(&earlier);
    assert_eq!(judge(&other.unwrap(), &token).errand().url(), "https://other.example/");
}

#[test]
fn of_all_who_ask_at_once_one_is_sent() {
    let (token, key) = named(1, "a");
    let credential = waiting("EdDSA");
    let sent = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    match judge(&credential, &token) {
                        said @ Said::Fetch(_) => {
                            sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            said.fetch(&keys(std::slice::from_ref(&key)), NOW);
                        }
                        Wait => std::thread::yield_now(),
                        said @ (Given | Refused | Said::Away) => return assert_eq!(said, Given),
                    }
                }
            });
        }
    });
    assert_eq!(sent.into_inner(), 1);
}

#[track_caller]
fn check(value: Value, faults: &[&str], warnings: &[&str]) {
    let (compiled, report) = compile(&value, &mut Sources::default());
    let said = |list: &[Fault]| list.iter().map(Fault::to_string).collect::<Vec<_>>();
    assert_eq!(said(&report.faults), faults, "{value}");
    assert_eq!(said(&report.warnings), warnings, "{value}");
    assert_eq!(compiled.is_some(), faults.is_empty());
}

#[test]
fn keys_fit_their_algorithm_or_it_is_said_why_not() {
    let with = |algorithm: &str, name: &str, value: &str| json!({"key": "k", "algorithm": algorithm, name: value});
    for (algorithm, pem) in [("RS256", RSA_2048), ("ES256", P_256), ("EdDSA", ED25519)] {
        check(with(algorithm, "public_key", pem), &[], &[]);
        check(with(algorithm, "jwks_uri", "https://a.example"), &[], &[]);
        let what = format!(
            "(document): {algorithm} needs a `public_key`, or a `jwks_uri` where to find it"
        );
        check(json!({"key": "k", "algorithm": algorithm}), &[&what], &[]);
    }
    check(
        with("RS256", "public_key", P_256),
        &["/public_key: this key is for ES256, and `algorithm` says RS256"],
        &[],
    );
    check(
        json!({"key": "k", "public_key": RSA_2048}),
        &["/public_key: HS256 is signed with a `secret`: name the `algorithm` of this key"],
        &[],
    );
    check(
        with("HS256", "secret", RSA_2048),
        &["/secret: a key in PEM is no secret: say so in `public_key`, with its `algorithm`"],
        &[],
    );
    check(
        with("EdDSA", "public_key", "MCow"),
        &["/public_key: expected a public key in PEM: `-----BEGIN PUBLIC KEY-----`"],
        &[],
    );
    check(
        json!({"key": "k", "algorithm": "EdDSA", "public_key": ED25519, "jwks_uri": "https://a.example"}),
        &["/jwks_uri: expected either this or `public_key`, not both"],
        &[],
    );
    check(
        json!({"key": "k"}),
        &["(document): `secret` is missing, with which HS256 is signed"],
        &[],
    );
    let unknown = "/algorithm: APISIX has this algorithm, Splitway does not support it yet";
    check(with("PS256", "public_key", RSA_2048), &[unknown], &[]);
    check(
        with("none", "secret", SECRET),
        &["/algorithm: a token that is not signed says nothing"],
        &[],
    );
    check(
        with("EDDSA", "public_key", ED25519),
        &["/algorithm: expected one of HS256, RS256, ES256, EdDSA; did you mean `EdDSA`?"],
        &[],
    );
}

#[test]
fn what_would_be_no_secret_is_said() {
    let secret = |secret: &str| json!({"key": "k", "secret": secret});
    check(secret(SECRET), &[], &[]);
    check(
        secret("my-secret"),
        &[],
        &["/secret: of 9 bytes: can be guessed; RFC 7518 asks for 32 random ones"],
    );
    check(secret(""), &["/secret: expected at least one character"], &[]);
    check(
        secret("$env://X"),
        &["/secret: references to secrets are not supported yet"],
        &["/secret: of 8 bytes: can be guessed; RFC 7518 asks for 32 random ones"],
    );
    check(
        json!({"key": "k", "secret": "?", "base64_secret": true}),
        &["/secret: expected Base64, as `base64_secret` says"],
        &[],
    );
    check(
        json!({"key": "", "secret": SECRET, "exp": 0, "private_key": "x", "lifetime_grace_period": -1}),
        &[
            "/lifetime_grace_period: expected an integer from 0, found `-1`",
            "/private_key: a private key belongs to who signs alone: nothing here needs it",
            "/key: expected at least one character",
            "/exp: expected an integer from 1, found 0",
        ],
        &[],
    );
    let exp = "/exp: without effect: it is for tokens that a gateway issues, this one issues none";
    check(json!({"key": "k", "secret": SECRET, "exp": 60}), &[], &[exp]);
    check(json!({"key": "k", "secret": SECRET, "exp": 86400}), &[], &[]);
    let shown = format!("{:?}", by_secret());
    assert!(!shown.contains("secret-of"), "{shown}");
}

#[test]
fn keys_are_asked_for_where_nobody_else_can_answer() {
    for url in [
        "https://a.example",
        "https://a.example:8443/realms/a?b=c",
        "https://[2001:db8::1]/keys",
        "https://[2001:db8::1]:1/",
        "http://127.0.0.1:1234/keys",
        "http://127.1.2.3/keys",
        "http://[::1]:80/keys",
    ] {
        check(json!({"key": "k", "algorithm": "RS256", "jwks_uri": url}), &[], &[]);
    }
    let plain = "expected `https://`: keys that others can change on the way are none";
    let form = "expected a URL that begins with `https://`, without blanks and `#`";
    let host = "expected a URL with a host, and a port that is one";
    let scheme = "expected a URL that begins with `https://`";
    let user = "expected a URL without a user: what is published has no password";
    for (url, what) in [
        ("http://a.example/keys", plain),
        ("http://127.0.0.1.example/keys", plain),
        ("http://localhost/keys", plain),
        ("http://127.0.0.1@a.example/", user),
        ("https://u:p@a.example/", user),
        ("https:///keys", host),
        ("https://a.example:0x50/", host),
        ("https://a.example:/", host),
        ("ftp://a.example/", scheme),
        ("https://a.example/#x", form),
        ("https://a.example/ ", form),
        ("https://a.example\\@b.example/", form),
        ("a.example", form),
        ("", form),
    ] {
        let value = json!({"key": "k", "algorithm": "RS256", "jwks_uri": url});
        check(value, &[&format!("/jwks_uri: {what}")], &[]);
    }
}
