//! `log`: every frame with its records, and what is damaged in between.

use std::io::Write;
use std::ops::RangeInclusive;

use crate::format::file_name::SegmentName;
use crate::format::frame::{FragmentHeader, Kind};
use crate::format::record::{CountDelta, DeleteReason, Record, records};
use crate::format::segment::{Seal, SegmentHeader};
use crate::log::reader::list_segments;
use crate::types::Lsn;

use super::collection;
use super::directory::Directory;
use super::log_walk::{End, Event, FrameEvent, walk};
use super::text::{abbreviated, problem, quoted, time};
use super::{Failure, Outcome};

/// Writes the frames of the log whose LSN is in `range`, oldest first.
///
/// # Errors
/// When the log cannot be read at all, or the report not be written. Damage is part of the report.
pub fn log(
    directory: &Directory,
    range: RangeInclusive<Lsn>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let loaded = directory.manifests().unwrap_or_default();
    let storage = directory.storage();
    let names = list_segments(&**storage)?;
    let database = loaded.current.as_ref().map(|manifest| manifest.database);
    let durable_lsn = loaded.current.as_ref().map_or(0, |manifest| manifest.durable_lsn);
    let from_lsn = loaded.current.as_ref().map_or(1, |manifest| manifest.log_start_lsn);
    let mut outcome = Outcome::Sound;
    walk(&**storage, &names, database, (from_lsn, durable_lsn), &mut |event| {
        match event {
            Event::Segment(name, header) => segment(name, header, out)?,
            Event::Frame(view) if range.contains(&view.lsn) => frame(&view, out)?,
            Event::Control(name, offset, header, seal) if range.contains(&header.lsn) => {
                control(name, offset, &header, seal, out)?;
            }
            Event::Frame(_) | Event::Control(..) => {}
            Event::Damage(error) => {
                outcome = Outcome::Damaged;
                writeln!(out, "DAMAGED {}", problem(error))?;
            }
            Event::End(name, offset, how) => end(name, offset, how, out)?,
        }
        Ok(())
    })?;
    Ok(outcome)
}

fn segment(name: SegmentName, header: &SegmentHeader, out: &mut dyn Write) -> Result<(), Failure> {
    let SegmentHeader { version, epoch, salt, .. } = header;
    let name = name.encode();
    writeln!(out, "segment {name}: version {version}, epoch {epoch}, salt {salt:016x}")?;
    Ok(())
}

fn frame(frame: &FrameEvent<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "frame LSN {} at {} in {}+{}: {} bytes in {}, synced up to {}",
        frame.lsn,
        time(frame.wall_ms),
        frame.segment.encode(),
        frame.offset,
        frame.payload.len(),
        match frame.fragments {
            1 => "1 fragment".to_owned(),
            count => format!("{count} fragments"),
        },
        frame.synced_upto
    )?;
    for record in records(frame.payload) {
        match record {
            Ok(record) => writeln!(out, "  {}", describe(&record))?,
            Err(error) => writeln!(out, "  DAMAGED record: {error} of the payload")?,
        }
    }
    Ok(())
}

fn control(
    name: SegmentName,
    offset: u64,
    header: &FragmentHeader,
    seal: Option<Seal>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let what = match header.kind {
        Kind::Seal => "seal",
        Kind::Data | Kind::Sync => "sync",
    };
    write!(
        out,
        "{what} LSN {} at {} in {}+{offset}: synced up to {}",
        header.lsn,
        time(header.wall_ms),
        name.encode(),
        header.synced_upto
    )?;
    if let Some(Seal { first_lsn, first_fragment, salt }) = seal {
        let next = SegmentName { epoch: name.epoch, first_lsn, first_fragment };
        write!(out, "; next is {}, salt {salt:016x}", next.encode())?;
    }
    writeln!(out)?;
    Ok(())
}

fn end(name: SegmentName, offset: u64, how: End, out: &mut dyn Write) -> Result<(), Failure> {
    let name = name.encode();
    match how {
        End::Sealed | End::Damaged => return Ok(()),
        End::Continued => writeln!(out, "end of {name} at {offset}, without a seal")?,
        End::Superseded(epoch) => {
            writeln!(out, "end of {name} at {offset}: epoch {epoch:08x} goes on")?;
        }
        End::Tail(0) => writeln!(out, "end of the log at {offset}: clean")?,
        End::Tail(bytes) => writeln!(
            out,
            "end of the log at {offset}: torn, {bytes} bytes that were never acknowledged"
        )?,
    }
    Ok(())
}

/// One record on one line.
fn describe(record: &Record<'_>) -> String {
    match record {
        Record::Put { keyspace, key, expire_at_ms, value, counts } => format!(
            "put keyspace {keyspace} {} = {}{}{}{}",
            quoted(key),
            abbreviated(value.bytes),
            expire_at_ms.map_or(String::new(), |at| format!(", expires {}", time(at))),
            if value.raw { ", raw" } else { "" },
            describe_counts(*counts)
        ),
        Record::Delete { keyspace, key, reason, counts } => format!(
            "delete keyspace {keyspace} {}{}{}",
            quoted(key),
            match reason {
                DeleteReason::Command => "",
                DeleteReason::Expired => ", expired",
                DeleteReason::Evicted => ", evicted",
            },
            describe_counts(*counts)
        ),
        Record::Expire { keyspace, key, expire_at_ms, counts } => format!(
            "expire keyspace {keyspace} {} {}{}",
            quoted(key),
            expire_at_ms.map_or("never".to_owned(), time),
            describe_counts(*counts)
        ),
        Record::WriteRange { keyspace, key, offset, bytes } => format!(
            "write-range keyspace {keyspace} {} at {offset} = {}",
            quoted(key),
            abbreviated(bytes)
        ),
        Record::PutPacked { keyspace, key, expire_at_ms, blob, counts } => format!(
            "put keyspace {keyspace} {} = {}{}{}",
            quoted(key),
            collection::describe(blob),
            expire_at_ms.map_or(String::new(), |at| format!(", expires {}", time(at))),
            describe_counts(*counts)
        ),
        Record::Edit { keyspace, key, creates, shape, edit, counts } => format!(
            "{} keyspace {keyspace} {} {}, {}{}",
            if *creates { "create" } else { "edit" },
            quoted(key),
            collection::kind_name(*shape),
            collection::describe_edit(*shape, edit),
            describe_counts(*counts)
        ),
        Record::Stage { key, stage, begins, shape, edit } => format!(
            "{} {stage:#x} for {} {}, {}",
            if *begins { "stage" } else { "go on with stage" },
            quoted(key),
            collection::kind_name(*shape),
            collection::describe_edit(*shape, edit)
        ),
        Record::PutStaged { keyspace, key, expire_at_ms, stage, counts } => format!(
            "put keyspace {keyspace} {} = stage {stage:#x}{}{}",
            quoted(key),
            expire_at_ms.map_or(String::new(), |at| format!(", expires {}", time(at))),
            describe_counts(*counts)
        ),
        Record::Databases { changed } => {
            let pairs: Vec<String> = changed
                .iter()
                .map(|(database, keyspace)| format!("{database} is keyspace {keyspace}"))
                .collect();
            format!("databases {}", pairs.join(", "))
        }
    }
}

fn describe_counts(counts: CountDelta) -> String {
    let part = |what, delta: i8| match delta {
        0 => String::new(),
        delta => format!(", {what} {delta:+}"),
    };
    part("keys", counts.keys) + &part("expires", counts.expires)
}
