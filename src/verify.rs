//! Signatures of tokens, checked by the runtime (Web Cryptography).

use std::cell::RefCell;
use std::sync::Arc;

use splitway_core::signature::{Check, PublicKey};
use worker::js_sys::{self, Array, Object, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;

use crate::platform::call;
use crate::telemetry;

/// So many keys are kept as the runtime has them. It takes longer to make one of them than to use it.
const KEPT_MAX: usize = 64;

thread_local! {
    /// Keys that were used, the last one at the end.
    static KEPT: RefCell<Vec<(Arc<PublicKey>, JsValue)>> = const { RefCell::new(Vec::new()) };
}

/// Whether a signature is right. What the runtime makes nothing of is not.
pub(crate) async fn verify(check: &Check) -> bool {
    let checked = try_verify(check).await;
    if let Err(error) = &checked {
        telemetry::failure(&telemetry::message(error));
    }
    checked.unwrap_or(false)
}

async fn try_verify(Check { key, message, signature }: &Check) -> Result<bool, JsValue> {
    let subtle =
        Reflect::get(&Reflect::get(&js_sys::global(), &"crypto".into())?, &"subtle".into())?;
    let algorithm = algorithm(key)?;
    let native = match kept(key) {
        Some(native) => native,
        None => {
            let native = import(&subtle, key, &algorithm).await?;
            keep(key, &native);
            native
        }
    };
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    let arguments = [algorithm.into(), native, bytes(signature), bytes(message)];
    let verified: Promise = call(&subtle, "verify", &arguments)?.dyn_into()?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

async fn import(subtle: &JsValue, key: &PublicKey, algorithm: &Object) -> Result<JsValue, JsValue> {
    let members = key.members();
    let jwk = object(members.iter().map(|(name, value)| (*name, value.as_str())))?;
    let uses = Array::of1(&"verify".into());
    let arguments = ["jwk".into(), jwk.into(), algorithm.into(), JsValue::FALSE, uses.into()];
    let imported: Promise = call(subtle, "importKey", &arguments)?.dyn_into()?;
    JsFuture::from(imported).await
}

/// What the runtime is told of the algorithm that a key is for.
fn algorithm(key: &PublicKey) -> Result<Object, JsValue> {
    match key {
        PublicKey::Rsa { .. } => object([("name", "RSASSA-PKCS1-v1_5"), ("hash", "SHA-256")]),
        PublicKey::P256(_) => {
            object([("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")])
        }
        PublicKey::Ed25519(_) => object([("name", "Ed25519")]),
    }
}

fn object<'m>(members: impl IntoIterator<Item = (&'m str, &'m str)>) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &name.into(), &value.into())?;
    }
    Ok(object)
}

fn kept(key: &Arc<PublicKey>) -> Option<JsValue> {
    KEPT.with_borrow(|kept| {
        let mut kept = kept.iter();
        let is_it = |own: &Arc<PublicKey>| Arc::ptr_eq(own, key) || own == key;
        kept.find_map(|(own, native)| is_it(own).then(|| native.clone()))
    })
}

fn keep(key: &Arc<PublicKey>, native: &JsValue) {
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push((Arc::clone(key), native.clone()));
    });
}
