//! Neighbours of a pipeline that run as one unit: quick commands on keys of one partition take one
//! lock and write one frame, so that a crash has all of them or none. So do those on any keys while
//! all clients of their kind are at one worker, for then nobody is in a hurry for the other locks.

use smallvec::SmallVec;

use crate::command::spec::{FirstMember, flag};
use crate::engine::staging::{Copying, Standing};
use crate::engine::unit::{Key, Unit};
use crate::engine::{Begin, Intent};
use crate::resp::write::Output;
use crate::types::Lsn;

use super::dispatch::{Dispatcher, Request};
use super::state::Session;
use super::table::{KeyPlan, Lookup, Row, Runner, is_quick};

/// What commands of one unit have in common.
const ALIKE: u32 = flag::WRITE | flag::FREES;
/// Arguments of one unit, in bytes: its frame is copied, as those of single commands are.
const UNIT_BYTES_MAX: usize = 12 << 10;
/// What runs by itself.
const ALONE: u32 = flag::BLOCKING | flag::SCANS | flag::REACHES | flag::ALL_KEYS;

/// The row of a request that may run in one unit with others.
fn joinable(request: &Request<'_>) -> Option<&'static Row> {
    let Lookup::Found(row) = request.lookup else { return None };
    let runs_on_a_key = matches!(row.runner, Runner::Data(_)) && row.keys == KeyPlan::First;
    // What is copied is bounded by the values as they stand before the first of them, so its
    // neighbours may only make them smaller.
    let is_bounded = !row.has(flag::COPIES) || row.has(flag::FREES);
    let fits = runs_on_a_key
        && row.spec.flags & ALONE == 0
        && is_bounded
        && is_quick(row, request.bytes)
        && row.takes(request.args.len());
    fits.then_some(row)
}

impl Request<'_> {
    /// The row of one that has been joined to others.
    ///
    /// # Panics
    /// When it names no command.
    pub fn joined_row(&self) -> &'static Row {
        let Lookup::Found(row) = self.lookup else { unreachable!("it was joined by its row") };
        row
    }
}

impl<'d> Dispatcher<'d> {
    /// Whether commands of this client may run together at all.
    pub fn joins(&self, session: &Session) -> bool {
        !session.needs_attention() && !self.services.pause.is_active()
    }

    /// How many neighbours behind the first may run in one unit with it; `across` those of any
    /// partition.
    pub fn joined(&self, first: &Request<'_>, others: &[Request<'_>], across: bool) -> usize {
        let Some(row) = joinable(first) else { return 0 };
        let engine = &self.services.engine;
        let mut bytes = first.bytes;
        let may_join = |next: &&Request<'_>| {
            joinable(next).is_some_and(|next| (row.spec.flags ^ next.spec.flags) & ALIKE == 0)
                && (across || engine.are_together(first.position, next.position))
                && {
                    bytes += next.bytes;
                    bytes <= UNIT_BYTES_MAX
                }
        };
        others.iter().take_while(may_join).count()
    }

    /// A unit for neighbours that may all run in one. None where they have to run one by one: a key
    /// must be fetched, the log has no room at once, or somebody waits for what one of them brings.
    pub fn begin_together(&self, session: &Session, requests: &[Request<'_>]) -> Option<Unit<'d>> {
        let row = requests.first()?.joined_row();
        let mut keys: SmallVec<[Key<'_>; 32]> = SmallVec::new();
        let (mut frame_bytes, mut copies, mut looks_up) = (0, false, false);
        for request in requests {
            let row = request.joined_row();
            keys.push(self.key_of(session, request));
            frame_bytes += self.frame_bytes(row, request.args, request.bytes);
            copies |= row.has(flag::COPIES);
            looks_up |= !matches!(row.spec.first_member, FirstMember::Unknown);
        }
        let replaces = |request: &Request<'_>| request.joined_row().spec.replaces(request.args);
        let intent = Intent {
            write: row.has(flag::WRITE),
            frees: row.has(flag::FREES),
            replaces: row.has(flag::REPLACES) && requests.iter().all(replaces),
            frame_bytes,
            now_ms: self.now_ms,
        };
        let engine = &self.services.engine;
        let bytes = |stands: Standing<'_, '_>| {
            let copied = requests.iter().zip(&keys).map(|(request, key)| {
                let value = std::iter::once(stands(key));
                request.joined_row().spec.copied_bytes(request.args, value)
            });
            copied.fold(0, u64::saturating_add)
        };
        let copying = Copying { bytes: &|stands, _| bytes(stands), wholes: &[], staged: &[] };
        let copying = copies.then_some(&copying);
        match engine.begin_copying(&keys, false, intent, copying) {
            Ok(Begin::Ready(unit)) if !unit.is_waited_for() => {
                let runs = requests.iter().zip(&keys);
                let members = runs.filter_map(|(request, key)| {
                    match request.joined_row().spec.first_member {
                        FirstMember::Unknown => None,
                        FirstMember::Named(index) => Some((key, Some(request.args.get(index)))),
                        FirstMember::Random => Some((key, None)),
                    }
                });
                if looks_up {
                    unit.prefetch_members(members);
                }
                Some(unit)
            }
            _ => None,
        }
    }

    /// Runs one of them; the LSN that its reply waits for, if it is a read.
    pub fn run_together(
        &self,
        row: &'static Row,
        unit: &mut Unit<'d>,
        session: &Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Lsn {
        let Runner::Data(run) = row.runner else { unreachable!("what is joined is on a key") };
        unit.turn_to(&self.key_of(session, request));
        self.run_in_unit((row, run), unit, session, request.args, out, false);
        self.gate(session, unit.observed())
    }

    fn key_of<'r>(&self, session: &Session, request: &Request<'r>) -> Key<'r> {
        Key { db: session.db, position: request.position, bytes: request.args.get(1) }
    }

    /// Ends a unit of neighbours; the LSN that their replies wait for.
    pub fn finish_together(&self, session: &Session, unit: Unit<'_>) -> Lsn {
        let finished = unit.finish();
        self.stats.looked(finished.lookups);
        self.gate(session, finished.observed)
    }
}
