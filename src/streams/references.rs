//! What becomes of what groups have pending of entries that go: KEEPREF, DELREF, ACKED.

use crate::command::args::Args;
use crate::command::row::{one_of, word};
use crate::command::spec::Arg;
use crate::value::stream_fact::Topic;
use crate::value::stream_groups::Groups;
use crate::value::stream_id::StreamId;

/// The option, for COMMAND DOCS.
pub const REFERENCES_ARG: Arg = one_of(
    "condition",
    &[word("keepref", "KEEPREF"), word("delref", "DELREF"), word("acked", "ACKED")],
)
.optional();

/// How entries go that groups may have pending.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum References {
    /// What is pending stays so.
    #[default]
    Keep,
    /// What is pending goes with the entry, in every group.
    Remove,
    /// An entry goes only once every group has read and acknowledged it.
    Acked,
}

impl References {
    /// The option at `index`, if it is one.
    pub fn parse(args: &Args<'_>, index: usize) -> Option<References> {
        let options = [("KEEPREF", Self::Keep), ("DELREF", Self::Remove), ("ACKED", Self::Acked)];
        options.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, option)| option)
    }
}

/// Whether a group has an entry pending, or has not come to it yet. What the group of the number
/// `acking` has pending does not count.
pub fn is_referenced(groups: &Groups, id: StreamId, acking: Option<u64>) -> bool {
    groups.iter().any(|group| {
        let pends = acking != Some(group.state().number) && group.pending().contains_key(&id);
        pends || group.state().last_id < id
    })
}

/// What is pending of an entry, in all groups.
pub fn references(groups: &Groups, id: StreamId) -> impl Iterator<Item = Topic<'static>> {
    let pending = groups.iter().filter(move |group| group.pending().contains_key(&id));
    pending.map(move |group| Topic::Pending { group: group.state().number, id })
}
