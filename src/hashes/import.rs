//! What HIMPORT SET makes of a fieldset and values; the command belongs to a client's session.

use crate::command::collection::NewItems;
use crate::command::encodings::Encodings;
use crate::command::spec::Failure;
use crate::engine::unit::{Key, Unit};
use crate::format::record::Record;
use crate::value::item::Item;

use super::value::{Before, hash_to_change};

/// Bytes that an item has in the log beyond its field and value, at most.
const ITEM_BYTES: usize = 32;

/// A bound of the frame that [`replace`] writes, whose fields and values have `bytes` bytes.
pub fn frame_bytes(key: &[u8], fields: usize, bytes: usize) -> u64 {
    (key.len() + Record::HEAD_BYTES_MAX + fields * ITEM_BYTES + bytes) as u64
}

/// The key, which holds a hash or nothing, now holds these different fields, one at least, and no
/// deadline. Redis keeps such hashes in the order of their fields.
pub fn replace(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    key: &Key<'_>,
    mut pairs: Vec<(&[u8], &[u8])>,
) -> Result<(), Failure> {
    hash_to_change(unit, key)?;
    pairs.sort_unstable();
    let (mut items, mut longest) = (NewItems::default(), 0);
    for (field, value) in &pairs {
        longest = longest.max(field.len()).max(value.len());
        items.push(Item::new(field, value));
    }
    let shape = Before::of(None).shape_with(encodings, pairs.len() as u64, longest);
    unit.put_edit(key, shape, items.edit());
    Ok(())
}
