//! Payloads of RESTORE.

use firn::rdb::payload::{self, Object, VERSION_MAX};
use firn::value::string::StringRef;

use crate::seal;

/// Decodes bytes as RESTORE does, as they are and under a sound footer; what decodes must come back
/// the same through DUMP.
pub fn rdb_payload(data: &[u8]) {
    check(data);
    let Some((&version, body)) = data.split_first() else {
        return;
    };
    let payload = seal::rdb(body, u16::from(version) % (VERSION_MAX + 2));
    check(&payload);
}

fn check(bytes: &[u8]) {
    let Ok(Object::String(string)) = payload::decode(bytes) else {
        return;
    };
    // The promise of `decode`: memory in proportion to what was sent.
    assert!(string.len() <= bytes.len() * 88, "{} of {}", string.len(), bytes.len());
    let value = StringRef::Flat { bytes: &string, shared: None, raw: false };
    let dumped = payload::encode_string(&value).concat();
    assert_eq!(payload::decode(&dumped), Ok(Object::String(string)));
}
