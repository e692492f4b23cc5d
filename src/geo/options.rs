//! The options that all searches have.

use crate::command::args::Args;
use crate::command::number::integer;
use crate::command::row::{block, one_of, word};
use crate::command::spec::{Arg, ArgKind, Failure};

/// The argument that wants coordinates.
pub const WITHCOORD: Arg = word("withcoord", "WITHCOORD").optional();
/// The argument that wants distances.
pub const WITHDIST: Arg = word("withdist", "WITHDIST").optional();
/// The argument that wants scores.
pub const WITHHASH: Arg = word("withhash", "WITHHASH").optional();
/// The argument that wants an order.
pub const ORDER: Arg = one_of("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional();
/// The argument that wants only so many members.
pub const COUNT: Arg = count_block(&[COUNT_ARG, ANY]);
/// [`COUNT`] of a command that is older than its `ANY`.
pub const COUNT_BEFORE_ANY: Arg = count_block(&[COUNT_ARG, ANY.since("6.2.0")]);

const COUNT_ARG: Arg = Arg::new("count", ArgKind::Integer).behind("COUNT");
const ANY: Arg = word("any", "ANY").optional();

const fn count_block(inner: &'static [Arg]) -> Arg {
    block("count-block", inner).optional()
}

/// The order in which members are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The nearest first.
    Nearest,
    /// The farthest first.
    Farthest,
}

/// What becomes of the members that are found.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Distances are told.
    pub with_distance: bool,
    /// Scores are told.
    pub with_hash: bool,
    /// Coordinates are told.
    pub with_point: bool,
    /// The order, none for that in which they are met.
    pub order: Option<Order>,
    /// So many at most.
    pub count: Option<usize>,
    /// The search ends as soon as there are so many.
    pub any: bool,
}

impl Options {
    /// Takes the option at `index`; the number of its arguments, 0 where it is none of these.
    pub fn take(&mut self, args: &Args<'_>, index: usize) -> Result<usize, Failure> {
        if args.is(index, "WITHDIST") {
            self.with_distance = true;
        } else if args.is(index, "WITHHASH") {
            self.with_hash = true;
        } else if args.is(index, "WITHCOORD") {
            self.with_point = true;
        } else if args.is(index, "ANY") {
            self.any = true;
        } else if args.is(index, "ASC") {
            self.order = Some(Order::Nearest);
        } else if args.is(index, "DESC") {
            self.order = Some(Order::Farthest);
        } else if args.is(index, "COUNT") && index + 1 < args.len() {
            let count = integer(args.get(index + 1))?;
            if count <= 0 {
                return Err(Failure::text("ERR COUNT must be > 0"));
            }
            self.count = Some(usize::try_from(count).unwrap_or(usize::MAX));
            return Ok(2);
        } else {
            return Ok(0);
        }
        Ok(1)
    }

    /// Whether more than members is told.
    pub fn tell_more(&self) -> bool {
        self.with_distance || self.with_hash || self.with_point
    }

    /// Refuses options that tell something where a command, named `what`, stores.
    pub fn check_storing(&self, what: &str) -> Result<(), Failure> {
        if !self.tell_more() {
            return Ok(());
        }
        let options = "WITHDIST, WITHHASH and WITHCOORD options";
        Err(Failure::Text(format!("ERR {what} is not compatible with {options}").into()))
    }

    /// Refuses `ANY` without `COUNT`.
    pub fn check_any(&self) -> Result<(), Failure> {
        match self.any && self.count.is_none() {
            true => Err(Failure::text("ERR the ANY argument requires COUNT argument")),
            false => Ok(()),
        }
    }
}
