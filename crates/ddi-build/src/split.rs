//! The partitions of an image that is there, each as a file of its own.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ddi_gpt::{Gpt, Partition};
use ddi_io::{ReadAt, Section};

use crate::copy::write_sparse;
use crate::error::Error;
use crate::output::Output;

/// How much is read at a time.
const PIECE: usize = 1 << 20;

/// The file name of a partition: that of the image without `.raw`, the name of the partition, and `.raw` if the image has it.
pub(crate) fn file_name(image: &OsStr, name: &str) -> OsString {
    let (base, suffix) = match image.as_bytes().strip_suffix(b".raw") {
        Some(base) => (OsStr::from_bytes(base), ".raw"),
        None => (image, ""),
    };
    let mut whole = base.to_owned();
    whole.push(format!(".{name}{suffix}"));
    whole
}

/// Which partition becomes which file. Nothing is written before [`write`](Self::write).
///
/// An image does not say what `SplitName=` was: files are named by partition types, as they are without it. Of several
/// partitions of one type, each has its number behind that and a point, which no name of a type has in it.
///
/// ```
/// use ddi_build::Split;
/// use ddi_gpt::{BlockSize, Builder, Guid, Mode, NewPartition, PartitionType};
///
/// let swap = PartitionType::from_name("swap", None)?.guid().unwrap();
/// let partition = NewPartition::new(swap, Guid::from_u128(1)).size(4096);
/// let disk = Builder::new(1 << 20, BlockSize::B512, Guid::from_u128(2)).partition(partition).build()?.to_disk();
/// let examination = ddi_gpt::examine(1 << 20, None, |at, buf| {
///     let at = at as usize;
///     buf.copy_from_slice(&disk[at..at + buf.len()]);
///     Ok::<_, std::io::Error>(())
/// })?;
/// let table = examination.gpt(Mode::Strict)?;
/// let split = Split::new(&table, "os_1.raw".as_ref(), "out".as_ref());
/// assert_eq!(split.files()[0].path.to_str(), Some("out/os_1.swap.raw"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    files: Vec<SplitFile>,
}

/// A partition and its file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SplitFile {
    /// The partition.
    pub partition: Partition,
    /// The file.
    pub path: PathBuf,
}

impl Split {
    /// The used partitions of a table, as files in a folder; `image` is the file name of the image.
    pub fn new(table: &Gpt, image: &OsStr, folder: &Path) -> Self {
        let mut types: Vec<_> = table.partitions().iter().map(|partition| partition.type_guid).collect();
        types.sort();
        let file = |partition: &Partition| {
            let name = partition.partition_type().name();
            let first = types.partition_point(|other| *other < partition.type_guid);
            let name = match types.get(first.saturating_add(1)) {
                Some(next) if *next == partition.type_guid => format!("{name}.{}", partition.number),
                _ => name,
            };
            SplitFile { partition: *partition, path: folder.join(file_name(image, &name)) }
        };
        Self { files: table.partitions().iter().map(file).collect() }
    }

    /// The files, in the order of the table.
    pub fn files(&self) -> &[SplitFile] {
        &self.files
    }

    /// Writes the files, holes and zeros as holes. Each has no name until it is complete and on the disk.
    ///
    /// # Errors
    /// [`Error::Write`] if one of them is there already, before anything is written; then [`Error::Write`] and
    /// [`Error::Read`], with the path of `image`. After an error there is none of them.
    pub fn write(&self, source: &dyn ReadAt, image: &Path) -> Result<(), Error> {
        for SplitFile { path, .. } in &self.files {
            let error = match path.symlink_metadata() {
                Ok(_) => io::ErrorKind::AlreadyExists.into(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => error,
            };
            return Err(Error::Write { path: path.clone(), error });
        }
        let mut made = Vec::new();
        let done = self.files.iter().try_for_each(|file| file.write(source, image, &mut made));
        if done.is_err() {
            crate::write::remove(&made);
        }
        done
    }
}

impl SplitFile {
    fn write(&self, source: &dyn ReadAt, image: &Path, made: &mut Vec<PathBuf>) -> Result<(), Error> {
        let unread = |error| Error::Read { path: image.into(), error };
        let unwritten = |error| Error::Write { path: self.path.clone(), error };
        let range = self.partition.range;
        let section = Section::new(source, range.offset, range.size).map_err(unread)?;
        let output = Output::create(&self.path).map_err(unwritten)?;
        output.file().set_len(range.size).map_err(unwritten)?;
        self.fill(&section, output.file(), image)?;
        match output.commit(false) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(unwritten(error)),
            committed => {
                // it may have its name, and not be known to be on the disk
                made.push(self.path.clone());
                committed.map_err(unwritten)
            }
        }
    }

    fn fill(&self, from: &Section<&dyn ReadAt>, to: &File, image: &Path) -> Result<(), Error> {
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while let Some(data) = from.next_data(at).filter(|data| *data < from.size()) {
            let left = usize::try_from(from.size().saturating_sub(data)).unwrap_or(PIECE);
            let Some(buf) = piece.get_mut(..left.min(PIECE)) else { break };
            from.read_exact_at(data, buf).map_err(|error| Error::Read { path: image.into(), error })?;
            write_sparse(to, data, buf).map_err(|error| Error::Write { path: self.path.clone(), error })?;
            at = data.saturating_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bytes_and_end_as_that_of_the_image() {
        let name = |image: &[u8]| file_name(OsStr::from_bytes(image), "usr").into_encoded_bytes();
        assert_eq!(name(b"os_1.raw"), b"os_1.usr.raw");
        assert_eq!(name(b"os.img"), b"os.img.usr");
        assert_eq!(name(b"\xff.raw"), b"\xff.usr.raw");
        assert_eq!(name(b".raw"), b".usr.raw");
        assert_eq!(name(b"raw"), b"raw.usr");
    }
}
