//! Redis's RDB encoding of values, as DUMP and RESTORE carry it. Pure: bytes in, values out.
//!
//! Nothing here touches Firn's own files, whose formats live in `format/`.

pub mod crc64;
pub mod lzf;
pub mod payload;
pub mod primitive;
