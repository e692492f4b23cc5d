//! HSCAN, SSCAN and ZSCAN: their options, and one page of members.

use crate::value::item::Item;
use crate::value::members::Members;

use super::args::Args;
use super::glob;
use super::number::integer;
use super::spec::Failure;

/// Members of one page when the client does not say.
const COUNT_DEFAULT: usize = 10;

/// What a call asks for.
pub struct MemberScan<'a> {
    cursor: u64,
    count: usize,
    pattern: Option<&'a [u8]>,
    /// Whether values are left out (HSCAN NOVALUES).
    pub without_values: bool,
}

impl<'a> MemberScan<'a> {
    /// Reads the cursor, which is looked at before the key.
    pub fn cursor(args: &Args<'_>) -> Result<u64, Failure> {
        let cursor = std::str::from_utf8(args.get(2)).ok().and_then(|text| text.parse().ok());
        cursor.ok_or(Failure::text("ERR invalid cursor"))
    }

    /// Reads the arguments behind the cursor, which are looked at when the key is there.
    pub fn parse(
        cursor: u64,
        args: &Args<'a>,
        takes_novalues: bool,
    ) -> Result<MemberScan<'a>, Failure> {
        let mut scan =
            MemberScan { cursor, count: COUNT_DEFAULT, pattern: None, without_values: false };
        let mut index = 3;
        while index < args.len() {
            let more = index + 1 < args.len();
            if args.is(index, "COUNT") && more {
                let count = integer(args.get(index + 1))?;
                scan.count = usize::try_from(count).map_err(|_| Failure::Syntax)?;
                if scan.count == 0 {
                    return Err(Failure::Syntax);
                }
                index += 2;
            } else if args.is(index, "MATCH") && more {
                let pattern = args.get(index + 1);
                scan.pattern = (pattern != b"*").then_some(pattern);
                index += 2;
            } else if takes_novalues && args.is(index, "NOVALUES") {
                scan.without_values = true;
                index += 1;
            } else {
                return Err(Failure::Syntax);
            }
        }
        Ok(scan)
    }

    /// One page of a large collection; the cursor of the next, 0 at the end.
    pub fn page<'m>(&self, members: &'m Members, mut each: impl FnMut(Item<'m>)) -> u64 {
        members.scan(self.cursor, self.count, |item| {
            if self.accepts(item.member) {
                each(item);
            }
        })
    }

    /// Whether the pattern takes a member.
    pub fn accepts(&self, member: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, member, false))
    }
}
