//! Arguments of a command: slices of the connection's input, read without a copy.

use bytes::Bytes;

/// Arguments of one command; index 0 is its name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    input: &'a [u8],
    ranges: &'a [(u32, u32)],
    shared: Option<&'a Bytes>,
}

impl<'a> Args<'a> {
    /// `ranges` are (start, end) in `input`; `shared` is the refcounted owner of `input`, where it
    /// has one.
    pub fn new(input: &'a [u8], ranges: &'a [(u32, u32)], shared: Option<&'a Bytes>) -> Args<'a> {
        Args { input, ranges, shared }
    }

    /// Number of arguments with the name.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no argument at all.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `index`; the arity was checked, so a missing one is a bug of the caller.
    pub fn get(&self, index: usize) -> &'a [u8] {
        let (start, end) = self.ranges[index];
        &self.input[start as usize..end as usize]
    }

    /// Argument `index` as refcounted bytes: without a copy where the input is shared.
    pub fn bytes(&self, index: usize) -> Bytes {
        let (start, end) = self.ranges[index];
        match self.shared {
            Some(shared) => shared.slice(start as usize..end as usize),
            None => Bytes::copy_from_slice(self.get(index)),
        }
    }

    /// Whether argument `index` equals `word`, ASCII case aside.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// The arguments from `from` on, which is at most the length, as a call of their own.
    pub fn tail(&self, from: usize) -> Args<'a> {
        Args { ranges: &self.ranges[from..], ..*self }
    }

    /// All arguments from `from` on.
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let args = *self;
        (from..self.len()).map(move |i| args.get(i))
    }
}
