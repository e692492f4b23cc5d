//! HSCAN, SSCAN and ZSCAN: their options, and one page of members.

use crate::resp::write::Reply;
use crate::value::item::Item;
use crate::value::members::Members;
use crate::value::view::MembersRef;

use super::args::Args;
use super::glob;
use super::number::{integer, parse_unsigned};
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

/// The cursor of a call. A bad one is reported before the key is looked at, other bad arguments
/// behind it, and not at all where there is no key.
pub fn cursor(args: &Args<'_>) -> Result<u64, Failure> {
    cursor_in(args.get(2))
}

/// The cursor that an argument is, up to its first zero byte.
pub fn cursor_in(text: &[u8]) -> Result<u64, Failure> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    parse_unsigned(text).ok_or(Failure::text("ERR invalid cursor"))
}

/// Replies with the end of a scan that finds nothing.
pub fn reply_end(reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk_integer(0);
    reply.array(0);
}

/// NOVALUES of another scan than HSCAN.
pub const NOVALUES_ELSEWHERE: Failure =
    Failure::text("ERR NOVALUES option can only be used in HSCAN");

impl<'a> MemberScan<'a> {
    /// Reads the arguments behind the cursor.
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
            } else if args.is(index, "NOVALUES") {
                return Err(NOVALUES_ELSEWHERE);
            } else {
                return Err(Failure::Syntax);
            }
        }
        Ok(scan)
    }

    /// One page of a hash or a set, or all of it where it is small or is to come `at_once`; the
    /// cursor of the next page, 0 at the end.
    pub fn walk<'m>(
        &self,
        members: MembersRef<'m>,
        at_once: bool,
        mut each: impl FnMut(Item<'m>),
    ) -> u64 {
        match members {
            MembersRef::Large(members) if !at_once => self.page(members, each),
            _ => {
                members.iter().filter(|item| self.accepts(item.member)).for_each(&mut each);
                0
            }
        }
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
