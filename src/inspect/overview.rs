//! `summary`, `parts` and `manifest`: what the directory is made of.

use std::io::Write;
use std::path::Path;

use crate::error::Error;
use crate::format::file_name::{
    LOG_FOLDER, PART_FOLDER, SegmentName, decode_part, decode_spare, encode_manifest, encode_part,
};
use crate::io::OpenMode;
use crate::log::Tail;
use crate::snapshot::manifest::{Loaded, read_generation};
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::{Manifest, PartMeta, part_path};

use super::directory::Directory;
use super::progress::Progress;
use super::text::{problem, size, time};
use super::{Failure, Outcome};

/// Writes what a person wants to know first: identity, size, keys, how far the log goes.
///
/// # Errors
/// When no MANIFEST can be read, or the report not be written.
pub fn summary(
    directory: &Directory,
    progress: &mut Progress,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let loaded = directory.manifests()?;
    let state = directory.state(progress)?;
    progress.clear();
    let manifest = &state.manifest;
    writeln!(out, "directory    {}", directory.path().display())?;
    writeln!(out, "database     {}", hex(&manifest.database.0))?;
    writeln!(
        out,
        "manifest     generation {}, epoch {}, installed {}",
        manifest.generation,
        manifest.epoch,
        time(manifest.wall_ms)
    )?;
    let (segments, spares) = log_files(directory)?;
    writeln!(out, "log          {} segments, {}", segments.0, size(segments.1))?;
    if spares.0 > 0 {
        writeln!(out, "spare space  {} files, {}", spares.0, size(spares.1))?;
    }
    let bytes: u64 = manifest.parts.iter().map(|part| part.file_bytes).sum();
    writeln!(out, "parts        {}, {}", manifest.parts.len(), size(bytes))?;
    let log = &state.log;
    writeln!(
        out,
        "last LSN     {}, {} frames to replay from LSN {}",
        log.last_lsn, log.frames, manifest.log_start_lsn
    )?;
    if log.last_wall_ms > 0 {
        writeln!(out, "last write   {}", time(log.last_wall_ms))?;
    }
    match log.end.as_ref().map(|end| &end.tail) {
        Some(Tail::Clean) => writeln!(out, "tail         clean")?,
        Some(Tail::Torn { bytes, .. }) => {
            writeln!(out, "tail         torn: {bytes} bytes that were never acknowledged")?;
        }
        None => writeln!(out, "tail         unknown: the log is damaged before it")?,
    }
    for (db, keyspace) in state.databases() {
        let totals = state.totals(keyspace);
        if totals.keys > 0 {
            let (keys, expires) = (totals.keys, totals.expires);
            writeln!(out, "keys         db {db}: {keys}, {expires} with a deadline")?;
        }
    }
    let lost = state.lost_parts.iter().map(|(_, error)| error);
    let problems = loaded.damaged.iter().chain(lost).chain(&log.damage);
    report(problems, out)
}

fn report<'e>(
    problems: impl Iterator<Item = &'e Error>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Sound;
    for error in problems {
        outcome = Outcome::Damaged;
        writeln!(out, "DAMAGED {}", problem(error))?;
    }
    Ok(outcome)
}

/// Files and their bytes.
type Space = (u64, u64);

/// Segments, and spares.
fn log_files(directory: &Directory) -> Result<(Space, Space), Failure> {
    let (mut segments, mut spares) = (Space::default(), Space::default());
    for name in directory.list(LOG_FOLDER)? {
        let tally = if SegmentName::decode(&name).is_some() {
            &mut segments
        } else if decode_spare(&name).is_some() {
            &mut spares
        } else {
            continue;
        };
        let path = Path::new(LOG_FOLDER).join(&name);
        let file = directory.storage().open(&path, OpenMode::Read);
        // A file that a server has renamed since is not counted.
        if let Ok(bytes) = file.and_then(|file| file.len()) {
            tally.0 += 1;
            tally.1 += bytes;
        }
    }
    Ok((segments, spares))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes all MANIFESTs in full.
///
/// # Errors
/// When the folder cannot be listed, or the report not be written.
pub fn manifest(directory: &Directory, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Sound;
    for generation in directory.generations()? {
        writeln!(out, "{}", encode_manifest(generation))?;
        match read_generation(&**directory.storage(), generation) {
            Ok(manifest) => write_manifest(&manifest, out)?,
            Err(error) => {
                outcome = Outcome::Damaged;
                writeln!(out, "  DAMAGED {}", problem(&error))?;
            }
        }
    }
    Ok(outcome)
}

fn write_manifest(manifest: &Manifest, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "  database        {}", hex(&manifest.database.0))?;
    writeln!(out, "  installed       {}", time(manifest.wall_ms))?;
    writeln!(out, "  epoch           {}", manifest.epoch)?;
    writeln!(out, "  log start LSN   {}", manifest.log_start_lsn)?;
    writeln!(out, "  durable LSN     {}", manifest.durable_lsn)?;
    writeln!(out, "  next part       {:016x}", manifest.next_part_id)?;
    writeln!(
        out,
        "  features        harmless {:#x}, read-only {:#x}",
        manifest.harmless, manifest.read_only
    )?;
    let map = &manifest.databases;
    writeln!(out, "  databases       LSN {}, next keyspace {}", map.lsn, map.next_keyspace)?;
    for (db, keyspace) in &map.changed {
        writeln!(out, "    db {db} is keyspace {keyspace}")?;
    }
    writeln!(out, "  parts           {}", manifest.parts.len())?;
    for part in &manifest.parts {
        writeln!(out, "    {}", part_line(part))?;
    }
    Ok(())
}

fn part_line(part: &PartMeta) -> String {
    let PartMeta { run, row_count, max_lsn, .. } = part;
    let (min, max) = (part.min, part.max);
    format!(
        "{}: run {run}, {row_count} rows, {}, LSN up to {max_lsn}, \
         keyspaces {} to {}, slots {} to {}",
        encode_part(part.id),
        size(part.file_bytes),
        min.0,
        max.0,
        min.1.slot(),
        max.1.slot()
    )
}

/// Writes what each part holds, by its own metadata, and which MANIFESTs name it.
///
/// # Errors
/// When the folder cannot be listed, or the report not be written.
pub fn parts(directory: &Directory, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Sound;
    let loaded = directory.manifests().unwrap_or_default();
    let named = loaded.current.iter().chain(&loaded.previous);
    let mut ids: Vec<u64> =
        named.flat_map(|manifest| manifest.parts.iter().map(|part| part.id)).collect();
    let names = directory.list(PART_FOLDER)?;
    ids.extend(names.iter().filter_map(|name| decode_part(name)));
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        match PartReader::open_unlisted(directory.storage(), id, run_of(&loaded, id), None) {
            Ok(part) => write_part(&part, &loaded, out)?,
            // One that a server has merged away since is none any more.
            Err(Error::Io { ref source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && !is_named(directory, id) => {}
            Err(error) => {
                outcome = Outcome::Damaged;
                writeln!(out, "{}\n  DAMAGED {}", part_path(id).display(), problem(&error))?;
            }
        }
    }
    Ok(outcome)
}

fn is_named(directory: &Directory, id: u64) -> bool {
    let loaded = directory.manifests().unwrap_or_default();
    let mut manifests = loaded.current.iter().chain(&loaded.previous);
    manifests.any(|manifest| manifest.parts.iter().any(|part| part.id == id))
}

fn run_of(loaded: &Loaded, id: u64) -> u64 {
    let manifests = loaded.current.iter().chain(&loaded.previous);
    let mut parts = manifests.flat_map(|manifest| &manifest.parts);
    parts.find(|part| part.id == id).map_or(0, |part| part.run)
}

fn write_part(part: &PartReader, loaded: &Loaded, out: &mut dyn Write) -> Result<(), Failure> {
    let (meta, header, footer) = (part.meta(), part.header(), part.footer());
    let generations = loaded.current.iter().chain(&loaded.previous);
    let naming: Vec<String> = generations
        .filter(|manifest| manifest.parts.iter().any(|part| part.id == meta.id))
        .map(|manifest| manifest.generation.to_string())
        .collect();
    writeln!(out, "{}", part_line(meta))?;
    writeln!(
        out,
        "  written {}, {} keys, {} of them gone, {} pages, {} with a deadline",
        time(header.wall_ms),
        footer.key_count,
        footer.tombstone_count,
        footer.row_count - footer.key_count.min(footer.row_count),
        footer.deadline_count
    )?;
    writeln!(
        out,
        "  values {}, blocks {} in {} key blocks, LSN {} to {}",
        size(footer.value_bytes),
        size(footer.blocks_end),
        part.key_index().len(),
        footer.min_lsn,
        footer.max_lsn
    )?;
    match naming.is_empty() {
        true => writeln!(out, "  named by no MANIFEST")?,
        false => writeln!(out, "  named by generation {}", naming.join(", "))?,
    }
    Ok(())
}
