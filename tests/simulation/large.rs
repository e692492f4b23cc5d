//! Steps with collections of several chunks: they are put, carried elsewhere by way of a stage,
//! changed, and asked for some of their members. What was logged ahead may lie open for long.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use firn::engine::Engine;
use firn::engine::begin::{Begin, Intent};
use firn::engine::staging::{Copying, StageOrder, Staged, WholeCopy};
use firn::engine::unit::ValueRef;
use firn::error::Result;
use firn::io::random::Random;
use firn::limits::PACKED_ITEMS_MAX;
use firn::types::ValueKind;
use firn::value::collection::Collection;
use firn::value::score;

use super::super::content::{Content, MEMBERS, member_of, random_large};
use super::super::model::{Change, Name};
use super::{World, fetch, random_edited};

const KINDS_OF_MEMBERS: [ValueKind; 3] = [ValueKind::Set, ValueKind::Zset, ValueKind::Hash];
/// A whole stream is one change, which no stage can have in pieces.
const KINDS_STAGED: [ValueKind; 4] =
    [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash];
const KINDS: [ValueKind; 5] =
    [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash, ValueKind::Stream];
const WHOLE: WholeCopy = WholeCopy { from: 0, to: 1, keeps: false };
/// Most collections that lie ahead at a time: each keeps the log.
const AHEAD_MAX: usize = 4;

/// A collection that is logged ahead, from where and for where.
pub struct Ahead {
    from: Name,
    to: Name,
    staged: Arc<Staged>,
}

/// How a collection is carried.
struct Manner {
    renames: bool,
    /// Whether checkpoints fall between the frames of a stage.
    pesters: bool,
    /// Steps between the stage and the unit.
    steps_between: u64,
}

/// What a simulation has met of what it hardly meets by chance.
#[derive(Default, Debug)]
pub struct Reached {
    /// Stages that were logged.
    pub staged: u64,
    /// Those of them that were open when the database went down.
    pub lost: u64,
    /// LSNs of frames that name a stage.
    published: Vec<u64>,
    /// How many of these frames were replayed.
    pub replayed: u64,
    /// Lookups of members that read some chunks of a collection.
    pub aside: u64,
    /// Reads of a collection of several chunks, by its kind.
    pub chunked: BTreeMap<&'static str, u64>,
}

#[allow(dead_code, reason = "a fuzz target asks for nothing of it")]
impl Reached {
    /// Takes note of a value that is read.
    pub(super) fn note(&mut self, value: ValueRef<'_>) {
        if let ValueRef::Collection(collection) = value
            && collection.chunks().chunk_count() > 1
        {
            *self.chunked.entry(collection.kind().name()).or_default() += 1;
        }
    }

    /// Panics where something was not met.
    pub fn assert_all(&self) {
        assert!(
            self.staged > 0 && self.lost > 0 && self.replayed > 0 && self.aside > 0,
            "{self:?}"
        );
        assert_eq!(self.chunked.len(), 5, "{self:?}");
    }

    /// Adds what another one has met.
    pub fn add(&mut self, other: &Reached) {
        self.staged += other.staged;
        self.lost += other.lost;
        self.replayed += other.replayed;
        self.aside += other.aside;
        for (kind, count) in &other.chunked {
            *self.chunked.entry(kind).or_default() += count;
        }
    }
}

impl World {
    /// Takes note of what went down with the database, and of what came back with it.
    pub(super) fn note_reopening(&mut self) {
        let last_lsn = self.engine().stats().last_lsn;
        let before = last_lsn - self.engine().recovery().frames;
        self.reached.lost += self.ahead.len() as u64;
        self.ahead.clear();
        self.reached.published.retain(|lsn| *lsn <= last_lsn);
        let published = self.reached.published.iter();
        self.reached.replayed += published.filter(|lsn| **lsn > before).count() as u64;
    }

    /// A live collection that is no longer packed, if there is one of these kinds.
    fn large_key(&mut self, kinds: &[ValueKind]) -> Option<Name> {
        let (now_ms, mut names) = (self.engine().now_ms(), Vec::new());
        for ((db, key), (value, deadline)) in &self.history.now {
            let is_live = deadline.is_none_or(|at| at > now_ms);
            if is_live && kinds.contains(&value.kind()) && value.len() > PACKED_ITEMS_MAX {
                names.push((*db, key.clone()));
            }
        }
        let index = self.random.below(names.len().max(1) as u64);
        names.into_iter().nth(index as usize)
    }

    /// Puts a collection of several chunks in place of whatever there was.
    pub(super) fn put_large(&mut self) -> Result<()> {
        let (name, deadline) = (self.random_key(), self.random_deadline());
        // One choice makes all of it: a fuzzer has few.
        let mut random = Random::new(self.random.next_u64());
        let value = random_large(self.engine().now_ms(), &mut |bound| random.below(bound));
        self.put_value(name, value, deadline)
    }

    /// Changes a collection of several chunks.
    pub(super) fn edit_large(&mut self) -> Result<()> {
        let Some((db, key)) = self.large_key(&KINDS) else { return self.put_large() };
        let (now_ms, mut random) = (self.engine().now_ms(), Random::new(self.random.next_u64()));
        let before = self.history.get(db, &key, now_ms).map(|held| held.0);
        let edited = random_edited(before, now_ms, &mut |bound| random.below(bound));
        self.edit_key((db, key), edited)
    }

    fn random_manner(&mut self) -> Manner {
        let (renames, pesters) = (self.random.chance(1, 2), self.random.chance(1, 3));
        Manner { renames, pesters, steps_between: self.random.below(3) }
    }

    /// Copies a key to another, or renames it.
    pub(super) fn carry_one(&mut self) -> Result<()> {
        let (from, (_, to)) = (self.random_key(), self.random_key());
        let (db, renames, pesters) = (from.0, self.random.chance(1, 2), self.random.chance(1, 3));
        if from.1 == to {
            return Ok(());
        }
        let manner = Manner { renames, pesters, steps_between: self.random.below(3) };
        self.carry(from, (db, to), Vec::new(), manner)
    }

    /// Carries a collection of several chunks, to another database perhaps.
    pub(super) fn carry_large(&mut self) -> Result<()> {
        let Some(from) = self.large_key(&KINDS) else { return self.put_large() };
        let (to, manner) = (self.random_key(), self.random_manner());
        if from == to {
            return Ok(());
        }
        self.carry(from, to, Vec::new(), manner)
    }

    /// Logs a collection ahead and leaves it at that.
    pub(super) fn stage_large(&mut self) -> Result<()> {
        let Some(from) = self.large_key(&KINDS_STAGED) else { return self.put_large() };
        let (to, pesters) = (self.random_key(), self.random.chance(1, 3));
        if from == to || self.ahead.len() == AHEAD_MAX {
            return Ok(());
        }
        let engine = self.engine.as_ref().expect("open");
        let keys = [engine.key(from.0, &from.1), engine.key(to.0, &to.1)];
        let copying = Copying { bytes: &|_, _| 0, wholes: &[WHOLE], staged: &[] };
        loop {
            let intent = Intent::write(engine.now_ms(), 400);
            match engine.begin_copying(&keys, false, intent, Some(&copying)) {
                Err(order) => {
                    let staged = stage(engine, *order, pesters)?;
                    self.reached.staged += 1;
                    self.ahead.push(Ahead { from, to, staged });
                    return Ok(());
                }
                // It is in pieces no more.
                Ok(Begin::Ready(_)) => return Ok(()),
                Ok(Begin::Cold(cold)) => fetch(engine, cold)?,
                Ok(Begin::Wait) => engine.sync()?,
                Ok(Begin::Refused(error)) => return Err(error),
            }
        }
    }

    /// Carries a collection that was logged ahead some time ago; it may have changed since.
    pub(super) fn publish(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            return self.carry_large();
        }
        let index = self.random.below(self.ahead.len() as u64) as usize;
        let manner = self.random_manner();
        let Ahead { from, to, staged } = self.ahead.swap_remove(index);
        self.carry(from, to, vec![staged], manner)
    }

    /// Copies or renames a key. What is logged ahead for that lies open while other things happen,
    /// and checkpoints fall between its frames.
    fn carry(
        &mut self,
        from: Name,
        to: Name,
        mut staged: Vec<Arc<Staged>>,
        mut manner: Manner,
    ) -> Result<()> {
        let names_stage = Cell::new(false);
        loop {
            if !staged.is_empty() && manner.steps_between > 0 {
                manner.steps_between -= 1;
                self.step()?;
            }
            let engine = self.engine.as_ref().expect("open");
            let keys = [engine.key(from.0, &from.1), engine.key(to.0, &to.1)];
            let copying = Copying {
                bytes: &|stands, is_staged| {
                    names_stage.set(is_staged(0));
                    match names_stage.get() {
                        true => 0,
                        false => stands(&keys[0]).map_or(0, |value| value.size().bytes),
                    }
                },
                wholes: &[WHOLE],
                staged: &staged,
            };
            let intent = Intent::write(engine.now_ms(), 400);
            match engine.begin_copying(&keys, false, intent, Some(&copying)) {
                Err(order) => {
                    let done = stage(engine, *order, manner.pesters)?;
                    self.reached.staged += 1;
                    staged.push(done);
                }
                Ok(Begin::Ready(mut unit)) => {
                    if unit.get(&keys[0]).is_none() {
                        return Ok(());
                    }
                    let change = if manner.renames {
                        unit.rename(&keys[0], &keys[1]);
                        Change::Rename { from: from.clone(), to: to.clone() }
                    } else {
                        unit.copy(&keys[0], &keys[1]);
                        Change::Copy { from: from.clone(), to: to.clone() }
                    };
                    unit.finish();
                    let lsn = engine.stats().last_lsn;
                    self.reached.published.extend(names_stage.get().then_some(lsn));
                    self.history.push(lsn, vec![change]);
                    return Ok(());
                }
                Ok(Begin::Cold(cold)) => fetch(engine, cold)?,
                Ok(Begin::Wait) => engine.sync()?,
                Ok(Begin::Refused(error)) => return Err(error),
            }
        }
    }

    /// Looks for some members of a collection. Where that is in no memory, some chunks are read.
    pub(super) fn ask_large(&mut self) -> Result<()> {
        let Some((db, name)) = self.large_key(&KINDS_OF_MEMBERS) else { return self.put_large() };
        if self.random.chance(1, 2) {
            self.engine().checkpoint()?;
            self.engine().shrink_to_budget()?;
        }
        let members = [(); 3].map(|()| member_of(self.random.below(MEMBERS)));
        let asked: Vec<&[u8]> = members.iter().map(|member| &member[..]).collect();
        let engine = self.engine.as_ref().expect("open");
        let (key, now_ms) = (engine.key(db, &name), engine.now_ms());
        let mut unit = match engine.begin(&[key], Intent::read(now_ms)) {
            Begin::Ready(unit) => unit,
            Begin::Cold(cold) => engine.begin_aside(cold, &key, &asked, now_ms)?,
            Begin::Wait => unreachable!("a read does not wait for the log"),
            Begin::Refused(error) => return Err(error),
        };
        let held = self.history.get(db, &name, now_ms).map(|held| held.0);
        let view = unit.get(&key);
        for member in asked {
            let expected = held.as_ref().and_then(|value| value.payload_of(member));
            let found = view.as_ref().and_then(|view| found(view.value, member, now_ms));
            assert_eq!(found, expected, "seed {}: {member:?} of {name:?}", self.seed);
        }
        let all = held.map_or(0, |value| value.len() as u64);
        let is_aside = |value| matches!(value, ValueRef::Collection(some) if some.len() < all);
        self.reached.aside += u64::from(view.is_some_and(|view| is_aside(view.value)));
        Ok(())
    }
}

/// Logs a collection ahead.
fn stage(engine: &Engine, order: StageOrder, pesters: bool) -> Result<Arc<Staged>> {
    let is_wanted = || {
        // What fails here shows in the next frame.
        let _ = pesters.then(|| engine.checkpoint());
        true
    };
    engine.stage(order, &is_wanted).map(Arc::new)
}

/// The payload of a member that is not past its deadline.
fn found(value: ValueRef<'_>, member: &[u8], now_ms: u64) -> Option<Vec<u8>> {
    match value {
        ValueRef::Collection(Collection::Zset(zset)) => {
            zset.score(member).map(|found| score::encode(found).to_vec())
        }
        ValueRef::Collection(Collection::Set(members) | Collection::Hash(members)) => {
            let item = members.get(member)?;
            item.deadline_ms.is_none_or(|at| at > now_ms).then(|| item.payload.to_vec())
        }
        other => Content::of(other).0.at(now_ms).payload_of(member),
    }
}
