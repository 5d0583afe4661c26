//! A file system in memory, as good or as bad as a test wants it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::api::{
    EachEntry, EachExtent, Entry, Error, Extent, ExtentKind, FileSystem, FileType, FsKind, Node, Stat, Vfs,
    Xattr,
};

#[derive(Debug)]
enum Content {
    Dir(BTreeMap<Vec<u8>, u64>),
    File(Vec<u8>),
    Link(Vec<u8>),
    Fifo,
    /// A device 0:0.
    Whiteout,
    /// What it is cannot be read.
    Damaged,
}

#[derive(Debug)]
pub struct Memory {
    nodes: Vec<(Content, Vec<Xattr>)>,
    /// Where nodes are said to lie.
    places: Vec<(u64, Extent)>,
    system: Vec<Extent>,
    /// Modes other than 755.
    permissions: Vec<(u64, u16)>,
    /// The size that directories are said to have.
    directory_size: u64,
}

impl Memory {
    pub fn new() -> Self {
        let root = (Content::Dir(BTreeMap::new()), Vec::new());
        Memory {
            nodes: vec![root],
            places: Vec::new(),
            system: Vec::new(),
            permissions: Vec::new(),
            directory_size: 0,
        }
    }

    /// A node under a name, with all directories on the way.
    fn add(&mut self, path: &str, content: Content) -> u64 {
        self.dir(path.rsplit_once('/').unwrap().0);
        let node = self.nodes.len() as u64;
        self.nodes.push((content, Vec::new()));
        self.name(path, node);
        node
    }

    /// Another name for a node, directories included.
    pub fn name(&mut self, path: &str, node: u64) {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = self.dir(parent);
        let Content::Dir(entries) = &mut self.nodes[parent as usize].0 else { panic!("{path}") };
        entries.insert(name.as_bytes().to_vec(), node);
    }

    pub fn dir(&mut self, path: &str) -> u64 {
        let mut at = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Content::Dir(entries) = &self.nodes[at as usize].0 else { panic!("{path}") };
            at = match entries.get(name.as_bytes()) {
                Some(node) => *node,
                None => {
                    let node = self.nodes.len() as u64;
                    self.nodes.push((Content::Dir(BTreeMap::new()), Vec::new()));
                    let Content::Dir(entries) = &mut self.nodes[at as usize].0 else { panic!("{path}") };
                    entries.insert(name.as_bytes().to_vec(), node);
                    node
                }
            };
        }
        at
    }

    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.add(path, Content::File(content.into()));
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.add(path, Content::Link(target.into()));
        self
    }

    pub fn fifo(mut self, path: &str) -> Self {
        self.add(path, Content::Fifo);
        self
    }

    pub fn whiteout(mut self, path: &str) -> Self {
        self.add(path, Content::Whiteout);
        self
    }

    /// An extended attribute of a directory, which is made if need be.
    pub fn dir_xattr(mut self, path: &str, name: &str, value: &str) -> Self {
        let node = self.dir(path);
        self.nodes[node as usize].1.push(Xattr { name: name.into(), value: value.into() });
        self
    }

    pub fn permissions(mut self, path: &str, permissions: u16) -> Self {
        let node = self.dir(path);
        self.permissions.push((node, permissions));
        self
    }

    pub fn damaged(mut self, path: &str) -> Self {
        self.add(path, Content::Damaged);
        self
    }

    pub fn directory_size(mut self, size: u64) -> Self {
        self.directory_size = size;
        self
    }

    pub fn xattr(mut self, name: &str, value: &str) -> Self {
        let xattr = Xattr { name: name.into(), value: value.into() };
        self.nodes.last_mut().unwrap().1.push(xattr);
        self
    }

    /// Where something of the node that was added last is said to lie.
    pub fn at(mut self, offset: u64, size: u64, kind: ExtentKind) -> Self {
        self.places.push((self.nodes.len() as u64 - 1, Extent { offset, size, kind }));
        self
    }

    /// The same for the file system itself.
    pub fn system(mut self, offset: u64, size: u64, kind: ExtentKind) -> Self {
        self.system.push(Extent { offset, size, kind });
        self
    }

    pub fn arc(self) -> Arc<dyn FileSystem> {
        Arc::new(self)
    }

    pub fn tree(self) -> Vfs {
        Vfs::new(Some(self.arc()))
    }
}

impl FileSystem for Memory {
    fn kind(&self) -> FsKind {
        FsKind::Ext4
    }

    fn root(&self) -> Node {
        Node(0)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let (file_type, size) = match &self.nodes[node.0 as usize].0 {
            Content::Dir(_) => (FileType::Directory, self.directory_size),
            Content::File(content) => (FileType::Regular, content.len() as u64),
            Content::Link(target) => (FileType::Symlink, target.len() as u64),
            Content::Fifo => (FileType::Fifo, 0),
            Content::Whiteout => (FileType::CharDevice, 0),
            Content::Damaged => return Err(Error::Corrupt { what: "inode", offset: node.0 }),
        };
        let said = self.permissions.iter().find(|(of, _)| *of == node.0);
        let permissions = said.map_or(0o755, |(_, permissions)| *permissions);
        Ok(Stat {
            file_type,
            permissions,
            uid: 0,
            gid: 0,
            size,
            mtime: 0,
            mtime_nsec: 0,
            nlink: 1,
            rdev: (0, 0),
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.stat(dir)?;
        let Content::Dir(entries) = &self.nodes[dir.0 as usize].0 else { return Err(Error::NotADirectory) };
        for (name, node) in entries {
            if let ControlFlow::Break(()) = each(Entry { name, node: Node(*node), file_type: None }) {
                break;
            }
        }
        Ok(())
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let Content::File(content) = &self.nodes[file.0 as usize].0 else { return Err(Error::NotAFile) };
        let rest = &content[(offset as usize).min(content.len())..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        let Content::Link(target) = &self.nodes[link.0 as usize].0 else { return Err(Error::NotALink) };
        Ok(target.clone())
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        Ok(self.nodes[node.0 as usize].1.clone())
    }

    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut places = self.places.iter().filter(|(owner, _)| *owner == node.0);
        let _ = places.try_for_each(|(_, extent)| each(*extent));
        self.stat(node).map(|_| ())
    }

    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let _ = self.system.iter().try_for_each(|extent| each(*extent));
        Ok(())
    }
}
