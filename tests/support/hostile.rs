//! Images that somebody made to mislead, crash or stall their reader, each with the one answer that it must get.
//!
//! The classes are those of the threat model: [`g_table`] for the partition table, `c1` to `c10` for the rest. The
//! expected answers are decided from the specifications, not taken from what the program says. Everything is made in
//! memory or as a sparse file; CRCs are repaired, so that what is wrong is the one thing that the description names.

mod base;
mod c10_packed;
mod c1_geometry;
mod c2_candidates;
mod c3_sector_size;
mod c4_file_systems;
mod c5_signature_json;
mod c6_pkcs7;
mod c7_sidecars;
mod c8_paths;
mod c9_files;
pub(crate) mod der;
mod g_table;
mod media;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

pub(crate) use base::{Verity, base};
pub(crate) use media::{Media, crc32};

use super::run;

/// One hostile image, or path, with what lies beside it.
#[derive(Debug, Clone)]
pub(crate) struct Hostile {
    /// Class and number: `C1-007`.
    pub(crate) id: String,
    /// What is wrong with it, in a few words.
    pub(crate) what: String,
    /// The command that must answer: `inspect`, `verify --root-hash …`. `{dir}` is the folder, `{image}` the path, which
    /// comes last if it is not there.
    pub(crate) ask: Vec<String>,
    /// Its exit status.
    pub(crate) status: i32,
    /// The code of its error or worst finding; the outcome of a proof where there is neither. Of what is inside: a fact
    /// (`hostname=…`, `no osRelease`) or what is wrong with one, and a part of what `ls` and `cat` print.
    pub(crate) answer: &'static str,
    /// The path to hand over: a name in the folder, or an absolute one.
    pub(crate) path: String,
    /// The files to be made, by name.
    pub(crate) files: Vec<(String, Node)>,
}

/// A file to be made.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Media(Media),
    File(Vec<u8>),
    /// So many bytes, all zero and none of them stored.
    Sparse(u64),
    Fifo,
    Directory,
    Symlink(String),
    Socket,
}

impl Node {
    fn make(&self, path: &Path) {
        match self {
            Node::Media(media) => media.write(path),
            Node::File(bytes) => fs::write(path, bytes).unwrap(),
            Node::Sparse(size) => fs::File::create(path).unwrap().set_len(*size).unwrap(),
            Node::Fifo => drop(run("mkfifo", [path]).unwrap()),
            Node::Directory => fs::create_dir_all(path).unwrap(),
            Node::Symlink(target) => symlink(target, path).unwrap(),
            // the socket stays when nobody listens any more
            Node::Socket => drop(UnixListener::bind(path).unwrap()),
        }
    }
}

impl Hostile {
    /// Makes the files in `folder`, which is there and empty, and gives the path of the image.
    pub(crate) fn make(&self, folder: &Path) -> String {
        for (name, node) in &self.files {
            node.make(&folder.join(name));
        }
        match self.path.starts_with('/') {
            true => self.path.clone(),
            false => format!("{}/{}", folder.display(), self.path),
        }
    }

    /// The arguments of `ddi`, for an image that [`make`](Self::make) made.
    pub(crate) fn args(&self, folder: &Path, path: &str) -> Vec<String> {
        let folder = folder.display().to_string();
        let fill = |arg: &String| arg.replace("{dir}", &folder).replace("{image}", path);
        let mut args: Vec<_> = self.ask.iter().map(fill).collect();
        if !self.ask.iter().any(|arg| arg == "{image}") {
            args.push(path.to_owned());
        }
        args
    }

    pub(crate) fn class(&self) -> &str {
        self.id.split('-').next().unwrap()
    }
}

/// The images of one class, numbered.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    name: &'static str,
    list: Vec<Hostile>,
}

impl Class {
    fn new(name: &'static str) -> Self {
        Class { name, list: Vec::new() }
    }

    /// Adds an image for `ask`, words apart by spaces, which must end with `status` and `answer`.
    fn add(
        &mut self,
        what: impl Into<String>,
        media: Media,
        ask: &str,
        status: i32,
        answer: &'static str,
    ) -> &mut Hostile {
        self.add_path(what, "image.raw", vec![("image.raw".into(), Node::Media(media))], ask, status, answer)
    }

    /// The same with any path and files.
    fn add_path(
        &mut self,
        what: impl Into<String>,
        path: &str,
        files: Vec<(String, Node)>,
        ask: &str,
        status: i32,
        answer: &'static str,
    ) -> &mut Hostile {
        let id = format!("{}-{:03}", self.name, self.list.len() + 1);
        let ask = ask.split(' ').map(str::to_owned).collect();
        let path = path.to_owned();
        self.list.push(Hostile { id, what: what.into(), ask, status, answer, path, files });
        self.list.last_mut().unwrap()
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Hostile> {
    let classes = [
        g_table::images(),
        c1_geometry::images(),
        c2_candidates::images(),
        c3_sector_size::images(),
        c4_file_systems::images(),
        c5_signature_json::images(),
        c6_pkcs7::images(),
        c7_sidecars::images(),
        c8_paths::images(),
        c9_files::images(),
        c10_packed::images(),
    ];
    classes.into_iter().flat_map(|class| class.list).collect()
}
