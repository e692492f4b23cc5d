//! All segments from the first to the last, fragment by fragment, judged by the rules of
//! `format-spec/recovery.md`, and going on behind damage.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::file_name::SegmentName;
use crate::format::frame::{FragmentHeader, Kind};
use crate::format::segment::{self, Seal, SegmentHeader};
use crate::io::Storage;
use crate::log::walk::{Fragment, SegmentWalker, Step};
use crate::types::{DatabaseId, Lsn};

use super::Failure;

/// What the walk meets.
#[derive(Debug)]
pub enum Event<'a> {
    /// A segment begins.
    Segment(SegmentName, &'a SegmentHeader),
    /// A whole frame ends.
    Frame(FrameEvent<'a>),
    /// A fragment that carries no records.
    Control(SegmentName, u64, FragmentHeader, Option<Seal>),
    /// Something is damaged.
    Damage(&'a Error),
    /// The segment holds no more of the log from an offset on.
    End(SegmentName, u64, End),
}

/// A frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameEvent<'a> {
    /// Its LSN.
    pub lsn: Lsn,
    /// Wall time of its first fragment.
    pub wall_ms: u64,
    /// Highest LSN known durable when it was written.
    pub synced_upto: Lsn,
    /// Where it begins.
    pub segment: SegmentName,
    /// Offset there.
    pub offset: u64,
    /// Of how many fragments it is made.
    pub fragments: u32,
    /// Its records.
    pub payload: &'a [u8],
}

/// Why a segment's part of the log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Its seal names the next one.
    Sealed,
    /// The next segment goes on without a seal: a crash came in between.
    Continued,
    /// A later epoch stands for the log from here on.
    Superseded(u32),
    /// The log ends, and so many bytes of frames that were never acknowledged stand behind it.
    Tail(u64),
    /// Nobody can say: the rest is damaged.
    Damaged,
}

/// A frame of which the first fragment was met and the last was not.
struct Open {
    /// None for a frame whose beginning is not here.
    begun: Option<(SegmentName, u64, FragmentHeader)>,
    fragments: u32,
}

/// A place where no valid fragment stands.
struct Broken {
    offset: u64,
    reason: Option<&'static str>,
    header: Option<FragmentHeader>,
}

/// What comes behind the segment that is walked.
#[derive(Clone, Copy)]
struct Ahead {
    successor: Option<SegmentName>,
    next_epoch: Option<SegmentName>,
}

/// The walk.
pub struct LogWalk<'a> {
    storage: &'a dyn Storage,
    /// The highest LSN that a MANIFEST states to be durable.
    durable_lsn: Lsn,
    database: Option<DatabaseId>,
    sink: &'a mut dyn FnMut(Event<'_>) -> std::result::Result<(), Failure>,
    next: Lsn,
    open: Option<Open>,
    assembled: Vec<u8>,
}

type Walked<T> = std::result::Result<T, Failure>;

/// Walks through all segments. `database` and `durable_lsn` are what a MANIFEST states, if one can
/// be read; the log is needed from `from_lsn` on.
pub fn walk(
    storage: &dyn Storage,
    names: &[SegmentName],
    database: Option<DatabaseId>,
    (from_lsn, durable_lsn): (Lsn, Lsn),
    sink: &mut dyn FnMut(Event<'_>) -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    let mut walk = LogWalk {
        storage,
        durable_lsn,
        database,
        sink,
        next: from_lsn,
        open: None,
        assembled: Vec::new(),
    };
    let first = names.first();
    let starts_late =
        first.is_some_and(|name| (name.first_lsn, name.first_fragment) > (from_lsn, 0));
    if starts_late || (first.is_none() && durable_lsn >= from_lsn) {
        let last = first.map_or(durable_lsn, last_before);
        let folder = Path::new(crate::format::file_name::LOG_FOLDER);
        let path = storage.display_path(folder);
        walk.damage(path, 0, Some(last), "log segments are missing")?;
    }
    if let Some(name) = first {
        walk.next = name.first_lsn;
    }
    for (index, &name) in names.iter().enumerate() {
        let later = &names[index + 1..];
        let ahead = Ahead {
            successor: later.first().copied().filter(|next| next.epoch == name.epoch),
            next_epoch: later.iter().copied().find(|next| next.epoch > name.epoch),
        };
        walk.begin(name, ahead, index == 0)?;
        walk.segment(name, ahead)?;
    }
    Ok(())
}

fn last_before(name: &SegmentName) -> Lsn {
    match name.first_fragment {
        0 => name.first_lsn.saturating_sub(1),
        _ => name.first_lsn,
    }
}

impl Ahead {
    /// The highest LSN that the segments behind prove durable.
    fn witness(self) -> Lsn {
        let segments = [self.successor, self.next_epoch];
        let stated = segments.iter().flatten().map(last_before);
        stated.max().unwrap_or(0)
    }

    /// The epoch that stands for the log from `next` on, if a later one does.
    fn superseded(self, next: Lsn) -> Option<u32> {
        let name = self.next_epoch.filter(|name| next >= name.first_lsn)?;
        Some(name.epoch)
    }
}

impl LogWalk<'_> {
    /// Moves to the beginning of a segment; what is missing before it is damage.
    fn begin(&mut self, name: SegmentName, ahead: Ahead, is_first: bool) -> Walked<()> {
        let starts_epoch = name.first_fragment == 0 && self.next >= name.first_lsn;
        let here = (name.first_lsn, name.first_fragment);
        let is_due = self.position() == here || starts_epoch || self.next > name.first_lsn;
        // A kill inside a frame may leave a segment that goes on with it; recovery cut the frame.
        let is_void = ahead.superseded(self.next).is_some();
        if !is_first && !is_due && !is_void {
            let path = self.path(name);
            let reason = "the segment before this one is missing or ends too early";
            self.damage(path, 0, Some(last_before(&name)), reason)?;
        }
        if self.position() != here {
            self.next = name.first_lsn;
            self.open = (name.first_fragment > 0)
                .then_some(Open { begun: None, fragments: name.first_fragment });
        }
        Ok(())
    }

    /// The frame and the fragment of it that come next.
    fn position(&self) -> (Lsn, u32) {
        (self.next, self.open.as_ref().map_or(0, |open| open.fragments))
    }

    fn path(&self, name: SegmentName) -> PathBuf {
        let path = crate::log::walk::segment_path(name);
        self.storage.display_path(&path)
    }

    /// Tells damage that loses the frames from the next one to `last`, if any.
    fn damage(
        &mut self,
        path: PathBuf,
        offset: u64,
        last: Option<Lsn>,
        reason: &str,
    ) -> Walked<()> {
        let error = Error::Corrupt {
            path,
            offset,
            lost: last.map(|last| (self.next, last.max(self.next))),
            reason: reason.to_owned(),
        };
        (self.sink)(Event::Damage(&error))
    }

    fn segment(&mut self, name: SegmentName, ahead: Ahead) -> Walked<()> {
        let mut walker = match SegmentWalker::open(self.storage, name) {
            Ok(walker) => walker,
            Err(Error::Corrupt { path, offset, reason, .. }) => {
                let void = ahead.superseded(self.next).is_some();
                let last = ahead.witness().max(self.durable_lsn).max(self.next);
                let last = (!void).then_some(last);
                self.damage(path, offset, last, &reason)?;
                return (self.sink)(Event::End(name, 0, End::Damaged));
            }
            Err(other) => return Err(other.into()),
        };
        (self.sink)(Event::Segment(name, walker.header()))?;
        if !self.judge_header(name, &walker)? {
            return (self.sink)(Event::End(name, 0, End::Damaged));
        }
        let (offset, end) = self.fragments(name, ahead, &mut walker)?;
        (self.sink)(Event::End(name, offset, end))
    }

    /// Whether a header belongs to the file and the database.
    fn judge_header(&mut self, name: SegmentName, walker: &SegmentWalker) -> Walked<bool> {
        let header = walker.header();
        let path = walker.path().to_path_buf();
        if let Some(found) = header.unsupported(false) {
            let supported = segment::VERSION;
            return Err(Error::UnsupportedFormat { path, found, supported }.into());
        }
        let database = *self.database.get_or_insert(header.database);
        if header.name() == name && header.database == database {
            return Ok(true);
        }
        let reason = "segment belongs to another place or another database";
        let last = self.next;
        self.damage(path, 0, Some(last), reason)?;
        Ok(false)
    }

    /// Walks to the end of a segment's part of the log.
    fn fragments(
        &mut self,
        name: SegmentName,
        ahead: Ahead,
        walker: &mut SegmentWalker,
    ) -> Walked<(u64, End)> {
        let mut broken: Option<Broken> = None;
        let mut segment_witness = None;
        let mut at = segment::HEADER_BYTES as u64;
        loop {
            if let Some(epoch) = ahead.superseded(self.next) {
                self.open = None;
                return Ok((at, End::Superseded(epoch)));
            }
            let (path, step) = (walker.path().to_path_buf(), walker.step()?);
            let fragment = match step {
                Step::End { offset } => {
                    let broken = broken.unwrap_or(Broken { offset, reason: None, header: None });
                    let witness = segment_witness.unwrap_or((0, 0));
                    return self.end(path, ahead, &broken, witness);
                }
                Step::Break { offset, reason, header } => {
                    if segment_witness.is_none() {
                        segment_witness = Some(self.look_ahead(name, offset)?);
                    }
                    broken.get_or_insert(Broken { offset, reason, header });
                    continue;
                }
                Step::Fragment(fragment) => fragment,
            };
            if let Some(place) = broken.take() {
                let (witness, valid_end) = segment_witness.unwrap_or((0, 0));
                let witness = witness.max(ahead.witness()).max(self.durable_lsn);
                if !self.pass_broken(&path, &place, &fragment.header, witness)? {
                    self.open = None;
                    let torn = valid_end.saturating_sub(place.offset);
                    return Ok((place.offset, End::Tail(torn)));
                }
            }
            at = fragment.offset + fragment.header.stride();
            match fragment.header.kind {
                Kind::Data => self.data(name, &path, &fragment)?,
                Kind::Sync | Kind::Seal => self.control(name, &path, &fragment)?,
            }
            if fragment.header.kind == Kind::Seal {
                self.judge_seal(&path, &fragment, ahead)?;
                return Ok((at, End::Sealed));
            }
        }
    }

    /// The highest LSN that valid fragments behind a place prove durable, and where they end.
    fn look_ahead(&self, name: SegmentName, offset: u64) -> Result<(Lsn, u64)> {
        let mut walker = SegmentWalker::open(self.storage, name)?;
        walker.rewind(offset);
        let (mut witness, mut end) = (0, 0);
        loop {
            let (offset, header) = match walker.step()? {
                Step::End { .. } => return Ok((witness, end)),
                Step::Break { header: None, .. } => continue,
                Step::Break { offset, header: Some(header), .. } => (offset, header),
                Step::Fragment(fragment) => (fragment.offset, fragment.header),
            };
            let sealed = match header.kind {
                Kind::Seal => header.lsn,
                Kind::Data | Kind::Sync => 0,
            };
            witness = witness.max(header.synced_upto).max(sealed);
            end = offset + header.stride();
        }
    }

    /// Judges a broken place with a valid fragment behind it (R5, R6). Whether the log goes on
    /// there; if not, it was torn.
    fn pass_broken(
        &mut self,
        path: &Path,
        place: &Broken,
        behind: &FragmentHeader,
        witness: Lsn,
    ) -> Walked<bool> {
        let begins = behind.kind == Kind::Data && behind.place.begins();
        let follows = match behind.kind {
            Kind::Data => begins && behind.lsn == self.next,
            Kind::Sync | Kind::Seal => behind.lsn.saturating_add(1) == self.next,
        };
        let reason = place.reason.unwrap_or("zeros stand where a fragment was written");
        if self.open.is_none() && follows {
            let reason = format!("{reason}; it carried no records, nothing is lost");
            self.damage(path.to_path_buf(), place.offset, None, &reason)?;
            return Ok(true);
        }
        if witness < self.next {
            return Ok(false);
        }
        let last = behind.lsn.saturating_sub(u64::from(begins));
        self.damage(path.to_path_buf(), place.offset, Some(last), reason)?;
        self.go_on_at(behind);
        Ok(true)
    }

    /// Takes a fragment for the next one.
    fn go_on_at(&mut self, header: &FragmentHeader) {
        let inside = header.kind == Kind::Data && !header.place.begins();
        self.open = inside.then_some(Open { begun: None, fragments: 0 });
        self.next = match header.kind {
            Kind::Data => header.lsn,
            Kind::Sync | Kind::Seal => header.lsn.saturating_add(1),
        };
    }

    /// The segment holds no valid fragment behind a place.
    fn end(
        &mut self,
        path: PathBuf,
        ahead: Ahead,
        place: &Broken,
        (witness, valid_end): (Lsn, u64),
    ) -> Walked<(u64, End)> {
        let here = self.position();
        let goes_on = |name: SegmentName| (name.first_lsn, name.first_fragment) == here;
        if ahead.successor.is_some_and(goes_on) {
            return Ok((place.offset, End::Continued));
        }
        let witness = witness.max(ahead.witness()).max(self.durable_lsn);
        if witness >= self.next {
            let last = ahead.successor.map_or(witness, |name| last_before(&name));
            let reason = place.reason.unwrap_or("zeros stand where a frame was durable");
            self.damage(path, place.offset, Some(last), reason)?;
            self.next = last.saturating_add(1);
            self.open = None;
            return Ok((place.offset, End::Damaged));
        }
        let begun = place.header.map_or(0, |header| place.offset + header.stride());
        // Recycled space holds old bytes; after a sync of everything they are not a torn frame.
        let torn_bytes = valid_end.max(begun).saturating_sub(place.offset);
        self.open = None;
        Ok((place.offset, End::Tail(torn_bytes)))
    }

    fn data(&mut self, name: SegmentName, path: &Path, fragment: &Fragment<'_>) -> Walked<()> {
        let Fragment { offset, header, payload } = *fragment;
        if header.lsn != self.next || header.place.begins() == self.open.is_some() {
            let last = header.lsn.saturating_sub(1);
            let reason = "frames are missing or out of order";
            self.damage(path.to_path_buf(), offset, Some(last), reason)?;
            self.go_on_at(&header);
        }
        let whole = header.place.begins() && header.place.ends();
        if header.place.begins() {
            self.assembled.clear();
            let begun = Some((name, offset, header));
            self.open = Some(Open { begun, fragments: 0 });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.fragments = open.fragments.saturating_add(1);
        if !whole && open.begun.is_some() {
            self.assembled.extend_from_slice(payload);
        }
        if !header.place.ends() {
            return Ok(());
        }
        self.next = self.next.saturating_add(1);
        let Some(Open { begun: Some((segment, offset, first)), fragments }) = self.open.take()
        else {
            return Ok(());
        };
        let payload = if whole { payload } else { &self.assembled };
        (self.sink)(Event::Frame(FrameEvent {
            lsn: header.lsn,
            wall_ms: first.wall_ms,
            synced_upto: first.synced_upto,
            segment,
            offset,
            fragments,
            payload,
        }))
    }

    fn control(&mut self, name: SegmentName, path: &Path, fragment: &Fragment<'_>) -> Walked<()> {
        let Fragment { offset, header, payload } = *fragment;
        let expected = self.next - u64::from(self.open.is_none());
        if header.lsn != expected {
            let reason = "a control fragment does not follow its frame";
            self.damage(path.to_path_buf(), offset, Some(header.lsn), reason)?;
            self.go_on_at(&header);
        }
        let seal = match header.kind {
            Kind::Seal => Seal::decode(payload).ok(),
            Kind::Data | Kind::Sync => None,
        };
        (self.sink)(Event::Control(name, offset, header, seal))
    }

    /// Whether the segment that a seal names is there.
    fn judge_seal(&mut self, path: &Path, fragment: &Fragment<'_>, ahead: Ahead) -> Walked<()> {
        let offset = fragment.offset;
        let seal = match Seal::decode(fragment.payload) {
            Ok(seal) => seal,
            Err(error) => return self.damage(path.to_path_buf(), offset, None, error.reason),
        };
        if ahead.superseded(self.next).is_some() {
            return Ok(());
        }
        let named = ahead.successor.filter(|name| {
            (name.first_lsn, name.first_fragment) == (seal.first_lsn, seal.first_fragment)
        });
        let found = match named {
            None => false,
            // A header that is damaged is told when its own segment comes.
            Some(name) => SegmentWalker::open(self.storage, name)
                .map_or(true, |walker| walker.header().salt == seal.salt),
        };
        if found {
            return Ok(());
        }
        let last = ahead.witness().max(self.durable_lsn).max(self.next);
        let reason = "the segment that the seal names is missing";
        self.damage(path.to_path_buf(), offset, Some(last), reason)
    }
}
