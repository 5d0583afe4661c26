//! Connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Two ways of bytes to a client: one thread reads, and several write, one at a time.
///
/// For a transport that is not among those here, such as TLS.
pub trait Link: Send + Sync + 'static {
    /// Some of the bytes that came, at least one; 0 at the end.
    ///
    /// # Errors
    /// What the transport reports; [`io::ErrorKind::WouldBlock`] or [`TimedOut`](io::ErrorKind::TimedOut) if the time is up.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// What the transport reports; also if the client does not take them for long.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;

    /// The longest that one [`read`](Self::read) may take from now on; `None` is for ever.
    ///
    /// # Errors
    /// What the transport reports.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// The longest that a client may leave what is sent to it lying.
    ///
    /// # Errors
    /// What the transport reports.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Ends it from another thread: whoever reads is woken.
    fn hang_up(&self);
}

macro_rules! socket {
    ($socket:ty) => {
        impl Link for $socket {
            fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                Read::read(&mut &*self, buf)
            }
            fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
                Write::write_all(&mut &*self, bytes)
            }
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                <$socket>::set_read_timeout(self, timeout)
            }
            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                <$socket>::set_write_timeout(self, timeout)
            }
            fn hang_up(&self) {
                // it may be closed already
                let _ = self.shutdown(Shutdown::Both);
            }
        }
    };
}

socket!(UnixStream);
socket!(TcpStream);
