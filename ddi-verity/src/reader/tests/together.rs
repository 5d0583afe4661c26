//! Many reads at once, and reads ahead.

use super::*;

/// Reads all of them at once; what is in the buffers after an error is zeros.
fn read_all<D: ReadAt, H: ReadAt>(
    reader: &VerifiedReader<D, H>,
    reads: &[(u64, usize)],
) -> io::Result<Vec<Vec<u8>>> {
    let mut bufs: Vec<_> = reads.iter().map(|(_, len)| vec![0xaa; *len]).collect();
    let mut list: Vec<_> =
        reads.iter().zip(&mut bufs).map(|((offset, _), buf)| (*offset, &mut buf[..])).collect();
    let outcome = reader.read_many(&mut list);
    if outcome.is_err() {
        assert!(bufs.iter().flatten().all(|&byte| byte == 0), "unproven bytes left in a buffer");
    }
    outcome.map(|()| bufs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any reads, in any order, overlapping or not: each gives what it would give alone.
    #[test]
    fn x6_each_of_many_reads_is_that_read(
        shape in shapes(),
        blocks in 1_u64..500,
        places in prop::collection::vec((any::<Index>(), 0_usize..3, 0_usize..9000), 0..200),
        cache in prop::sample::select(vec![0, 5000, DEFAULT_CACHE_SIZE]),
    ) {
        let image = image(shape.params(blocks));
        let size = image.data.len();
        let reader = image.open_over(&image.data, &image.hash, cache).unwrap();
        let reads: Vec<_> = places
            .into_iter()
            .map(|(start, kind, len)| {
                let start = start.index(size);
                // short ones, blocks, and long ones
                let start = if kind == 1 { start / shape.data_block_size as usize * shape.data_block_size as usize } else { start };
                let len = [len % 100, shape.data_block_size as usize, len][kind];
                (start as u64, len.min(size - start))
            })
            .collect();
        let found = read_all(&reader, &reads).unwrap();
        for ((offset, len), found) in reads.iter().zip(found) {
            prop_assert!(found == image.data[*offset as usize..][..*len]);
        }
    }
}

/// One changed byte anywhere in the data: whoever wants its block gets an error, and nothing of the others; whoever does not, gets
/// what is right.
#[test]
fn x6_no_unproven_byte_in_any_place_of_a_batch() {
    let image = image(small(300));
    let data = Mutex::new(image.data.clone());
    let reader = image.open_over(Flippable(&data), &image.hash, 1 << 14).unwrap();
    let every: Vec<_> = (0..300).map(|block| (block * 512 + block % 7, 500)).collect();
    for at in (0..image.data.len()).step_by(61) {
        data.lock().unwrap()[at] ^= 0x10;
        let bad = at as u64 / 512;
        let error = read_all(&reader, &every).unwrap_err();
        assert_eq!(mismatch(&error), Some((None, bad)), "byte {at}");
        let others: Vec<_> = every.iter().filter(|(offset, _)| offset / 512 != bad).copied().collect();
        for (found, (offset, len)) in read_all(&reader, &others).unwrap().iter().zip(others) {
            assert!(*found == image.data[offset as usize..][..len]);
        }
        data.lock().unwrap()[at] ^= 0x10;
    }
    assert!(read_all(&reader, &every).is_ok());

    let layout = image.tree.layout();
    let mut hash = image.hash.clone();
    for number in 0..layout.levels()[0].blocks - 1 {
        let at = layout.block_offset(0, number).unwrap() as usize + 100;
        hash[at] ^= 1;
        let reader = image.open_over(&image.data, &hash, 0).unwrap();
        let error = read_all(&reader, &every).unwrap_err();
        assert_eq!(mismatch(&error), Some((Some(0), number)));
        let others: Vec<_> =
            every.iter().filter(|(offset, _)| offset / 512 / 16 != number).copied().collect();
        assert!(read_all(&reader, &others).is_ok());
        hash[at] ^= 1;
    }
}

#[test]
fn x6_blocks_of_a_batch_are_read_once_and_in_order() {
    let image = image(small(300));
    let (data, hash) = (Counting::new(&image.data), Counting::new(&image.hash));
    let reader = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap();
    let reads: Vec<_> = (0..1500_u64).map(|i| (i * 7919 % 1500 * 100, 100)).collect();
    read_all(&reader, &reads).unwrap();
    // those that cross into the next block share it with the next read
    assert!(data.counts().iter().take(292).all(|count| *count == 1 || *count == 2));
    assert_eq!(hash.counts(), vec![1; 22]);
    for bad in [(300 * 512 - 1, 2), (u64::MAX, 1), (300 * 512, 1)] {
        let error = reader.read_many(&mut [(0, &mut [0; 5]), (bad.0, &mut vec![0; bad.1])]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    assert!(reader.read_many(&mut []).is_ok() && reader.read_many(&mut [(300 * 512, &mut [])]).is_ok());
}

#[test]
fn x6_a_source_that_fails_fails_the_batch() {
    let image = image(small(300));
    let faulty = |bytes| Faulty { bytes, countdown: AtomicU64::new(u64::MAX), kind: io::ErrorKind::Other };
    let data = faulty(&image.data);
    let reader = image.open_over(&data, &image.hash[..], DEFAULT_CACHE_SIZE).unwrap();
    for fails in 0..3 {
        data.countdown.store(fails, Ordering::Relaxed);
        let error = read_all(&reader, &[(0, 10), (512 * 5, 10), (512 * 9, 1024)]).unwrap_err();
        assert!(matches!(inner(&error), Error::Io { storage: Storage::Data, .. }), "{error}");
    }
    data.countdown.store(3, Ordering::Relaxed);
    assert!(read_all(&reader, &[(0, 10), (512 * 5, 10), (512 * 9, 1024)]).is_ok());
}

/// Small reads one after the other: right bytes, or the error of the block that they want, whatever lies ahead of it.
#[test]
fn x6_reads_ahead_are_proven_too() {
    let image = image(small(300));
    let data = Mutex::new(image.data.clone());
    for bad in (0..300_usize).map(Some).chain([None]) {
        let reader = image.open_over(Flippable(&data), &image.hash, 1 << 14).unwrap().with_read_ahead(20_000);
        if let Some(bad) = bad {
            data.lock().unwrap()[bad * 512 + bad] ^= 1;
        }
        for step in [100_usize, 512, 700] {
            for at in (0..image.data.len()).step_by(step) {
                let len = step.min(image.data.len() - at);
                let wants = bad.is_some_and(|bad| at < (bad + 1) * 512 && bad * 512 < at + len);
                match read_vec(&reader, at as u64, len) {
                    Ok(found) => assert!(!wants && found == image.data[at..at + len], "{bad:?} {at}"),
                    Err(error) => {
                        assert!(wants, "{bad:?} {at}");
                        assert_eq!(mismatch(&error), Some((None, bad.unwrap() as u64)));
                    }
                }
            }
        }
        if let Some(bad) = bad {
            data.lock().unwrap()[bad * 512 + bad] ^= 1;
        }
    }
}

#[test]
fn x6_what_is_read_ahead_is_bounded_and_read_once() {
    let image = image(small(3000));
    let (data, hash) = (Counting::new(&image.data), Counting::new(&image.hash));
    let reader = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap().with_read_ahead(64 * 512 + 5);
    let kept = reader.cached_bytes();
    for at in (0..image.data.len() as u64).step_by(128) {
        assert_eq!(read_vec(&reader, at, 128).unwrap(), image.data[at as usize..][..128]);
    }
    assert_eq!(data.counts(), vec![1; 3000]);
    assert!(reader.cached_bytes() <= kept + 64 * 512 + image.hash.len());
    // elsewhere nothing is read that is not wanted
    for at in (0..3000).rev().step_by(10) {
        read_vec(&reader, at * 512, 512).unwrap();
    }
    assert!(data.counts().iter().sum::<usize>() <= 3000 + 300);
    // less than a block is nothing, and more than the bound is the bound
    assert!(image.open().unwrap().with_read_ahead(511).ahead.is_none());
    let most = image.open().unwrap().with_read_ahead(usize::MAX);
    for at in 0..3 {
        read_vec(&most, at * 7, 7).unwrap();
    }
    assert!(most.cached_bytes() <= kept + (1 << 20) + image.hash.len());
}

/// Threads that share a reader which reads ahead get their own bytes.
#[test]
fn x6_threads_share_what_is_read_ahead() {
    let image = image(small(3000));
    let reader = image.open().unwrap().with_read_ahead(10_000);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (reader, image) = (&reader, &image);
            scope.spawn(move || {
                for round in 0..3_u64 {
                    for at in (thread * 1000..1_500_000 - round).step_by(333 + thread as usize) {
                        assert_eq!(read_vec(reader, at, 333).unwrap(), image.data[at as usize..][..333]);
                    }
                }
            });
        }
    });
}
