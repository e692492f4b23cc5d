//! Pure encoders and decoders of everything on disk: bytes in, values out. `format-spec/` is
//! normative.

pub mod checksum;
pub mod decoder;
pub mod edit;
pub mod file_name;
pub mod frame;
pub mod manifest;
pub mod part;
pub mod part_block;
pub mod part_index;
pub mod part_rows;
pub mod position;
pub mod record;
pub mod segment;
pub mod varint;
