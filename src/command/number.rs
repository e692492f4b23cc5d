//! Integers as Redis reads them, with the failure of a command that cannot.

pub use crate::value::integer::parse_integer;

use super::spec::Failure;

/// [`parse_integer`], with the failure that a command reports.
pub fn integer(text: &[u8]) -> Result<i64, Failure> {
    parse_integer(text).ok_or(Failure::NotInteger)
}
