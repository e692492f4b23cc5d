//! All data commands together: found by name, their keys in a call, and COMMAND, which tells about
//! them. A new family gets its lines in [`table`].

pub mod describe;
pub mod docs;
pub mod introspect;
pub mod table;
