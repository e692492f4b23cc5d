//! Pure data structures of values.

pub mod chunks;
pub mod collection;
pub mod integer;
pub mod item;
pub mod list;
pub mod list_chunk;
pub mod list_item;
pub mod member_chunk;
pub mod members;
pub mod order;
pub mod order_leaf;
pub mod packed;
pub mod packed_list;
pub mod packed_members;
pub mod score;
pub mod stream;
pub mod stream_chunk;
pub mod stream_fact;
pub mod stream_groups;
pub mod stream_id;
pub mod stream_producers;
#[cfg(test)]
mod stream_tests;
pub mod string;
pub mod tree;
pub mod view;
pub mod zset;
