//! Unix sockets in the file system, for one user alone.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::Error;

/// A socket with a name, of mode 0600 from the beginning. The name goes away with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which one is ours: another server may have put its own there.
    inode: (u64, u64),
    /// Made for it alone.
    folder: Option<PathBuf>,
}

impl Socket {
    /// A socket at `path`. One that is there is replaced, if nobody answers on it.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotASocket`]; [`Error::Io`].
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = Error::io("making the socket");
        let stale = match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(Error::NotASocket(path.to_owned())),
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
                // it may be another user's, of which nothing can be said
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(failed(error)),
                _ => return Err(Error::InUse(path.to_owned())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // nobody else can reach it before it is theirs to reach
        let folder = Folder::new(parent).map_err(&failed)?;
        let (listener, inode) = listen(&folder.0.join("s")).map_err(&failed)?;
        let flags = if stale { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, folder.0.join("s"), CWD, path, flags).map_err(|error| failed(error.into()))?;
        Ok(Socket { listener, path: path.to_owned(), inode, folder: None })
    }

    /// A socket in a new folder of its own in `parent`, for a command that is started with it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn private(parent: impl AsRef<Path>) -> Result<Self, Error> {
        let failed = Error::io("making a folder for the socket");
        let folder = Folder::new(parent.as_ref()).map_err(&failed)?;
        let path = folder.0.join("socket");
        let (listener, inode) = listen(&path).map_err(&failed)?;
        Ok(Socket { listener, path, inode, folder: Some(folder.keep()) })
    }

    /// Where clients find it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To be served.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// What clients of NBD are told: `nbd+unix:///?socket=PATH`, or with the name of an export.
    pub fn uri(&self, export: Option<&str>) -> String {
        let path = escape(self.path.as_os_str());
        format!("nbd+unix:///{}?socket={path}", escape(OsStr::new(export.unwrap_or_default())))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn listen(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let found = fs::symlink_metadata(path)?;
    Ok((listener, (found.dev(), found.ino())))
}

/// A new folder for its owner alone, which goes away, with the socket in it.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let path = parent.join(format!(".ddi-serve-{:016x}", u64::from_ne_bytes(random)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(self.0.join("s"));
            let _ = fs::remove_file(self.0.join("socket"));
            let _ = fs::remove_dir(&self.0);
        }
    }
}

/// As in a URI: everything but letters, digits and a few marks as `%NN`.
fn escape(text: &OsStr) -> String {
    let mut escaped = String::new();
    for byte in text.as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(*byte));
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ddi-serve-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_socket_is_for_its_owner_alone_and_goes_away() {
        let folder = folder("mode");
        let path = folder.join("a b");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(&folder), ["a b"]);
        UnixStream::connect(&path).unwrap();
        let escaped = folder.display();
        assert_eq!(socket.uri(Some("r/ü")), format!("nbd+unix:///r/%C3%BC?socket={escaped}/a%20b"));
        // it answers, so nobody takes its place
        assert!(matches!(Socket::bind(&path).unwrap_err(), Error::InUse(_)));
        drop(socket);
        assert!(names(&folder).is_empty());

        let private = Socket::private(&folder).unwrap();
        assert_eq!(fs::metadata(private.path().parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        UnixStream::connect(private.path()).unwrap();
        drop(private);
        assert!(names(&folder).is_empty());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_there_is_replaced_only_if_it_is_dead() {
        let folder = folder("stale");
        let path = folder.join("s");
        // the name stays when its server has gone
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        // what another has put there since is not ours to remove
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        drop(other);

        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), Error::NotASocket(_)));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(matches!(Socket::bind(folder.join("none/s")).unwrap_err(), Error::Io { .. }));
        assert_eq!(names(&folder), ["s"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
