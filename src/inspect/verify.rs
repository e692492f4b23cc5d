//! `verify`: every checksum of every file, and what belongs together across files.

use std::io::Write;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::file_name::{PART_FOLDER, decode_part, encode_manifest, encode_part};
use crate::format::record::records;
use crate::log::reader::list_segments;
use crate::snapshot::manifest::read_generation;
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::{Manifest, PartMeta, verify as part_verify};
use crate::types::Lsn;

use super::directory::{Directory, settled};
use super::log_walk::{End, Event, walk};
use super::progress::Progress;
use super::text::{problem, size};
use super::{Failure, Outcome};

/// Checks everything and writes one line a file, and one for each thing that is wrong.
///
/// # Errors
/// When the report cannot be written, a folder not be listed, or a file is of a newer format.
pub fn verify(
    directory: &Directory,
    progress: &mut Progress,
    out: &mut dyn Write,
) -> std::result::Result<Outcome, Failure> {
    let mut tally = Tally::default();
    let manifests = settled(|| manifests(directory), |found| texts(&found.problems))?;
    tally.add(&manifests.lines, &manifests.problems, progress, out)?;
    let log = settled(|| log(directory, progress), |found| texts(&found.problems))?;
    tally.add(&log.lines, &log.problems, progress, out)?;
    for id in part_ids(directory, &manifests.good)? {
        progress.tell(|| format!("verifying {}", encode_part(id)));
        let part = settled(|| part(directory, id), |found| texts(&found.problems))?;
        tally.add(&part.lines, &part.problems, progress, out)?;
    }
    progress.clear();
    let files = tally.files;
    match tally.problems {
        0 => writeln!(out, "{files} files, nothing is damaged")?,
        count => writeln!(out, "{files} files, {count} problems")?,
    }
    Ok(match tally.problems {
        0 => Outcome::Sound,
        _ => Outcome::Damaged,
    })
}

fn texts(problems: &[Error]) -> Vec<String> {
    problems.iter().map(Error::to_string).collect()
}

/// What one look at some files has found.
#[derive(Default)]
struct Found {
    /// One for each file that is sound.
    lines: Vec<String>,
    problems: Vec<Error>,
    /// MANIFESTs that can be read, newest first.
    good: Vec<Manifest>,
}

#[derive(Default)]
struct Tally {
    files: usize,
    problems: usize,
}

impl Tally {
    fn add(
        &mut self,
        lines: &[String],
        problems: &[Error],
        progress: &mut Progress,
        out: &mut dyn Write,
    ) -> std::result::Result<(), Failure> {
        progress.clear();
        self.files += lines.len();
        self.problems += problems.len();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        for error in problems {
            writeln!(out, "DAMAGED {}", problem(error))?;
        }
        Ok(())
    }
}

/// Puts an error with the problems, unless it ends everything.
fn note(problems: &mut Vec<Error>, error: Error) -> Result<()> {
    match error {
        Error::UnsupportedFormat { .. } => Err(error),
        error => {
            problems.push(error);
            Ok(())
        }
    }
}

fn manifests(directory: &Directory) -> Result<Found> {
    let mut found = Found::default();
    for generation in directory.generations()? {
        let name = encode_manifest(generation);
        match read_generation(&**directory.storage(), generation) {
            Ok(manifest) => {
                let parts = manifest.parts.len();
                found.lines.push(format!("{name}: sound, {parts} parts"));
                found.good.push(manifest);
            }
            Err(error) => {
                found.lines.push(format!("{name}: damaged"));
                note(&mut found.problems, error)?;
            }
        }
    }
    if found.lines.is_empty() {
        found.problems.push(Error::Corrupt {
            path: directory.path().to_path_buf(),
            offset: 0,
            lost: None,
            reason: "there is data but no MANIFEST".to_owned(),
        });
    }
    Ok(found)
}

/// The log as a whole: what each segment holds, and how it ends.
fn log(directory: &Directory, progress: &mut Progress) -> Result<Found> {
    let storage = &**directory.storage();
    // MANIFESTs first: what they need is not released before newer ones are installed.
    let loaded = directory.manifests().unwrap_or_default();
    let names = list_segments(storage)?;
    let oldest = loaded.previous.as_ref().or(loaded.current.as_ref());
    let from_lsn = match (oldest, names.first()) {
        (Some(manifest), _) => manifest.log_start_lsn,
        (None, Some(name)) => name.first_lsn,
        (None, None) => 1,
    };
    let durable_lsn = loaded.current.as_ref().map_or(0, |manifest| manifest.durable_lsn);
    let database = loaded.current.as_ref().map(|manifest| manifest.database);
    let bounds = (from_lsn, durable_lsn);
    let mut found = Found::default();
    let mut segment = Segment::default();
    let walked = walk(storage, &names, database, bounds, &mut |event| {
        match event {
            Event::Segment(..) => segment = Segment::default(),
            Event::Frame(frame) => {
                segment.see(frame.lsn);
                progress.tell(|| format!("verifying the log: LSN {}", frame.lsn));
                if let Some(Err(error)) = records(frame.payload).find(|record| record.is_err()) {
                    let path = crate::log::walk::segment_path(frame.segment);
                    found.problems.push(Error::Corrupt {
                        path: storage.display_path(&path),
                        offset: frame.offset,
                        lost: Some((frame.lsn, frame.lsn)),
                        reason: format!("a frame holds a bad record: {error} of its payload"),
                    });
                }
            }
            Event::Control(..) => {}
            Event::Damage(Error::Corrupt { path, offset, lost, reason }) => {
                segment.damaged = true;
                let (path, lost, reason) = (path.clone(), *lost, reason.clone());
                found.problems.push(Error::Corrupt { path, offset: *offset, lost, reason });
            }
            Event::Damage(_) => segment.damaged = true,
            Event::End(name, offset, how) => {
                let line = segment.line(how, offset);
                found.lines.push(format!("log/{}: {line}", name.encode()));
            }
        }
        Ok(())
    });
    match walked {
        Ok(()) => Ok(found),
        Err(Failure::Directory(error)) => {
            note(&mut found.problems, error)?;
            Ok(found)
        }
        Err(other) => unreachable!("nothing is written here: {other}"),
    }
}

#[derive(Default)]
struct Segment {
    lsns: Option<(Lsn, Lsn)>,
    damaged: bool,
}

impl Segment {
    fn see(&mut self, lsn: Lsn) {
        let (first, _) = self.lsns.unwrap_or((lsn, lsn));
        self.lsns = Some((first, lsn));
    }

    fn line(&self, how: End, offset: u64) -> String {
        let state = match self.damaged || how == End::Damaged {
            true => "damaged",
            false => "sound",
        };
        let lsns = self
            .lsns
            .map_or("no frames".to_owned(), |(first, last)| format!("LSN {first} to {last}"));
        let end = match how {
            End::Tail(0) => format!("; the log ends at {offset}"),
            End::Tail(torn) => format!(
                "; the log ends at {offset} with {torn} torn bytes that were never acknowledged"
            ),
            End::Superseded(epoch) => format!("; epoch {epoch:08x} goes on"),
            End::Sealed | End::Continued | End::Damaged => String::new(),
        };
        format!("{state}, {lsns}{end}")
    }
}

/// Ids of all parts, those that are missing too.
fn part_ids(
    directory: &Directory,
    manifests: &[Manifest],
) -> std::result::Result<Vec<u64>, Failure> {
    let names = directory.list(PART_FOLDER)?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| decode_part(name)).collect();
    ids.extend(manifests.iter().flat_map(|manifest| manifest.parts.iter().map(|part| part.id)));
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// One part, by what the MANIFESTs say of it now.
fn part(directory: &Directory, id: u64) -> Result<Found> {
    let storage: &Arc<_> = directory.storage();
    let mut named: Option<(PartMeta, Manifest)> = None;
    for generation in directory.generations()? {
        // Damaged ones were told before.
        let Ok(manifest) = read_generation(&**storage, generation) else {
            continue;
        };
        let meta = manifest.parts.iter().find(|part| part.id == id).copied();
        if let (None, Some(meta)) = (&named, meta) {
            named = Some((meta, manifest));
        }
    }
    let name = encode_part(id);
    let mut found = Found::default();
    let opened = match &named {
        Some((meta, manifest)) => PartReader::open(storage, manifest.database, meta, None),
        None if !directory.list(PART_FOLDER)?.contains(&name) => return Ok(found),
        None => PartReader::open_unlisted(storage, id, 0, None),
    };
    let listed = if named.is_some() { "" } else { ", no MANIFEST names it" };
    match opened {
        Err(error) => {
            found.lines.push(format!("parts/{name}: damaged{listed}"));
            note(&mut found.problems, error)?;
        }
        Ok(part) => {
            let seen = part_verify::verify(&part, &mut |error| found.problems.push(error));
            let state = if seen.problem_count == 0 { "sound" } else { "damaged" };
            let (rows, bytes) = (seen.row_count, size(part.meta().file_bytes));
            let line = format!("parts/{name}: {state}, {rows} rows, {bytes}{listed}");
            found.lines.push(line);
        }
    }
    Ok(found)
}
