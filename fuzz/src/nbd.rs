//! Clients of a network block device.

use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use ddi_io::ReadAt;
use ddi_serve::{Content, Export, Link, Server, ServerOptions};

const SIZE: u64 = 1 << 20;

/// Bytes that tell where they are, zeros in the middle, and one that cannot be read.
struct Pattern;

impl Pattern {
    const ZEROS: Range<u64> = 300_000..800_000;
    const BAD: u64 = 900_000;

    fn byte(at: u64) -> u8 {
        if Self::ZEROS.contains(&at) { 0 } else { (at ^ (at >> 8)) as u8 | 1 }
    }
}

impl ReadAt for Pattern {
    fn size(&self) -> u64 {
        SIZE
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        assert!(end <= SIZE, "read beyond the end");
        if (offset..end).contains(&Self::BAD) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for (at, byte) in (offset..).zip(buf) {
            *byte = Self::byte(at);
        }
        Ok(())
    }
}

impl Content for Pattern {
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        assert!(range.start <= range.end && range.end <= SIZE, "asked beyond the end");
        let zeros = Self::ZEROS.start.max(range.start)..Self::ZEROS.end.min(range.end);
        Ok(if zeros.is_empty() { Vec::new() } else { vec![zeros] })
    }
}

/// A client that has said all already.
struct Said {
    input: Mutex<Cursor<Vec<u8>>>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Link for Said {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.lock().unwrap().read(buf)
    }
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.output.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn hang_up(&self) {}
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let exports = vec![
        Export::new("root", Arc::new(Pattern)).description("what is served"),
        Export::new("usr", Arc::new(vec![3_u8; 1000])),
    ];
    Server::new(exports, &ServerOptions::new().threads(0)).unwrap()
});

/// One client, from the answer to the greeting on: whatever it says, the session ends; nothing outside of a disk is read; and what is
/// sent is made of whole replies, the bytes in which are those of the disk.
pub fn nbd_session(input: &[u8]) {
    // what one request can ask for is large, so there are few
    let input = &input[..input.len().min(2000)];
    let output = Arc::new(Mutex::new(Vec::new()));
    SERVER.serve_link(Said { input: Mutex::new(Cursor::new(input.to_vec())), output: Arc::clone(&output) });
    assert_eq!(SERVER.statistics().open_connections, 0);
    let output = output.lock().unwrap();
    let told = output.strip_prefix(b"NBDMAGICIHAVEOPT\0\x03").expect("a greeting");
    check(told);
}

fn take<'a>(told: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (now, rest) = told.split_at_checked(length).expect("a whole reply");
    *told = rest;
    now
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Replies to options, and then to requests. Data of simple replies cannot be told from what follows, so it is taken as it is.
fn check(mut told: &[u8]) {
    while told.starts_with(&0x0003_e889_0455_65a9_u64.to_be_bytes()) {
        let header = take(&mut told, 20);
        let length = number(&header[16..]) as usize;
        take(&mut told, length);
    }
    // an old client: the size, and what else there is; from there on replies are simple
    while told.starts_with(&0x668e_33ef_u32.to_be_bytes()) {
        let header = take(&mut told, 20);
        let content = take(&mut told, number(&header[16..]) as usize);
        match number(&header[6..8]) {
            0 => assert!(content.is_empty()),
            1 => {
                let offset = number(&content[..8]);
                let data = &content[8..];
                let is_root = (offset..).zip(data).all(|(at, byte)| Pattern::byte(at) == *byte);
                let is_usr = offset + data.len() as u64 <= 1000 && data.iter().all(|byte| *byte == 3);
                assert!(!data.is_empty() && (is_root || is_usr), "{} bytes at {offset}", data.len());
            }
            2 => {
                let (offset, length) = (number(&content[..8]), number(&content[8..12]));
                assert!(length > 0 && (offset..offset + length).all(|at| Pattern::byte(at) == 0));
            }
            5 => {
                assert_eq!(number(&content[..4]), 1);
                assert!(content.len() > 4 && content.len() % 8 == 4);
                assert!(content[4..].chunks(8).all(|extent| number(&extent[..4]) > 0));
            }
            0x8001 => assert_eq!(number(&content[4..6]) as usize, content.len() - 6),
            other => panic!("chunk of type {other}"),
        }
    }
}
