//! Collections as the inspector writes them.

use crate::format::edit::Edit;
use crate::types::ValueKind;
use crate::value::packed;
use crate::value::view::{AnyItem, packed_items};

use super::text::{abbreviated, json_bytes, quoted, time};

/// Items that are shown of a record.
const SHOWN_ITEMS: usize = 4;

/// An item on one line of text.
pub fn item_text(item: &AnyItem<'_>) -> String {
    match item {
        AnyItem::Element(bytes) | AnyItem::Member(bytes) => quoted(bytes),
        AnyItem::Scored(score, member) => format!("{score} {}", quoted(member)),
        AnyItem::Field(field) => {
            let deadline = field.deadline_ms.map(|at| format!(", expires {}", time(at)));
            let (name, value) = (quoted(field.member), quoted(field.payload));
            format!("{name} = {value}{}", deadline.unwrap_or_default())
        }
    }
}

/// An item as a JSON object.
pub fn item_json(item: &AnyItem<'_>) -> String {
    match item {
        AnyItem::Element(bytes) => format!("{{{}}}", json_bytes("element", bytes)),
        AnyItem::Member(bytes) => format!("{{{}}}", json_bytes("member", bytes)),
        AnyItem::Scored(score, member) => {
            let score = match score.is_finite() {
                true => format!("{score}"),
                false => format!("\"{score}\""),
            };
            format!("{{{},\"score\":{score}}}", json_bytes("member", member))
        }
        AnyItem::Field(field) => {
            let deadline = field.deadline_ms.map(|at| format!(",\"expire_at\":\"{}\"", time(at)));
            let value = json_bytes("value", field.payload);
            let field = json_bytes("field", field.member);
            format!("{{{field},{value}{}}}", deadline.unwrap_or_default())
        }
    }
}

/// The name of the kind in a byte of kind and encoding.
pub fn kind_name(shape: u8) -> &'static str {
    ValueKind::of_shape(shape).map_or("unknown", ValueKind::name)
}

/// A packed collection on one line.
pub fn describe(blob: &[u8]) -> String {
    if packed::validate(blob).is_none() {
        return format!("malformed {}", abbreviated(blob));
    }
    format!("{} {}", kind_name(blob[0]), some(packed_items(blob)))
}

/// A change of a collection on one line.
pub fn describe_edit(shape: u8, edit: &Edit<'_>) -> String {
    let items = |kind: ValueKind, bytes: &[u8]| {
        let blob = [&[kind.shape(0)], bytes].concat();
        some(packed_items(&blob))
    };
    match *edit {
        Edit::Put { items: bytes } => {
            let kind = ValueKind::of_shape(shape).unwrap_or(ValueKind::Set);
            format!("put {}", items(kind, bytes))
        }
        Edit::Remove { members } => format!("remove {}", items(ValueKind::Set, members)),
        Edit::Push { front, elements } => {
            let end = if front { "head" } else { "tail" };
            format!("push to the {end} {}", items(ValueKind::List, elements))
        }
        Edit::Cut { index, count } => format!("cut {count} from {index}"),
        Edit::Set { index, element } => format!("set {index} to {}", abbreviated(element)),
        Edit::Insert { index, element } => format!("insert {} at {index}", abbreviated(element)),
    }
}

/// The first few items, and how many there are.
fn some<'a>(items: impl Iterator<Item = AnyItem<'a>>) -> String {
    let (mut shown, mut count) = (Vec::new(), 0usize);
    for item in items {
        count += 1;
        if count <= SHOWN_ITEMS {
            shown.push(match item {
                AnyItem::Element(bytes) | AnyItem::Member(bytes) => abbreviated(bytes),
                AnyItem::Scored(score, member) => format!("{score} {}", abbreviated(member)),
                AnyItem::Field(field) => {
                    format!("{} = {}", abbreviated(field.member), abbreviated(field.payload))
                }
            });
        }
    }
    let more = if count > SHOWN_ITEMS { format!(", ... ({count} items)") } else { String::new() };
    format!("[{}{more}]", shown.join(", "))
}
