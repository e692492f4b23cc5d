//! Redis's RDB encoding of values, as DUMP and RESTORE carry it. Pure: bytes in, values out.
//!
//! Nothing here touches Firn's own files, whose formats live in `format/`.

pub mod crc64;
pub mod encode;
pub mod lzf;
pub mod object;
pub mod payload;
pub mod primitive;
pub mod stream;

mod bound;
mod collection;
mod intset;
mod listpack;
mod packed;
mod stream_decode;
mod stream_encode;
mod type_byte;
mod ziplist;
mod zipmap;

#[cfg(test)]
mod samples;
