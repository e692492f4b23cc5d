//! What payloads hold, as plain data.

use std::borrow::Cow;

use super::stream::StreamData;

/// A decoded value. Elements are borrowed from the payload where they stand there as they are.
#[derive(Clone, PartialEq, Debug)]
pub enum Object<'a> {
    /// A string.
    String(Cow<'a, [u8]>),
    /// Elements from the head on; at least one.
    List(Vec<Cow<'a, [u8]>>),
    /// Members in no order, none of them twice; at least one.
    Set(Vec<Cow<'a, [u8]>>),
    /// Members in no order, none of them twice, with scores that are numbers; at least one.
    Zset(Vec<(Cow<'a, [u8]>, f64)>),
    /// Fields in no order, none of them twice; at least one.
    Hash(Vec<HashField<'a>>),
    /// A stream, which may be empty.
    Stream(Box<StreamData>),
}

/// A field of a hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashField<'a> {
    /// Its name.
    pub field: Cow<'a, [u8]>,
    /// Its value.
    pub value: Cow<'a, [u8]>,
    /// When it expires, in milliseconds since 1970; it may be over already.
    pub deadline_ms: Option<u64>,
}
