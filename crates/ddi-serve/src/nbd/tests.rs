//! A client of our own, which also says what no client should.

use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ddi_io::ReadAt;

use super::wire::{self, chunk, cmd, info, opt, rep};
use crate::export::Content;
use crate::{Export, Link, Server, ServerOptions};

/// Bytes that tell where they are, with zeros in `zeros`, and an error in `bad`.
struct Pattern {
    size: u64,
    zeros: Range<u64>,
    bad: Option<u64>,
}

impl Pattern {
    const SIZE: u64 = (40 << 20) + 512;

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        // a prime, so that no block is like another
        static BYTES: LazyLock<Vec<u8>> =
            LazyLock::new(|| (0..65_521_u32).map(|n| ((n * n) >> 7) as u8 | 1).collect());
        let mut done = 0;
        while done < buf.len() {
            let from = &BYTES[((offset + done as u64) % 65_521) as usize..];
            let len = from.len().min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&from[..len]);
            done += len;
        }
        let end = offset + buf.len() as u64;
        let zeros = self.zeros.start.max(offset)..self.zeros.end.min(end);
        if !zeros.is_empty() {
            buf[(zeros.start - offset) as usize..(zeros.end - offset) as usize].fill(0);
        }
    }
    fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.fill(range.start, &mut bytes);
        bytes
    }
}

impl ReadAt for Pattern {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.bad.is_some_and(|bad| (offset..offset + buf.len() as u64).contains(&bad)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "block 7 is not what it should be"));
        }
        self.fill(offset, buf);
        Ok(())
    }
}

impl Content for Pattern {
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let zeros = self.zeros.start.max(range.start)..self.zeros.end.min(range.end);
        Ok(if zeros.is_empty() { vec![] } else { vec![zeros] })
    }
}

fn pattern() -> Pattern {
    Pattern { size: Pattern::SIZE, zeros: 1 << 20..9 << 20, bad: Some(20 << 20) }
}

fn server(options: &ServerOptions) -> Server {
    let exports = vec![
        Export::new("root", Arc::new(pattern())).description("what is served"),
        Export::new("usr", Arc::new(vec![3_u8; 1000])).preferred_block_size(512),
    ];
    Server::new(exports, options).unwrap()
}

/// One connection to a server.
struct Client {
    stream: UnixStream,
    thread: Option<JoinHandle<()>>,
    structured: bool,
    cookie: u64,
}

impl Client {
    /// Before the greeting.
    fn new(server: &Server) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = server.clone();
        let thread = std::thread::spawn(move || server.serve_link(theirs));
        // a server that hangs is an error, and not a test that hangs
        ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client { stream: ours, thread: Some(thread), structured: false, cookie: 7 }
    }

    /// Ready for options.
    fn greeted(server: &Server, flags: u32) -> Self {
        let mut client = Client::new(server);
        assert_eq!(client.read(18), [&b"NBDMAGICIHAVEOPT"[..], &[0, 3]].concat());
        client.send(&flags.to_be_bytes());
        client
    }

    /// Ready for requests.
    fn going(server: &Server, structured: bool) -> Self {
        let mut client = Client::greeted(server, 3);
        if structured {
            assert_eq!(client.option(opt::STRUCTURED_REPLY, b""), [(rep::ACK, vec![])]);
            let replies = client.option(opt::SET_META_CONTEXT, &contexts(b"root", &[b"base:allocation"]));
            assert_eq!(replies.last().unwrap().0, rep::ACK);
        }
        client.structured = structured;
        assert_eq!(client.option(opt::GO, &go(b"root", &[])).last().unwrap().0, rep::ACK);
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number(&mut self, length: usize) -> u64 {
        self.read(length).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Sends an option, and reads replies up to the last.
    fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data);
        let mut replies = Vec::new();
        loop {
            assert_eq!(self.number(8), 0x0003_e889_0455_65a9);
            assert_eq!(self.number(4), u64::from(option));
            let kind = self.number(4) as u32;
            let length = self.number(4) as usize;
            replies.push((kind, self.read(length)));
            if kind == rep::ACK || kind >= 1 << 31 {
                return replies;
            }
        }
    }

    fn send_option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = b"IHAVEOPT".to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        self.send(&bytes);
    }

    fn request(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> u64 {
        self.cookie += 1;
        let cookie = self.cookie;
        self.send(&request(command, flags, cookie, offset, length));
        cookie
    }

    /// Chunks up to the last one: kind and content.
    fn chunks(&mut self, cookie: u64) -> Vec<(u16, Vec<u8>)> {
        let mut chunks = Vec::new();
        loop {
            assert_eq!(self.number(4), u64::from(wire::STRUCTURED_REPLY));
            let flags = self.number(2) as u16;
            let kind = self.number(2) as u16;
            assert_eq!(self.number(8), cookie);
            let length = self.number(4) as usize;
            chunks.push((kind, self.read(length)));
            if flags & chunk::DONE != 0 {
                return chunks;
            }
        }
    }

    /// The bytes, or the number of the error and its text.
    fn get(&mut self, flags: u16, range: Range<u64>) -> Result<Vec<u8>, (u32, String)> {
        let length = (range.end - range.start) as u32;
        let cookie = self.request(cmd::READ, flags, range.start, length);
        if !self.structured {
            return match self.simple(cookie) {
                0 => Ok(self.read(length as usize)),
                errno => Err((errno, String::new())),
            };
        }
        let mut bytes = vec![0xaa; length as usize];
        let mut covered = 0;
        for (kind, content) in self.chunks(cookie) {
            let number = |at: Range<usize>| content[at].iter().fold(0, |n, b| n << 8 | u64::from(*b));
            match kind {
                chunk::NONE => {}
                chunk::OFFSET_DATA => {
                    let start = (number(0..8) - range.start) as usize;
                    bytes[start..start + content.len() - 8].copy_from_slice(&content[8..]);
                    covered += content.len() - 8;
                }
                chunk::OFFSET_HOLE => {
                    let (start, len) = ((number(0..8) - range.start) as usize, number(8..12) as usize);
                    bytes[start..start + len].fill(0);
                    covered += len;
                }
                chunk::ERROR => return Err(error(&content)),
                other => panic!("chunk of type {other}"),
            }
        }
        assert_eq!(covered, bytes.len());
        Ok(bytes)
    }

    fn simple(&mut self, cookie: u64) -> u32 {
        assert_eq!(self.number(4), u64::from(wire::SIMPLE_REPLY));
        let errno = self.number(4) as u32;
        assert_eq!(self.number(8), cookie);
        errno
    }

    /// Sends a request that fails.
    fn fails(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> u32 {
        let cookie = self.request(command, flags, offset, length);
        if command == cmd::WRITE {
            self.send(&vec![0; length as usize]);
        }
        if !self.structured {
            return self.simple(cookie);
        }
        match &self.chunks(cookie)[..] {
            [(chunk::ERROR, content)] => error(content).0,
            other => panic!("{other:?}"),
        }
    }

    /// Extents: length and flags.
    fn status(&mut self, flags: u16, range: Range<u64>) -> Vec<(u32, u32)> {
        let cookie = self.request(cmd::BLOCK_STATUS, flags, range.start, (range.end - range.start) as u32);
        let chunks = self.chunks(cookie);
        let [(chunk::BLOCK_STATUS, content)] = &chunks[..] else { panic!("{chunks:?}") };
        assert_eq!(content[..4], 1_u32.to_be_bytes());
        let numbers = content[4..].chunks(4).map(|number| u32::from_be_bytes(number.try_into().unwrap()));
        let numbers: Vec<_> = numbers.collect();
        numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Nothing more comes.
    fn ends(mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        assert!(rest.is_empty(), "{rest:?}");
        self.thread.take().unwrap().join().unwrap();
    }
}

fn error(content: &[u8]) -> (u32, String) {
    let errno = u32::from_be_bytes(content[..4].try_into().unwrap());
    assert_eq!(u16::from_be_bytes([content[4], content[5]]) as usize, content.len() - 6);
    (errno, String::from_utf8(content[6..].to_vec()).unwrap())
}

fn request(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = wire::REQUEST.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

fn go(name: &[u8], wanted: &[u16]) -> Vec<u8> {
    let mut data = text(name);
    data.extend((wanted.len() as u16).to_be_bytes());
    data.extend(wanted.iter().flat_map(|wanted| wanted.to_be_bytes()));
    data
}

fn contexts(name: &[u8], queries: &[&[u8]]) -> Vec<u8> {
    let mut data = text(name);
    data.extend((queries.len() as u32).to_be_bytes());
    data.extend(queries.iter().flat_map(|query| text(query)));
    data
}

#[test]
fn options() {
    let server = server(&ServerOptions::new());
    let mut client = Client::greeted(&server, 3);
    let list = client.option(opt::LIST, b"");
    assert_eq!(list[0], (rep::SERVER, [&text(b"root")[..], b"what is served"].concat()));
    assert_eq!(list[1..], [(rep::SERVER, text(b"usr")), (rep::ACK, vec![])]);

    let size = [&[0, 0][..], &Pattern::SIZE.to_be_bytes(), &0x0183_u16.to_be_bytes()].concat();
    let blocks = [&[0, 3, 0, 0, 0, 1][..], &4096_u32.to_be_bytes(), &(32_u32 << 20).to_be_bytes()].concat();
    for name in [&b"root"[..], b""] {
        let told = client.option(opt::INFO, &go(name, &[info::NAME, info::DESCRIPTION, 99]));
        let kinds = [rep::INFO, rep::INFO, rep::INFO, rep::INFO, rep::ACK];
        assert_eq!(told.iter().map(|told| told.0).collect::<Vec<_>>(), kinds);
        assert_eq!((&told[0].1, &told[1].1), (&size, &blocks));
        assert_eq!(told[2].1, b"\0\x01root");
        assert_eq!(told[3].1, b"\0\x02what is served");
    }
    let first = |replies: Vec<(u32, Vec<u8>)>| replies[0].0;
    // what is not known, malformed, or too early
    assert_eq!(first(client.option(opt::INFO, &go(b"rood", &[]))), rep::ERR_UNKNOWN);
    assert_eq!(first(client.option(opt::GO, &go(&[b'x'; 5000], &[]))), rep::ERR_INVALID);
    let good = go(b"root", &[1, 2]);
    for cut in 0..good.len() {
        assert_eq!(first(client.option(opt::INFO, &good[..cut])), rep::ERR_INVALID, "{cut}");
        if cut == 10 {
            break;
        }
    }
    assert_eq!(first(client.option(opt::INFO, &[&good[..], b"x"].concat())), rep::ERR_INVALID);
    assert_eq!(first(client.option(opt::LIST, b"x")), rep::ERR_INVALID);
    assert_eq!(first(client.option(opt::LIST_META_CONTEXT, &contexts(b"", &[]))), rep::ERR_INVALID);
    for unknown in [0, 4, 5, 11, 12, u32::MAX] {
        assert_eq!(first(client.option(unknown, b"whatever")), rep::ERR_UNSUP);
    }
    assert_eq!(client.option(opt::ABORT, b""), [(rep::ACK, vec![])]);
    client.ends();
    assert_eq!(server.statistics().requests, 0);
}

#[test]
fn contexts_are_bound_to_their_export() {
    let server = server(&ServerOptions::new());
    let listed = |id: u32| (rep::META_CONTEXT, [&id.to_be_bytes()[..], b"base:allocation"].concat());
    let ack = (rep::ACK, vec![]);
    let mut client = Client::greeted(&server, 3);
    client.option(opt::STRUCTURED_REPLY, b"");
    assert_eq!(client.option(opt::LIST_META_CONTEXT, &contexts(b"usr", &[])), [listed(0), ack.clone()]);
    for (query, is_listed, is_set) in [
        (&b"base:allocation"[..], true, true),
        (b"base:", true, false),
        (b"base:other", false, false),
        (b"", false, false),
        (b"qemu:", false, false),
    ] {
        let list = client.option(opt::LIST_META_CONTEXT, &contexts(b"usr", &[query, b"x:y"]));
        assert_eq!(list.len(), 1 + usize::from(is_listed));
        let set = client.option(opt::SET_META_CONTEXT, &contexts(b"usr", &[query, b"x:y"]));
        assert_eq!(set.len(), 1 + usize::from(is_set));
    }
    let first = |replies: Vec<(u32, Vec<u8>)>| replies[0].0;
    assert_eq!(first(client.option(opt::SET_META_CONTEXT, &contexts(b"none", &[]))), rep::ERR_UNKNOWN);
    let many: Vec<&[u8]> = vec![b"a:"; 257];
    assert_eq!(first(client.option(opt::SET_META_CONTEXT, &contexts(b"usr", &many))), rep::ERR_INVALID);
    assert_eq!(first(client.option(opt::SET_META_CONTEXT, b"\0\0\0\x09root")), rep::ERR_INVALID);
    // of another export than is used; and what was chosen, and is chosen no longer
    let usr = contexts(b"usr", &[b"base:allocation"]);
    let none = contexts(b"root", &[]);
    let root = contexts(b"root", &[b"base:allocation"]);
    for (sets, errno) in [(vec![&usr], Some(22)), (vec![&root, &none], Some(22)), (vec![&usr, &root], None)] {
        let mut client = Client::greeted(&server, 3);
        client.option(opt::STRUCTURED_REPLY, b"");
        client.structured = true;
        for set in sets {
            client.option(opt::SET_META_CONTEXT, set);
        }
        client.option(opt::GO, &go(b"", &[]));
        match errno {
            Some(errno) => assert_eq!(client.fails(cmd::BLOCK_STATUS, 0, 0, 4096), errno),
            None => assert_eq!(client.status(0, 0..4096), [(4096, 0)]),
        }
    }
}

#[test]
fn old_clients() {
    let server = server(&ServerOptions::new());
    for (flags, zeros) in [(0, 124), (1, 124), (2, 0), (3, 0)] {
        let mut client = Client::greeted(&server, flags);
        client.send_option(opt::EXPORT_NAME, b"usr");
        assert_eq!((client.number(8), client.number(2)), (1000, 0x0183));
        assert_eq!(client.read(zeros), vec![0; zeros]);
        assert_eq!(client.get(0, 990..1000), Ok(vec![3; 10]));
        client.request(cmd::DISC, 0, 0, 0);
        client.ends();
    }
    let mut client = Client::greeted(&server, 3);
    client.send_option(opt::EXPORT_NAME, b"none");
    client.ends();
}

#[test]
fn whoever_does_not_keep_to_the_protocol_is_hung_up() {
    let server = server(&ServerOptions::new());
    Client::greeted(&server, 4).ends();
    Client::greeted(&server, 1 << 31).ends();
    let mut client = Client::greeted(&server, 3);
    client.send(b"HAVEIOPT\0\0\0\x03\0\0\0\0");
    client.ends();
    // no more is read than there may be
    let mut client = Client::greeted(&server, 3);
    client.send(b"IHAVEOPT\0\0\0\x03\0\x01\0\x01");
    client.ends();
    let mut client = Client::greeted(&server, 3);
    for _ in 0..64 {
        assert_eq!(client.option(99, b"")[0].0, rep::ERR_UNSUP);
    }
    client.ends();
    let mut client = Client::going(&server, true);
    client.send(&[0; 28]);
    client.ends();
    let mut client = Client::going(&server, true);
    client.request(cmd::WRITE, 0, 0, (64 << 20) + 1);
    client.ends();
    assert_eq!(server.statistics().open_connections, 0);
}

#[test]
fn reads() {
    let server = server(&ServerOptions::new().threads(2));
    let expected = pattern();
    for structured in [false, true] {
        let mut client = Client::going(&server, structured);
        for range in [
            0..0,
            0..1,
            1..4097,
            0..16 << 10,
            (1 << 20) - 3..(1 << 20) + 3,
            0..(256 << 10) + 1,
            5..20 << 20,
            (1 << 20) + 1..(8 << 20) + 7,
            (21 << 20)..(21 << 20) + (19 << 20),
            Pattern::SIZE - 513..Pattern::SIZE,
            Pattern::SIZE..Pattern::SIZE,
        ] {
            for flags in [0, cmd::DONT_FRAGMENT] {
                if flags == 0 || structured {
                    let got = client.get(flags, range.clone()).unwrap();
                    assert!(got == expected.bytes(range.clone()), "{range:?}");
                }
            }
        }
        // 32 MiB, and no more
        let most = 32 << 20;
        let (errno, why) = client.get(0, 0..most).unwrap_err();
        assert_eq!(errno, 5);
        assert_eq!(why, if structured { "block 7 is not what it should be" } else { "" });
        assert_eq!(client.fails(cmd::READ, 0, 0, most as u32 + 1), 75);
        // and after an error it goes on
        assert_eq!(client.get(0, 3..4), Ok(expected.bytes(3..4)));
        for (offset, length) in
            [(Pattern::SIZE, 1), (u64::MAX, 1), (u64::MAX - 10, 100), (Pattern::SIZE - 1, 2)]
        {
            assert_eq!(client.fails(cmd::READ, 0, offset, length), 22);
        }
        assert_eq!(client.fails(cmd::READ, 1 << 15, 0, 1), 22);
        for command in [cmd::WRITE, cmd::TRIM, cmd::WRITE_ZEROES] {
            assert_eq!(client.fails(command, 0, 0, 9000), 1);
        }
        for command in [3, 5, 8, 99, u16::MAX] {
            assert_eq!(client.fails(command, 0, 0, 0), 22);
        }
        if !structured {
            assert_eq!(client.fails(cmd::READ, cmd::DONT_FRAGMENT, 0, 1), 22);
            assert_eq!(client.fails(cmd::BLOCK_STATUS, 0, 0, 4096), 22);
        }
        assert_eq!(client.get(0, 0..9), Ok(expected.bytes(0..9)));
        client.request(cmd::DISC, 0, 0, 0);
        client.ends();
    }
    let statistics = server.statistics();
    assert_eq!((statistics.connections, statistics.corrupt, statistics.failed), (2, 2, 0));
    assert!(statistics.zero_bytes > 14 << 20 && statistics.p99 >= statistics.p50);
}

#[test]
fn what_is_zero_is_told() {
    let server = server(&ServerOptions::new());
    let mut client = Client::going(&server, true);
    let mib = 1_u32 << 20;
    assert_eq!(client.status(0, 0..12 << 20), [(mib, 0), (8 * mib, 3), (3 * mib, 0)]);
    assert_eq!(client.status(cmd::REQ_ONE, 0..12 << 20), [(mib, 0)]);
    assert_eq!(client.status(cmd::REQ_ONE, (1 << 20) + 5..12 << 20), [(8 * mib - 5, 3)]);
    assert_eq!(client.status(0, 8 << 20..9 << 20), [(mib, 3)]);
    assert_eq!(client.status(0, Pattern::SIZE - 1..Pattern::SIZE), [(1, 0)]);
    assert_eq!(client.fails(cmd::BLOCK_STATUS, 0, 0, 0), 22);
    assert_eq!(client.fails(cmd::BLOCK_STATUS, 0, Pattern::SIZE, 1), 22);
    assert_eq!(client.fails(cmd::BLOCK_STATUS, 1, 0, 1), 22);
}

/// Requests one after the other without waiting; replies may come in any order.
#[test]
fn many_in_flight() {
    let server = server(&ServerOptions::new().threads(4));
    let mut client = Client::going(&server, true);
    let expected = pattern();
    let ranges: Vec<Range<u64>> =
        (0..100_u64).map(|n| (n * 7919) % (1 << 20)).map(|at| at..at + 1 + (at % 200_000)).collect();
    let mut all = Vec::new();
    for (cookie, range) in (1000..).zip(&ranges) {
        all.extend(request(
            cmd::READ,
            cmd::DONT_FRAGMENT,
            cookie,
            range.start,
            (range.end - range.start) as u32,
        ));
    }
    let sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(&all).unwrap());
    let mut seen = vec![false; ranges.len()];
    for _ in &ranges {
        assert_eq!(client.number(4), u64::from(wire::STRUCTURED_REPLY));
        assert_eq!(client.number(4), (1 << 16) + 1);
        let which = (client.number(8) - 1000) as usize;
        let length = client.number(4) as usize;
        let range = ranges[which].clone();
        assert_eq!((client.number(8), length as u64), (range.start, range.end - range.start + 8));
        assert!(client.read(length - 8) == expected.bytes(range));
        assert!(!std::mem::replace(&mut seen[which], true));
    }
    sending.join().unwrap();
}

#[test]
fn limits() {
    let told = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&told);
    let options = ServerOptions::new()
        .connections(2)
        .handshake_time(Duration::from_millis(300))
        .idle_time(Some(Duration::from_millis(300)))
        .on_fault(move |fault| {
            assert_eq!((fault.export, fault.range.clone()), ("root", 20 << 20..(20 << 20) + 8));
            flag.store(true, Ordering::SeqCst);
        });
    let server = server(&options);
    // drop by drop, none of them late
    let mut client = Client::new(&server);
    client.read(18);
    client.send(&[0, 0, 0, 3]);
    let begun = Instant::now();
    while client.stream.write_all(&[0]).is_ok() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    client.thread.take().unwrap().join().unwrap();

    // one that is quiet
    let client = Client::going(&server, true);
    client.ends();
    // two at a time
    let mut first = Client::greeted(&server, 3);
    let mut second = Client::greeted(&server, 3);
    let third = Client::new(&server);
    third.ends();
    assert_eq!(server.statistics().refused_connections, 1);
    first.option(opt::ABORT, b"");
    second.option(opt::ABORT, b"");
    first.ends();
    second.ends();

    let mut client = Client::going(&server, true);
    assert_eq!(client.get(0, 20 << 20..(20 << 20) + 8).unwrap_err().0, 5);
    assert!(told.load(Ordering::SeqCst));
    // at the end of the server, all are hung up, and nobody comes in
    server.stop();
    client.ends();
    Client::new(&server).ends();
}

#[test]
fn a_client_that_takes_nothing_keeps_nobody() {
    let options = ServerOptions::new().threads(1).write_time(Duration::from_millis(200));
    let server = server(&options);
    let mut stuck = Client::going(&server, true);
    for _ in 0..50 {
        stuck.request(cmd::READ, 0, 0, 8 << 20);
    }
    let mut other = Client::going(&server, true);
    for _ in 0..20 {
        assert_eq!(other.get(0, 0..1 << 20), Ok(pattern().bytes(0..1 << 20)));
    }
    // it was given up
    stuck.thread.take().unwrap().join().unwrap();
    assert_eq!(server.statistics().open_connections, 1);
}

#[test]
fn servers_that_make_no_sense() {
    let of = |exports: Vec<Export>| Server::new(exports, &ServerOptions::new()).unwrap_err().code();
    let export = |name: &str| Export::new(name, Arc::new(vec![0]));
    assert_eq!(of(vec![]), "serve-no-export");
    assert_eq!(of(vec![export("a"), export("b"), export("a")]), "serve-duplicate-name");
    assert_eq!(of(vec![export(&"x".repeat(4097))]), "serve-name-too-long");
    assert_eq!(of(vec![export("a").description("x".repeat(4097))]), "serve-name-too-long");
    for size in [0, 256, 513, 64 << 20] {
        assert_eq!(of(vec![export("a").preferred_block_size(size)]), "serve-block-size");
    }
}

/// What a client says is here already, and what it is told goes nowhere.
struct Memory {
    said: Mutex<io::Cursor<Vec<u8>>>,
    told: Mutex<Vec<u8>>,
}

impl Link for Memory {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.said.lock().unwrap().read(buf)
    }
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut told = self.told.lock().unwrap();
        told.extend(&bytes[..bytes.len().min(64)]);
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

/// A good session, cut at each byte and with each byte changed: it ends, and nothing panics.
#[test]
fn sessions_that_are_cut_or_changed() {
    let server = server(&ServerOptions::new().threads(0));
    let option = |option: u32, data: &[u8]| {
        [b"IHAVEOPT", &option.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
    };
    let good = [
        3_u32.to_be_bytes().to_vec(),
        option(opt::STRUCTURED_REPLY, b""),
        option(opt::SET_META_CONTEXT, &contexts(b"usr", &[b"base:allocation"])),
        option(opt::GO, &go(b"usr", &[1, 2])),
        request(cmd::READ, 0, 1, 0, 1000),
        request(cmd::BLOCK_STATUS, 0, 2, 0, 1000),
        request(cmd::WRITE, 0, 3, 0, 3),
        b"abc".to_vec(),
        request(cmd::DISC, 0, 4, 0, 0),
    ]
    .concat();
    let run = |said: Vec<u8>| {
        let (said, told) = (Mutex::new(io::Cursor::new(said)), Mutex::default());
        server.serve_link(Memory { said, told });
    };
    for cut in 0..=good.len() {
        run(good[..cut].to_vec());
    }
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = good.clone();
            changed[at] ^= change;
            run(changed);
        }
    }
    assert_eq!(server.statistics().open_connections, 0);
}
