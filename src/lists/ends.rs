//! What is done at the ends of lists: pushing, popping, moving from list to list. Commands that
//! wait for elements do the same when there are some.

use crate::command::collection::{NewElements, edit_or_delete, encoding_of, list_of};
use crate::command::encodings::{Encodings, list};
use crate::command::number::parse_integer;
use crate::command::spec::Failure;
use crate::engine::unit::{Key, Unit, View};
use crate::format::edit::Edit;
use crate::value::list_item;
use crate::value::view::ListRef;

use crate::command::list_shape::{grown, grown_from, shape, shrunk};

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// `LEFT`
    Head,
    /// `RIGHT`
    Tail,
}

impl End {
    /// The end that a word of the syntax names.
    pub fn parse(word: &[u8]) -> Result<End, Failure> {
        if word.eq_ignore_ascii_case(b"LEFT") {
            Ok(End::Head)
        } else if word.eq_ignore_ascii_case(b"RIGHT") {
            Ok(End::Tail)
        } else {
            Err(Failure::Syntax)
        }
    }

    fn is_front(self) -> bool {
        self == End::Head
    }
}

/// Elements that were popped, in that order.
#[derive(Debug, Default)]
pub struct Popped {
    count: usize,
    encoded: Vec<u8>,
}

impl Popped {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        list_item::Elements::new(&self.encoded)
    }

    fn push(&mut self, element: &[u8]) {
        list_item::encode(element, &mut self.encoded);
        self.count += 1;
    }
}

/// The list and the encoding of a live key, or of none.
pub fn known<'u>(view: Option<&View<'u>>) -> Result<(Option<ListRef<'u>>, u8), Failure> {
    match view {
        None => Ok((None, list::LISTPACK)),
        Some(view) => Ok((Some(list_of(view)?), encoding_of(view.value))),
    }
}

/// Pushes elements one after the other, where `must_exist` only to a list that is there; the length
/// of the list afterwards.
pub fn push<'a>(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    (key, end): (&Key<'_>, End),
    elements: impl Iterator<Item = &'a [u8]>,
    must_exist: bool,
) -> Result<u64, Failure> {
    let view = unit.get_to_change(key);
    let (before, encoding) = known(view.as_ref())?;
    if before.is_none() && must_exist {
        return Ok(0);
    }
    let (mut new, mut count, mut bytes) = (NewElements::default(), 0, 0);
    for element in elements {
        new.push(element);
        count += 1;
        bytes += element.len() as u64;
    }
    let len = before.map_or(0, |list| list.len()) + count;
    let encoding = grown(encodings, before, encoding, (count, bytes));
    unit.edit(key, shape(encoding), new.edit(end.is_front()));
    Ok(len)
}

/// Pops up to `count` elements; none where there is no key.
pub fn pop(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    (key, end): (&Key<'_>, End),
    count: u64,
) -> Result<Option<Popped>, Failure> {
    let Some(view) = unit.get_to_change(key) else {
        return Ok(None);
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let len = list.len();
    let count = count.min(len);
    let mut popped = Popped::default();
    let from = if end.is_front() { 0 } else { len - 1 };
    list.iter_from(from, !end.is_front()).take(count as usize).for_each(|e| popped.push(e));
    let (cut, rest) = if end.is_front() { (0, count) } else { (len - count, 0) };
    let left = (len - count) as usize;
    let encoding = match left {
        0 => encoding,
        _ => shrunk(encodings, encoding, (left as u64, list.iter_from(rest, false).take(left))),
    };
    edit_or_delete(unit, key, shape(encoding), Edit::Cut { index: cut, count }, (len, count));
    Ok(Some(popped))
}

/// Moves an element from an end of a list to an end of another, or of the same; the element, or
/// none where there is no source.
pub fn move_element(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    from: (&Key<'_>, End),
    to: (&Key<'_>, End),
) -> Result<Option<Popped>, Failure> {
    if let (None, _) = known(unit.get_to_change(from.0).as_ref())? {
        return Ok(None);
    }
    if (from.0.db, from.0.bytes) == (to.0.db, to.0.bytes) {
        return rotate(unit, encodings, from, to.1);
    }
    known(unit.get_to_change(to.0).as_ref())?;
    let Some(popped) = pop(unit, encodings, from, 1)? else {
        return Ok(None);
    };
    let (list, encoding) = known(unit.get_to_change(to.0).as_ref())?;
    let encoding = grown(encodings, list, encoding, (1, moved_bytes(&popped)));
    let elements = &popped.encoded;
    unit.edit(to.0, shape(encoding), Edit::Push { front: to.1.is_front(), elements });
    Ok(Some(popped))
}

/// Moves an element of a list, which there is, to an end of it. The key lives on even when it is
/// the only element.
fn rotate(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    (key, from): (&Key<'_>, End),
    to: End,
) -> Result<Option<Popped>, Failure> {
    let Some(view) = unit.get_to_change(key) else {
        return Ok(None);
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let len = list.len();
    let (mut popped, taken) = (Popped::default(), if from.is_front() { 0 } else { len - 1 });
    list.get(taken).into_iter().for_each(|element| popped.push(element));
    let rest = || {
        let first = if from.is_front() { 1 } else { 0 };
        list.iter_from(first, false).take(len as usize - 1)
    };
    let encoding = grown_from(encodings, encoding, (len - 1, rest()), (1, moved_bytes(&popped)));
    let all = rest().chain(popped.iter());
    let encoding = shrunk(encodings, encoding, (len, all));
    let elements = &popped.encoded;
    unit.edit(key, shape(encoding), Edit::Push { front: to.is_front(), elements });
    let index = taken + u64::from(to.is_front());
    unit.edit(key, shape(encoding), Edit::Cut { index, count: 1 });
    Ok(Some(popped))
}

/// Bytes of a moved element as Redis counts them before it pushes it: a number has none.
fn moved_bytes(popped: &Popped) -> u64 {
    let text = popped.iter().filter(|element| parse_integer(element).is_none());
    text.map(|element| element.len() as u64).sum()
}
