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

/// Room for what is popped, in bytes: most often it is one element.
const POPPED_BYTES: usize = 96;

/// Elements that were popped, in that order.
#[derive(Debug, Default)]
pub struct Popped {
    count: usize,
    encoded: Vec<u8>,
}

impl Popped {
    /// None yet, with room for an element or two.
    fn with_room() -> Popped {
        Popped { count: 0, encoded: Vec::with_capacity(POPPED_BYTES) }
    }

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

    /// The elements as they stand after a move from an end to an end.
    fn into_moved_order(self, (from, to): (End, End), portion: Portion) -> Popped {
        let in_source_order = portion.keeps_order || from != to;
        if self.count > 1 && from.is_front() != in_source_order { self.reversed() } else { self }
    }

    fn reversed(&self) -> Popped {
        let mut reversed = Popped::default();
        let elements: Vec<&[u8]> = self.iter().collect();
        elements.into_iter().rev().for_each(|element| reversed.push(element));
        reversed
    }

    /// The elements in the order in which they are pushed to an end, to stand there as they are.
    fn in_order_of_pushes(&self, end: End) -> NewElements {
        let mut new = NewElements::default();
        match end {
            End::Head if self.count > 1 => self.reversed().iter().for_each(|e| new.push(e)),
            _ => self.iter().for_each(|element| new.push(element)),
        }
        new
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
    let mut popped = Popped::with_room();
    let from = if end.is_front() { 0 } else { len - 1 };
    match count {
        // A way down the tree, without a stand in it from which to go on.
        1 => list.get(from).into_iter().for_each(|element| popped.push(element)),
        _ => list
            .iter_from(from, !end.is_front())
            .take(count as usize)
            .for_each(|element| popped.push(element)),
    }
    let (cut, rest) = if end.is_front() { (0, count) } else { (len - count, 0) };
    let left = (len - count) as usize;
    let encoding = match left {
        0 => encoding,
        _ => {
            // Where the number of elements decides, nobody looks for the first of them.
            let elements = std::iter::once_with(|| list.iter_from(rest, false).take(left));
            shrunk(encodings, encoding, (left as u64, elements.flatten()))
        }
    };
    edit_or_delete(unit, key, shape(encoding), Edit::Cut { index: cut, count }, (len, count));
    Ok(Some(popped))
}

/// How many elements are moved, and how they stand afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// How many, at most.
    pub count: u64,
    /// Whether they keep their order, and are not turned around by going from end to same end.
    pub keeps_order: bool,
}

/// Moves an element from an end of a list to an end of another, or of the same; the element, or
/// none where there is no source.
pub fn move_element(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    from: (&Key<'_>, End),
    to: (&Key<'_>, End),
) -> Result<Option<Popped>, Failure> {
    move_elements(unit, encodings, from, to, Portion { count: 1, keeps_order: true })
}

/// Moves elements from an end of a list to an end of another, or of the same; the elements as they
/// stand there, or none where there is no source.
pub fn move_elements(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    from: (&Key<'_>, End),
    to: (&Key<'_>, End),
    portion: Portion,
) -> Result<Option<Popped>, Failure> {
    if let (None, _) = known(unit.get_to_change(from.0).as_ref())? {
        return Ok(None);
    }
    if (from.0.db, from.0.bytes) == (to.0.db, to.0.bytes) {
        return rotate(unit, encodings, from, to.1, portion);
    }
    known(unit.get_to_change(to.0).as_ref())?;
    let Some(popped) = pop(unit, encodings, from, portion.count)? else {
        return Ok(None);
    };
    let moved = popped.into_moved_order((from.1, to.1), portion);
    let (list, encoding) = known(unit.get_to_change(to.0).as_ref())?;
    let encoding = grown(encodings, list, encoding, (moved.len() as u64, moved_bytes(&moved)));
    unit.edit(to.0, shape(encoding), moved.in_order_of_pushes(to.1).edit(to.1.is_front()));
    Ok(Some(moved))
}

/// Moves elements of a list, which there is, to an end of it. The key lives on even when all of
/// them are moved.
fn rotate(
    unit: &mut Unit<'_>,
    encodings: &Encodings,
    (key, from): (&Key<'_>, End),
    to: End,
    portion: Portion,
) -> Result<Option<Popped>, Failure> {
    let Some(view) = unit.get_to_change(key) else {
        return Ok(None);
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let len = list.len();
    let count = portion.count.min(len);
    let mut popped = Popped::default();
    let first = if from.is_front() { 0 } else { len - 1 };
    let taken = list.iter_from(first, !from.is_front()).take(count as usize);
    taken.for_each(|element| popped.push(element));
    let moved = popped.into_moved_order((from, to), portion);
    let left = (len - count) as usize;
    let rest = || {
        let first = if from.is_front() && left > 0 { count } else { 0 };
        list.iter_from(first, false).take(left)
    };
    let grown = (count, moved_bytes(&moved));
    let encoding = grown_from(encodings, encoding, (len - count, rest()), grown);
    let all = rest().chain(moved.iter());
    let encoding = shrunk(encodings, encoding, (len, all));
    let pushed = moved.in_order_of_pushes(to);
    unit.edit(key, shape(encoding), pushed.edit(to.is_front()));
    let index = if from.is_front() { 0 } else { len - count };
    let index = index + if to.is_front() { count } else { 0 };
    unit.edit(key, shape(encoding), Edit::Cut { index, count });
    Ok(Some(moved))
}

/// Bytes of a moved element as Redis counts them before it pushes it: a number has none.
fn moved_bytes(popped: &Popped) -> u64 {
    let text = popped.iter().filter(|element| parse_integer(element).is_none());
    text.map(|element| element.len() as u64).sum()
}
