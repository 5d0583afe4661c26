//! The members of an archive, one after the other.

use ddi_io::ReadAt;

use super::extended::Extended;
use super::fault::ArchiveFault;
use super::header::{BLOCK, BLOCK_SIZE, Header, Map, more_sparse};

/// Bytes of one extended header, or of a long name: the map of a sparse file is the longest.
const MAX_EXTENDED: u64 = 8 << 20;
/// Bytes of a long name as GNU tar writes it.
const MAX_LONG_NAME: u64 = 64 << 10;
/// Parts of one sparse file.
const MAX_PARTS: usize = 1 << 18;

/// Bytes of a sparse file: where they are in it, how many, and where they are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) at: u64,
}

/// What a member is.
#[derive(Clone, Debug)]
pub(crate) enum MemberKind {
    Directory,
    /// The size with all holes, and the parts between them.
    File {
        size: u64,
        parts: Vec<Part>,
    },
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Device {
        is_block: bool,
        major: u32,
        minor: u32,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// As it is in the archive.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: MemberKind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) has_acl: bool,
}

pub(crate) struct Parser<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    /// The header that is being read, for messages.
    pub(crate) member_at: u64,
    /// Its name, as far as it is known.
    pub(crate) name: Vec<u8>,
    global: Extended,
}

/// What was said about a member before its header.
#[derive(Default)]
struct Before {
    extended: Option<Extended>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Before {
    fn is_nothing(&self) -> bool {
        self.extended.is_none() && self.name.is_none() && self.link.is_none()
    }
}

impl<'a> Parser<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, at: 0, member_at: 0, name: Vec::new(), global: Extended::default() }
    }

    /// The next member; `None` at the end, behind which nothing follows.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, ArchiveFault> {
        let mut before = Before::default();
        loop {
            (self.member_at, self.name) = (self.at, before.name.clone().unwrap_or_default());
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                return match before.is_nothing() {
                    true => self.end().map(|()| None),
                    false => Err(ArchiveFault::Extended { what: "no member follows it" }),
                };
            }
            let header = Header::new(&block).map_err(|fault| match self.member_at {
                0 => ArchiveFault::NotAnArchive,
                _ => fault,
            })?;
            match header.kind() {
                b'g' if before.is_nothing() => {
                    let bytes = self.small(&header, MAX_EXTENDED)?;
                    self.global.add(&bytes, true)?;
                }
                b'x' if before.extended.is_none() => {
                    let bytes = self.small(&header, MAX_EXTENDED)?;
                    let mut extended = self.global.clone();
                    extended.add(&bytes, false)?;
                    before.extended = Some(extended);
                }
                b'L' if before.name.is_none() => before.name = Some(self.long_name(&header)?),
                b'K' if before.link.is_none() => before.link = Some(self.long_name(&header)?),
                b'g' | b'x' | b'L' | b'K' => {
                    return Err(ArchiveFault::Extended { what: "another one is before the same member" });
                }
                // the name of the volume
                b'V' if before.is_nothing() => self.skip(header.size()?)?,
                _ => return self.member(&header, before).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header<'_>, before: Before) -> Result<Member, ArchiveFault> {
        let extended = before.extended.unwrap_or_else(|| self.global.clone());
        let sparse = extended.sparse;
        let named = sparse.name.or(extended.path).or(before.name);
        self.name = named.unwrap_or_else(|| header.name());
        let link = || extended.link.or(before.link).unwrap_or_else(|| header.link().to_vec());
        let stored = match extended.size {
            Some(size) => size,
            None => header.size()?,
        };
        let letter = header.kind();
        // before 1988 there was no letter for directories
        let is_directory = letter == b'5' || matches!(letter, 0 | b'0') && self.name.ends_with(b"/");
        let is_file = !is_directory && matches!(letter, 0 | b'0' | b'7' | b'S');
        if !is_file && stored > 0 {
            return Err(ArchiveFault::Contents { size: stored });
        }
        let is_sparse =
            letter == b'S' || sparse.map.is_some() || sparse.version.0.is_some() || sparse.size.is_some();
        if is_sparse && !is_file {
            return Err(ArchiveFault::Sparse { what: "it is no regular file" });
        }
        let kind = match letter {
            _ if is_directory => MemberKind::Directory,
            b'S' => {
                let (mut map, mut more, size) = header.sparse()?;
                while more {
                    let (parts, still) = more_sparse(&self.block()?)?;
                    if parts.is_empty() || map.len() > MAX_PARTS {
                        return Err(ArchiveFault::Sparse { what: "its map does not end" });
                    }
                    map.extend(parts);
                    more = still;
                }
                self.sparse(map, size, stored)?
            }
            _ if is_file && is_sparse => {
                let size = sparse.size.ok_or(ArchiveFault::Sparse { what: "it has no size" })?;
                match (sparse.version, sparse.map) {
                    ((Some(1), Some(0)), None) => {
                        let (map, taken) = self.map_before_contents(stored)?;
                        self.sparse(map, size, stored.saturating_sub(taken))?
                    }
                    ((None | Some(0), _), Some(map)) => {
                        let pairs = map.as_chunks::<2>();
                        if !pairs.1.is_empty() {
                            return Err(ArchiveFault::Sparse { what: "its map ends within a part" });
                        }
                        let map = pairs.0.iter().map(|[offset, size]| (*offset, *size)).collect();
                        self.sparse(map, size, stored)?
                    }
                    _ => return Err(ArchiveFault::Sparse { what: "its version is not known" }),
                }
            }
            _ if is_file => {
                let parts = vec![Part { offset: 0, size: stored, at: self.at }];
                self.skip(stored)?;
                MemberKind::File { size: stored, parts }
            }
            b'1' => MemberKind::HardLink(link()),
            b'2' => MemberKind::Symlink(link()),
            b'3' | b'4' => {
                let device = header.device()?;
                let major = extended.device.0.unwrap_or(device.0);
                let minor = extended.device.1.unwrap_or(device.1);
                MemberKind::Device { is_block: letter == b'4', major, minor }
            }
            b'6' => MemberKind::Fifo,
            letter => return Err(ArchiveFault::Kind { letter }),
        };
        let owner = header.owner();
        let owner = match extended.owner {
            // what does not fit into a header need not be in it
            (Some(user), Some(group)) => (user, group),
            (user, group) => {
                let owner = owner?;
                (user.unwrap_or(owner.0), group.unwrap_or(owner.1))
            }
        };
        let modified = match extended.modified {
            Some(modified) => modified,
            None => (header.modified()?, 0),
        };
        Ok(Member {
            name: self.name.clone(),
            kind,
            mode: header.mode()?,
            owner,
            modified,
            xattrs: extended.xattrs.into_iter().collect(),
            has_acl: extended.has_acl,
        })
    }

    /// The next block.
    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveFault> {
        let mut block = [0; BLOCK];
        self.source.read_exact_at(self.at, &mut block)?;
        self.at = self.at.saturating_add(BLOCK_SIZE);
        Ok(block)
    }

    /// Goes on behind so many bytes, which must be there.
    fn skip(&mut self, size: u64) -> Result<(), ArchiveFault> {
        let end = size.checked_next_multiple_of(BLOCK_SIZE).and_then(|size| self.at.checked_add(size));
        let end = end.filter(|end| *end <= self.source.size()).ok_or(ArchiveFault::Truncated)?;
        self.at = end;
        Ok(())
    }

    /// The contents of a header that says something about others.
    fn small(&mut self, header: &Header<'_>, max: u64) -> Result<Vec<u8>, ArchiveFault> {
        let size = header.size()?;
        if size > max {
            return Err(ArchiveFault::TooMuch { what: "bytes in an extended header", max });
        }
        let at = self.at;
        self.skip(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.source.read_exact_at(at, &mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, header: &Header<'_>) -> Result<Vec<u8>, ArchiveFault> {
        let mut name = self.small(header, MAX_LONG_NAME)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        match name.is_empty() {
            true => Err(ArchiveFault::Name { what: "a long name is empty" }),
            false => Ok(name),
        }
    }

    /// Version 1.0: numbers in lines before the contents, in whole blocks. Also tells how many bytes it takes.
    fn map_before_contents(&mut self, stored: u64) -> Result<(Map, u64), ArchiveFault> {
        let malformed = || ArchiveFault::Sparse { what: "its map is malformed" };
        let begin = self.at;
        // the map counts as contents, and ends within them
        let end = begin.checked_add(stored).filter(|end| *end <= self.source.size());
        let end = end.ok_or(ArchiveFault::Truncated)?;
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted: Option<usize> = None;
        let mut digits: Option<u64> = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.at >= end {
                return Err(malformed());
            }
            let block = self.block()?;
            for byte in block {
                match byte {
                    // what is left of the last block is padding
                    _ if wanted.is_some_and(|wanted| numbers.len() >= wanted) => break,
                    b'0'..=b'9' => {
                        let digit = u64::from(byte.saturating_sub(b'0'));
                        let value = digits.unwrap_or_default().checked_mul(10);
                        digits =
                            Some(value.and_then(|value| value.checked_add(digit)).ok_or_else(malformed)?);
                    }
                    b'\n' => {
                        let number = digits.take().ok_or_else(malformed)?;
                        match wanted {
                            Some(_) => numbers.push(number),
                            None => {
                                // checked before so many numbers are kept
                                let count = usize::try_from(number).ok().filter(|count| *count <= MAX_PARTS);
                                let (what, max) = ("parts of a sparse file", 1 << 18);
                                let count = count.ok_or(ArchiveFault::TooMuch { what, max })?;
                                wanted = Some(count.saturating_mul(2));
                            }
                        }
                    }
                    _ => return Err(malformed()),
                }
            }
        }
        let map = numbers.as_chunks::<2>().0.iter().map(|[offset, size]| (*offset, *size)).collect();
        Ok((map, self.at.saturating_sub(begin)))
    }

    /// The contents follow, the parts without gaps.
    fn sparse(&mut self, map: Map, size: u64, stored: u64) -> Result<MemberKind, ArchiveFault> {
        let fail = |what| Err(ArchiveFault::Sparse { what });
        if map.len() > MAX_PARTS {
            return Err(ArchiveFault::TooMuch { what: "parts of a sparse file", max: 1 << 18 });
        }
        let (mut end, mut at) = (0, self.at);
        let mut parts = Vec::new();
        for (offset, length) in map {
            if offset < end {
                return fail("its parts overlap, or are out of order");
            }
            end = offset.saturating_add(length);
            if end > size {
                return fail("a part ends behind the file");
            }
            if length > 0 {
                parts.push(Part { offset, size: length, at });
            }
            at = at.saturating_add(length);
        }
        if at.checked_sub(self.at) != Some(stored) {
            return fail("its map does not say where all of its contents go");
        }
        self.skip(stored)?;
        Ok(MemberKind::File { size, parts })
    }

    /// Behind the end there may be zeros, to fill a record, and nothing else.
    fn end(&mut self) -> Result<(), ArchiveFault> {
        const PIECE: u64 = 64 << 10;
        let mut piece = vec![0; usize::try_from(PIECE).unwrap_or_default()];
        let size = self.source.size();
        while let Some(start) = self.source.next_data(self.at).filter(|start| *start < size) {
            let want = size.saturating_sub(start).min(PIECE);
            let Some(buf) = piece.get_mut(..usize::try_from(want).unwrap_or_default()) else { break };
            self.source.read_exact_at(start, buf)?;
            if let Some(at) = buf.iter().position(|byte| *byte != 0) {
                self.member_at = start.saturating_add(u64::try_from(at).unwrap_or_default());
                return Err(ArchiveFault::Trailing);
            }
            self.at = start.saturating_add(want);
        }
        Ok(())
    }
}
