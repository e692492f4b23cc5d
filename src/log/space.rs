//! Room for frames, promised before anything changes (D6): a granted frame always finds space in
//! the queue and in segments that are already allocated.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::format::frame;
use crate::format::segment;
use crate::limits::FRAGMENT_BYTES_MAX;

/// Bytes at the end of a segment that may stay unused, with the seal and the header of the one
/// fragment more that a cut makes.
pub(crate) const SEGMENT_SLACK_BYTES: u64 = 2048;

/// What space a frame may draw on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpaceClass {
    /// Anything that may add data.
    Normal,
    /// What frees space: deletes, flushes, expiry, eviction. It may use up the reserve.
    Frees,
}

/// Answer of [`crate::log::Log::reserve`].
#[derive(Debug)]
#[must_use]
pub enum Reserve<'a> {
    /// There is room, until this is dropped (after the append).
    Granted(Reservation<'a>),
    /// There will be room soon: the queue is being written or a segment is being prepared.
    Wait,
    /// The disk is full (or the log has stopped).
    Full,
}

/// Room for one frame; given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    space: &'a Space,
    cost: u64,
}

impl Reservation<'_> {
    /// Room for what either was for.
    pub fn join(&mut self, mut other: Self) {
        self.cost += std::mem::take(&mut other.cost);
    }

    /// A frame of this cost takes its room, and stays in the account until it is written; the rest
    /// of the room goes back. One update of the account that all writers share.
    pub(crate) fn turn_into(mut self, cost: u64) {
        debug_assert!(cost <= self.cost, "a frame of {cost} bytes has room for {}", self.cost);
        if cost > self.cost {
            self.space.queue(cost - self.cost);
        }
        self.cost = self.cost.saturating_sub(cost);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.cost > 0 {
            self.space.promised.fetch_sub(self.cost, SeqCst);
        }
    }
}

/// The accounts. `spare + active` is what can be written, `promised` what is reserved or queued;
/// every update keeps the first too low or the second too high rather than the reverse.
#[derive(Debug)]
pub(crate) struct Space {
    spare: AtomicU64,
    active: AtomicU64,
    promised: AtomicU64,
    /// What a refused reservation would have needed in all.
    wanted: AtomicU64,
    full: AtomicBool,
    queue_bytes_max: u64,
    frees_bytes: u64,
}

/// Most bytes that a frame takes in segments, whichever way it is cut.
pub(crate) fn cost(payload_bytes: u64) -> u64 {
    let fragments = payload_bytes / FRAGMENT_BYTES_MAX as u64 + 1;
    payload_bytes + fragments * (frame::HEADER_BYTES + frame::ALIGN_BYTES) as u64
}

/// Bytes of a segment of this size that frames can count on.
pub(crate) fn usable(segment_bytes: u64) -> u64 {
    segment_bytes.saturating_sub(segment::HEADER_BYTES as u64 + SEGMENT_SLACK_BYTES)
}

impl Space {
    pub(crate) fn new(queue_bytes_max: u64, frees_bytes: u64) -> Space {
        Space {
            spare: AtomicU64::new(0),
            active: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            full: AtomicBool::new(false),
            queue_bytes_max,
            frees_bytes,
        }
    }

    pub(crate) fn reserve(&self, payload_bytes: u64, class: SpaceClass) -> Reserve<'_> {
        let cost = cost(payload_bytes);
        let before = self.promised.fetch_add(cost, SeqCst);
        let reservation = Reservation { space: self, cost };
        // A frame larger than the queue passes when it is alone.
        if before > 0 && before + cost > self.queue_bytes_max {
            return Reserve::Wait;
        }
        let kept = if class == SpaceClass::Normal { self.frees_bytes } else { 0 };
        let needed = before + cost + kept;
        if needed <= self.writable() {
            return Reserve::Granted(reservation);
        }
        self.wanted.fetch_max(needed, SeqCst);
        if self.full.load(SeqCst) { Reserve::Full } else { Reserve::Wait }
    }

    /// Bytes that can be written to segments that exist.
    pub(crate) fn writable(&self) -> u64 {
        self.spare.load(SeqCst) + self.active.load(SeqCst)
    }

    /// Whether a control fragment fits without breaking a promise.
    pub(crate) fn has_room_for_control(&self) -> bool {
        self.promised.load(SeqCst) + frame::HEADER_BYTES as u64 <= self.active.load(SeqCst)
    }

    /// Whether a refused reservation still needs more space than there is.
    pub(crate) fn is_short(&self) -> bool {
        let wanted = self.wanted.load(SeqCst);
        if wanted > self.writable() {
            return true;
        }
        let _ = self.wanted.compare_exchange(wanted, 0, SeqCst, SeqCst);
        false
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(SeqCst)
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, SeqCst);
    }

    /// A frame without a reservation was queued.
    pub(crate) fn queue(&self, cost: u64) {
        self.promised.fetch_add(cost, SeqCst);
    }

    /// Frames were written; their cost leaves the queue after the active segment has shrunk.
    pub(crate) fn written(&self, cost: u64, active_left: u64) {
        self.active.store(active_left, SeqCst);
        self.promised.fetch_sub(cost, SeqCst);
    }

    /// Takes the active segment, of which `active_left` bytes are left, out of the account, unless
    /// something is promised that may need it.
    pub(crate) fn give_up_active(&self, active_left: u64) -> bool {
        self.active.store(0, SeqCst);
        let idle = self.promised.load(SeqCst) == 0;
        if !idle {
            self.active.store(active_left, SeqCst);
        }
        idle
    }

    pub(crate) fn add_spare(&self, segment_bytes: u64) {
        self.spare.fetch_add(usable(segment_bytes), SeqCst);
    }

    pub(crate) fn take_spare(&self, segment_bytes: u64) {
        self.spare.fetch_sub(usable(segment_bytes), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(reserve: &Reserve<'_>) -> bool {
        matches!(reserve, Reserve::Granted(_))
    }

    #[test]
    fn promises_are_kept_apart_from_the_reserve_for_frees() {
        let space = Space::new(1 << 20, 1000);
        space.written(0, 2000);
        let first = space.reserve(500, SpaceClass::Normal);
        assert!(granted(&first));
        assert!(matches!(space.reserve(500, SpaceClass::Normal), Reserve::Wait));
        space.set_full(true);
        assert!(matches!(space.reserve(500, SpaceClass::Normal), Reserve::Full));
        let freeing = space.reserve(500, SpaceClass::Frees);
        assert!(granted(&freeing));
        drop((first, freeing));
        assert!(granted(&space.reserve(500, SpaceClass::Normal)));
        assert_eq!(space.promised.load(SeqCst), 0);
    }

    #[test]
    fn a_full_queue_makes_wait_but_never_stops_a_lone_frame() {
        let space = Space::new(1000, 0);
        space.written(0, 1 << 30);
        let lone = space.reserve(5000, SpaceClass::Normal);
        assert!(granted(&lone));
        let Reserve::Granted(lone) = lone else {
            unreachable!("it was granted");
        };
        lone.turn_into(cost(4000));
        assert_eq!(space.promised.load(SeqCst), cost(4000));
        assert!(matches!(space.reserve(1, SpaceClass::Normal), Reserve::Wait));
        space.written(cost(4000), 1 << 29);
        assert!(granted(&space.reserve(1, SpaceClass::Normal)));
    }

    #[test]
    fn a_refusal_is_remembered_until_there_is_room() {
        let space = Space::new(1 << 20, 0);
        assert!(!space.is_short());
        assert!(matches!(space.reserve(5000, SpaceClass::Normal), Reserve::Wait));
        assert!(space.is_short());
        space.add_spare(16 << 10);
        assert!(!space.is_short());
        assert!(granted(&space.reserve(5000, SpaceClass::Normal)));
    }
}
