//! `ddi verity repair`: damaged blocks from parity.
//!
//! To a new file: a copy, in which healed blocks take the places of bad ones; it gets its name when all is proven and on the
//! disk. In place: healed blocks are gathered in a journal beside the file first, and go to their places when it is known
//! whether that is all of them and when the journal is on the disk. Each write is of a proven block to where a damaged one was,
//! so that whatever ends the command early, a block is as it was or healed, and the same command goes on from there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use ddi_verity::{
    CheckedTree, FileSource, HashTree, Options, ReadAt, RepairSources, RootHash, Section, Storage,
    check_geometry,
};

use super::destination::Destination;
use super::fec::OldParity;
use super::open;
use super::verify::{find_params, find_root_hash, refuse, strictness};
use crate::begun::Begun;
use crate::cli::RepairArgs;
use crate::overwrite::{self, is_same_file};
use crate::{ExitStatus, output};

pub(crate) fn run(args: &RepairArgs) -> anyhow::Result<ExitStatus> {
    let given = args.params.check()?;
    let fec = args.params.fec()?.context("--fec-device must be given: there is no repair without parity")?;
    let root_hash = find_root_hash(args.root_hash.as_deref(), args.root_hash_file.as_deref())?;
    let inputs = [args.data.as_path(), &args.hash, fec.device];
    for (output, other) in [(&args.output, &args.hash_output), (&args.hash_output, &args.output)] {
        let Some(path) = output else { continue };
        let others = inputs.into_iter().chain(args.root_hash_file.as_deref()).chain(other.as_deref());
        overwrite::refuse(path, others)?;
        ensure!(fs::symlink_metadata(path).is_err(), "{}: is there already", path.display());
    }

    let parity = OldParity::open(fec)?;
    let (data_file, hash) = (open(&args.data)?, open(&args.hash)?);
    let same_file = is_same_file(data_file.file(), hash.file())?;
    ensure!(
        !(same_file && args.hash_output.is_some()),
        "--hash-output is for a hash area in a file of its own"
    );
    let offset = args.params.hash_offset;
    let mut data_size = data_file.size().min(parity.end_of_data(&data_file)?);
    if same_file && offset > 0 {
        data_size = data_size.min(offset);
    }
    let data = Section::new(&data_file, 0, data_size)?;
    let (params, placement) = find_params((&args.params, &args.hash), &given, &hash, data_size)?;
    let tree = HashTree::new(params, placement)?;
    let tree = match check_geometry(tree, data_size, hash.size(), strictness(&given)) {
        Ok(tree) => tree,
        Err(error) => return refuse(&error, args.json),
    };
    let layout = parity.layout(&tree, &root_hash, &data, &hash)?;

    let place: Box<dyn Place> = match &args.output {
        Some(path) => {
            Box::new(Copies::begin(path, &data_file, args.hash_output.as_deref(), &hash, same_file)?)
        }
        None => Box::new(Journal::begin(&args.data, &args.hash, same_file)?),
    };
    let sources =
        RepairSources { data: &data, hash: &hash, parity: &parity.source, parity_offset: parity.offset };
    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let mut options = Options::new().progress(&report);
    if let Some(threads) = args.params.threads {
        options = options.threads(threads);
    }
    let sink = |storage, offset, block: &[u8]| place.put(storage, offset, block);
    let repair = layout.repair(&tree, &root_hash, sources, &sink, &options)?;
    drop(progress);

    let hash_healed = repair.levels.iter().any(|level| !level.healed.is_empty());
    let has_place_for_hash = args.in_place || same_file || args.hash_output.is_some();
    let is_whole = repair.is_whole() && (!hash_healed || has_place_for_hash);
    // without damage there is nothing to do in place; a copy is what was asked for
    let writes = (is_whole || args.partial) && (repair.healed() > 0 || !args.in_place);
    if writes {
        place.finish(&Proof { tree: &tree, root_hash: &root_hash, data_size, is_whole })?;
    }
    output::repaired(&layout, parity.offset, &root_hash, &repair, writes, args.json)?;
    if hash_healed && !has_place_for_hash {
        output::warning(
            "hash blocks were healed too, and have nowhere to go: give --hash-output or --in-place",
        );
    }
    Ok(if is_whole { ExitStatus::Good } else { ExitStatus::Bad })
}

/// What is written must be what was proven.
struct Proof<'a> {
    tree: &'a CheckedTree,
    root_hash: &'a RootHash,
    data_size: u64,
    is_whole: bool,
}

impl Proof<'_> {
    /// Looks at what was written, as it is now.
    fn check(&self, data: &File, hash: &File) -> anyhow::Result<()> {
        if !self.is_whole {
            return Ok(());
        }
        let (data, hash) = (FileSource::new(data.try_clone()?)?, FileSource::new(hash.try_clone()?)?);
        let data = Section::new(&data, 0, self.data_size)?;
        let verdict = self.tree.verify(&data, &hash, self.root_hash, &Options::new())?;
        ensure!(verdict.is_proven(), "is not what was written: something else changed meanwhile");
        Ok(())
    }
}

/// Where healed blocks go.
trait Place: Sync {
    /// Takes one.
    fn put(&self, storage: Storage, offset: u64, block: &[u8]) -> io::Result<()>;
    /// All are there: makes them last.
    fn finish(self: Box<Self>, proof: &Proof<'_>) -> anyhow::Result<()>;
}

/// New files.
struct Copies {
    data: Destination,
    hash: Option<Destination>,
    /// The hash area as it was, if it is not copied.
    old_hash: File,
    same_file: bool,
    names: String,
}

impl Copies {
    fn begin(
        path: &Path,
        data: &FileSource,
        hash_path: Option<&Path>,
        hash: &FileSource,
        same_file: bool,
    ) -> anyhow::Result<Self> {
        let copied = |path: &Path, source: &FileSource| {
            let new = Destination::open(path).and_then(|new| copy(source, new.file()).map(|()| new));
            new.with_context(|| path.display().to_string())
        };
        Ok(Copies {
            data: copied(path, data)?,
            hash: hash_path.map(|path| copied(path, hash)).transpose()?,
            old_hash: hash.file().try_clone()?,
            same_file,
            names: path.display().to_string(),
        })
    }
}

impl Place for Copies {
    fn put(&self, storage: Storage, offset: u64, block: &[u8]) -> io::Result<()> {
        match (storage, &self.hash) {
            (Storage::Hash, Some(hash)) => hash.file().write_all_at(block, offset),
            // nowhere to go, which is told at the end
            (Storage::Hash, None) if !self.same_file => Ok(()),
            _ => self.data.file().write_all_at(block, offset),
        }
    }

    fn finish(self: Box<Self>, proof: &Proof<'_>) -> anyhow::Result<()> {
        let hash = match &self.hash {
            Some(hash) => hash.file(),
            None if self.same_file => self.data.file(),
            None => &self.old_hash,
        };
        proof.check(self.data.file(), hash).context(self.names)?;
        if let Some(hash) = self.hash {
            hash.commit(None)?;
        }
        self.data.commit(None)
    }
}

/// Copies what can be read, and leaves holes where nothing can, or nothing is.
fn copy(source: &FileSource, to: &File) -> anyhow::Result<()> {
    const PIECE: usize = 1 << 20;
    const LEAST: usize = 512;
    to.set_len(source.size())?;
    let mut buf = vec![0; PIECE];
    let mut at = 0;
    while let Some(next) = source.next_data(at) {
        let len = usize::try_from(source.size() - next).unwrap_or(PIECE).min(PIECE);
        let piece = &mut buf[..len];
        if source.read_exact_at(next, piece).is_ok() {
            to.write_all_at(piece, next)?;
        } else {
            for (i, part) in piece.chunks_mut(LEAST).enumerate() {
                let offset = next + (i * LEAST) as u64;
                if source.read_exact_at(offset, part).is_ok() {
                    to.write_all_at(part, offset)?;
                }
            }
        }
        at = next + len as u64;
    }
    Ok(())
}

/// Healed blocks on their way to their places.
///
/// A record is: 0 for data or 1 for the hash area, offset and length as little-endian `u64`, the bytes.
struct Journal {
    data: PathBuf,
    hash: PathBuf,
    same_file: bool,
    path: PathBuf,
    file: Mutex<File>,
    /// As long as nothing is written in place.
    begun: Mutex<Option<Begun>>,
}

impl Journal {
    fn begin(data: &Path, hash: &Path, same_file: bool) -> anyhow::Result<Self> {
        // what is behind a symbolic link: the journal lies beside the file itself
        let data = fs::canonicalize(data).with_context(|| data.display().to_string())?;
        let mut name = OsString::from(".");
        name.push(data.file_name().context("is not a file name")?);
        name.push(".ddi-repair");
        let path = match fs::metadata(&data) {
            Ok(found) if found.is_file() => data.with_file_name(name),
            // beside a device there is no room
            _ => std::env::temp_dir().join(name),
        };
        // one that is left over belongs to a run that was ended early, whose work this one does again
        let file = match fs::symlink_metadata(&path) {
            Ok(found) => {
                ensure!(found.is_file(), "{}: is not a regular file", path.display());
                fs::remove_file(&path).and_then(|()| Self::create(&path))
            }
            Err(_) => Self::create(&path),
        };
        let file = file.with_context(|| path.display().to_string())?;
        let begun = Mutex::new(Some(Begun::file(path.clone())));
        Ok(Journal { data, hash: hash.into(), same_file, path, file: Mutex::new(file), begun })
    }

    fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    fn sync_folder(&self) -> anyhow::Result<()> {
        Ok(File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()?)
    }
}

impl Place for Journal {
    fn put(&self, storage: Storage, offset: u64, block: &[u8]) -> io::Result<()> {
        let mut record = vec![u8::from(storage == Storage::Hash)];
        record.extend(offset.to_le_bytes());
        record.extend((block.len() as u64).to_le_bytes());
        record.extend(block);
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&record)
    }

    fn finish(self: Box<Self>, proof: &Proof<'_>) -> anyhow::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.sync_all().with_context(|| self.path.display().to_string())?;
        self.sync_folder()?;
        // from here on it is needed to complete the work
        drop(self.begun.lock().unwrap_or_else(PoisonError::into_inner).take());
        let name = || self.data.display().to_string();
        let data = Destination::open(&self.data).with_context(name)?;
        let hash = match self.same_file {
            true => None,
            false => Some(Destination::open(&self.hash).with_context(|| self.hash.display().to_string())?),
        };
        let hash_file = hash.as_ref().map_or(data.file(), Destination::file);
        let mut records = BufReader::new(&*file);
        records.seek(SeekFrom::Start(0))?;
        let mut head = [0; 17];
        let mut block = Vec::new();
        loop {
            match records.read_exact(&mut head) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            let [kind, rest @ ..] = head;
            let (offset, len) = rest.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            block.resize(usize::try_from(number(len))?, 0);
            records.read_exact(&mut block)?;
            let to = if kind == 1 { hash_file } else { data.file() };
            to.write_all_at(&block, number(offset)).with_context(name)?;
        }
        proof.check(data.file(), hash_file).with_context(name)?;
        if let Some(hash) = hash {
            hash.commit(None).with_context(|| self.hash.display().to_string())?;
        }
        data.commit(None).with_context(name)?;
        // dropped, and with it gone
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
