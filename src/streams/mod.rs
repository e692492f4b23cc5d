//! Commands on streams.

pub mod add;
pub mod claim;
pub mod group;
pub mod group_info;
pub mod id;
pub mod idempotence;
pub mod info;
pub mod pending;
pub mod range;
pub mod read;
pub mod read_group;
pub mod references;
pub mod release;
pub mod remove;
pub mod remove_ex;
pub mod trim;
pub mod value;
