//! The functions of `ddi.h`, in its order. Each looks at its arguments, calls safe code, and gives what comes of it.
//!
//! What is unsafe here rests on what the header says to callers: a pointer that is not NULL points to what its type says, handles
//! and memory of this library are freed once and not used after that, and functions of the caller do not unwind.
#![expect(
    clippy::missing_safety_doc,
    reason = "the documentation is that of the header, which says it once for all"
)]

mod argument;
mod object;

use core::ptr;
use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::BorrowedFd;

use self::argument::{Caller, Out, Source, answer, buffer, optional, or, path, text};
use self::object::{borrow, free, give, give_bytes, give_text};
use crate::error::Error;
use crate::image::{Image, Partition};
use crate::trust::Trust;

/// Yes: the call did what it is for.
pub const DDI_OK: i32 = 0;
/// No: not proven, broken, or forbidden.
pub const DDI_REFUSED: i32 = 1;
/// It could not be told: wrong arguments, a file that cannot be read, no such file, cancelled.
pub const DDI_ERROR: i32 = 2;
/// Every block matches, and nobody who is trusted vouches for it.
pub const DDI_UNVOUCHED: i32 = 3;

/// Lists all that is below a directory, and not only what is in it.
pub const DDI_LIST_RECURSIVE: u32 = 1;

/// Reads `size` bytes at `offset` of an image into `buffer`: 0 if all were read, else an errno. It is called from several
/// threads at once, and for no byte behind the size that was given.
pub type PreadFn = Option<
    unsafe extern "C" fn(context: *mut c_void, buffer: *mut c_void, size: usize, offset: u64) -> c_int,
>;

/// The context of a `ddi_pread_fn` is not used any more. Called once, from any thread.
pub type ReleaseFn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// Told how many bytes of how many are done, every few MiB, from any thread, never twice at once: 0 goes on, anything else
/// cancels, and then the call ends with `DDI_ERROR` and the code `cancelled`, also if it was too late to stop.
pub type ProgressFn = Option<unsafe extern "C" fn(context: *mut c_void, done: u64, total: u64) -> c_int>;

/// The version of the library, such as "0.1.0". Not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn ddi_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Frees any handle, text or bytes that this library gave. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_free(pointer: *mut c_void) {
    // SAFETY: it is ours, and not used any more
    or((), || unsafe { free(pointer) });
}

/// A short name for programs, which stays the same from release to release, such as "policy-unknown-flag". Belongs to the error.
/// "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_error_code(error: *const Error) -> *const c_char {
    // SAFETY: a handle of ours, which outlives the call
    or(c"".as_ptr(), || unsafe { borrow(error, "error") }.map_or(c"".as_ptr(), |error| error.code.as_ptr()))
}

/// What went wrong, for people, in English: fit for a terminal, whatever the image says. Belongs to the error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_error_message(error: *const Error) -> *const c_char {
    or(c"".as_ptr(), || {
        // SAFETY: a handle of ours, which outlives the call
        unsafe { borrow(error, "error") }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
    })
}

/// The byte of the image at fault; -1 if it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_error_offset(error: *const Error) -> i64 {
    // SAFETY: a handle of ours, which outlives the call
    let offset = or(None, || unsafe { borrow(error, "error") }.ok().and_then(|error| error.offset));
    offset.and_then(|offset| i64::try_from(offset).ok()).unwrap_or(-1)
}

/// The document ddi.error/1. Belongs to the error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_error_json(error: *const Error) -> *const c_char {
    // SAFETY: a handle of ours, which outlives the call
    or(c"".as_ptr(), || unsafe { borrow(error, "error") }.map_or(c"".as_ptr(), |error| error.json.as_ptr()))
}

/// Trust in nobody: to be added to. One thread at a time adds to it. NULL only if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn ddi_trust_new() -> *mut Trust {
    or(ptr::null_mut(), || give(Trust::default()))
}

/// Trusts a root hash, in hexadecimal, for `role`: "root" or "usr". It replaces one for the same role. It must come from a place
/// that whoever made the image cannot write to.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_root_hash(
    trust: *mut Trust,
    role: *const c_char,
    root_hash: *const c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        answer(error, || {
            borrow(trust, "trust")?.add_root_hash(text(role, "role")?, text(root_hash, "root_hash")?)
        })
    }
}

/// Trusts that the data protected for `role` have this many bytes. Then they need not be recognised as a file system.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_data_size(
    trust: *mut Trust,
    role: *const c_char,
    bytes: u64,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe { answer(error, || borrow(trust, "trust")?.add_data_size(text(role, "role")?, bytes)) }
}

/// Trusts whatever was signed with the key of the certificate in this file (PEM or DER), or of any certificate in the `*.crt` of
/// this folder.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_certificates(
    trust: *mut Trust,
    file_or_folder: *const c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        answer(error, || borrow(trust, "trust")?.add_certificates(path(file_or_folder, "file_or_folder")?))
    }
}

/// Trusts the certificates in the folders in which systemd looks for them (`verity.d`). There may be none.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_systemd(trust: *mut Trust, error: *mut *mut Error) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        answer(error, || {
            borrow(trust, "trust")?.add_systemd();
            Ok(())
        })
    }
}

/// Demands that the image meets this policy: a name such as "host", or "root=signed+absent:usr=signed+absent:=unused" as in
/// systemd.image-policy(7). `ddi_image_verify` then says yes only if what was proven meets it.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_policy(
    trust: *mut Trust,
    policy: *const c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe { answer(error, || borrow(trust, "trust")?.set_policy(text(policy, "policy")?)) }
}

/// Allows that `ddi_image_read_file`, `ddi_image_list` and `ddi_image_check` answer by bytes that nobody who is trusted vouches
/// for. Without this they refuse.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_trust_allow_unproven(trust: *mut Trust, error: *mut *mut Error) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        answer(error, || {
            borrow(trust, "trust")?.allow_unproven();
            Ok(())
        })
    }
}

/// Opens an image: a regular file or a block device, and what lies beside it (`.roothash`, `.verity`). A compressed one (gzip,
/// xz, zstd) is unpacked to a file without a name in /var/tmp first. `trust` is copied. To be freed with `ddi_free`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_open(
    file: *const c_char,
    trust: *const Trust,
    image: *mut *mut Image,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(image);
        answer(error, || {
            out.needed("image")?;
            let opened = Image::open(path(file, "file")?, borrow(trust, "trust")?)?;
            out.set(|| give(opened));
            Ok(())
        })
    }
}

/// The same for a file that is open for reading. The descriptor is duplicated and stays the caller's; its position does not
/// matter, and is not kept. Nothing is looked for beside the file.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_open_fd(
    fd: c_int,
    trust: *const Trust,
    image: *mut *mut Image,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(image);
        answer(error, || {
            out.needed("image")?;
            let trust = borrow(trust, "trust")?;
            if fd < 0 {
                return Err(Error::of(&std::io::Error::from(rustix::io::Errno::BADF)));
            }
            // SAFETY: it is not -1; used for one call, which ends with EBADF if it is not open
            let given = BorrowedFd::borrow_raw(fd);
            let own = rustix::io::fcntl_dupfd_cloexec(given, 3).map_err(std::io::Error::from)?;
            let opened = Image::open_file(File::from(own), trust)?;
            out.set(|| give(opened));
            Ok(())
        })
    }
}

/// The same for `size` bytes that a function reads. The context is the library's from the call on, also if it fails: `release`,
/// which may be NULL, is called when nothing reads any more, that is, when the image and all its partitions are freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_open_callback(
    pread: PreadFn,
    context: *mut c_void,
    release: ReleaseFn,
    size: u64,
    trust: *const Trust,
    image: *mut *mut Image,
    error: *mut *mut Error,
) -> c_int {
    let source = Source::new(pread, context, release, size);
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(image);
        answer(error, move || {
            out.needed("image")?;
            if !source.is_callable() {
                return Err(Error::null("pread"));
            }
            let opened = Image::open_source(Box::new(source), borrow(trust, "trust")?)?;
            out.set(|| give(opened));
            Ok(())
        })
    }
}

/// What the image is, by few and bounded reads: the document ddi.inspect/1. An image that is broken is an answer too.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_report(
    image: *const Image,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(json);
        answer(error, || {
            out.needed("json")?;
            let document = borrow(image, "image")?.report();
            out.set(|| give_text(&document.to_string()));
            Ok(())
        })
    }
}

/// Reads every protected block. `DDI_OK` only if all of them match a root hash that is trusted or signed by a trusted key, and the
/// policy, if there is one, is met; otherwise `error` says why not. `json`, which may be NULL, is the document ddi.verify/1
/// whenever the blocks were looked at, whatever came of it.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_verify(
    image: *const Image,
    progress: ProgressFn,
    context: *mut c_void,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    let caller = Caller::new(progress, context);
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(json);
        answer(error, || {
            let tell = |done, total| caller.tell(done, total);
            let (document, failed) = borrow(image, "image")?.verify(&tell)?;
            out.set(|| give_text(&document.to_string()));
            failed.map_or(Ok(()), Err)
        })
    }
}

/// The files in a directory of the image, or that file: an array of ddi.file/1. `flags`: 0 or `DDI_LIST_RECURSIVE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_list(
    image: *const Image,
    directory: *const c_char,
    flags: u32,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(json);
        answer(error, || {
            out.needed("json")?;
            if flags & !DDI_LIST_RECURSIVE != 0 {
                return Err(Error::usage("unknown-flag", format!("flags {flags:#x} are not known")));
            }
            let (image, directory) = (borrow(image, "image")?, path(directory, "directory")?);
            let document = image.list(directory, flags & DDI_LIST_RECURSIVE != 0)?;
            out.set(|| give_text(&document.to_string()));
            Ok(())
        })
    }
}

/// Whether the image is fit for a purpose: "portable", "extension", "golden" or "boot". `DDI_OK` if it passes, `DDI_REFUSED` if
/// not. `options`, which may be NULL, is a JSON object: for portable {"prefixes": […], "scope": "system" | "user"}; for extension
/// {"hostOsRelease": PATH, "scope": "system" | "initrd" | "portable", "class": "sysext" | "confext"}, of which the first is needed.
/// `json`, which may be NULL, is the document ddi.check/1 whenever there is an answer.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_check(
    image: *const Image,
    check: *const c_char,
    options: *const c_char,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(json);
        answer(error, || {
            let (image, options) = (borrow(image, "image")?, optional(options, "options")?);
            let (document, failed) = image.check(text(check, "check")?, options)?;
            out.set(|| give_text(&document.to_string()));
            failed.map_or(Ok(()), Err)
        })
    }
}

/// Reads a regular file of the image; links are followed inside of the image, and the path is never one of the host. One larger
/// than `max` bytes is an error. `bytes` are to be freed with `ddi_free`; a NUL, which `size` does not count, follows them.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_image_read_file(
    image: *const Image,
    file: *const c_char,
    max: u64,
    bytes: *mut *mut c_void,
    size: *mut usize,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(bytes);
        if !size.is_null() {
            size.write(0);
        }
        answer(error, || {
            out.needed("bytes")?;
            if size.is_null() {
                return Err(Error::null("size"));
            }
            let content = borrow(image, "image")?.read_file(path(file, "file")?, max)?;
            out.set(|| give_bytes(&content));
            size.write(content.len());
            Ok(())
        })
    }
}

/// Opens the data of "root" or "usr" under a root hash that is trusted. It outlives the image that it is of. To be freed with
/// `ddi_free`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_partition_open(
    image: *const Image,
    role: *const c_char,
    partition: *mut *mut Partition,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(partition);
        answer(error, || {
            out.needed("partition")?;
            let opened = borrow(image, "image")?.partition(text(role, "role")?)?;
            out.set(|| give(opened));
            Ok(())
        })
    }
}

/// How many bytes are protected. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_partition_size(partition: *const Partition) -> u64 {
    // SAFETY: a handle of ours, which outlives the call
    or(0, || unsafe { borrow(partition, "partition") }.map_or(0, Partition::size))
}

/// Reads `size` bytes at `offset`, each proven: all of them, or an error and zeros. From several threads at once.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_partition_pread(
    partition: *const Partition,
    buffer: *mut c_void,
    size: usize,
    offset: u64,
    error: *mut *mut Error,
) -> c_int {
    // SAFETY: arguments are as the header says
    unsafe {
        answer(error, || {
            let buffer = self::buffer(buffer, size)?;
            borrow(partition, "partition")?.read(offset, buffer)
        })
    }
}

/// Makes the dm-verity hash tree of a file or block device, with its superblock, as `veritysetup format` does. `hash` is made if it
/// is not there. `options`, which may be NULL, is a JSON object of hashOffset, dataBlocks, dataBlockSize, hashBlockSize, algorithm
/// ("sha256", "sha384", "sha512"), salt (hexadecimal, or "-"), uuid, superblock (true), hashType (1) and threads. `root_hash` is in
/// hexadecimal; `json`, which may be NULL, is the document ddi.verity-tree/1. Both are to be freed with `ddi_free`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_verity_format(
    data: *const c_char,
    hash: *const c_char,
    options: *const c_char,
    progress: ProgressFn,
    context: *mut c_void,
    root_hash: *mut *mut c_char,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    let caller = Caller::new(progress, context);
    // SAFETY: arguments are as the header says
    unsafe {
        let (out, root_out) = (Out::new(json), Out::new(root_hash));
        answer(error, || {
            root_out.needed("root_hash")?;
            let tell = |done, total| caller.tell(done, total);
            let (data, hash) = (path(data, "data")?, path(hash, "hash")?);
            let (root, document) = crate::verity::format(data, hash, optional(options, "options")?, &tell)?;
            root_out.set(|| give_text(&root.to_string()));
            out.set(|| give_text(&document.to_string()));
            Ok(())
        })
    }
}

/// Checks every block of data and tree against a root hash, as `veritysetup verify` does. `DDI_OK` if all match, `DDI_REFUSED` if
/// not. `options` as for `ddi_verity_format`, without uuid; what is unusual (data that go on behind the last block, hash type 0,
/// sha1, blocks over 4096 bytes) is refused unless its option says so. `json`, which may be NULL, is the document
/// ddi.verity-verify/1 or ddi.verity-refused/1 whenever there is an answer.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddi_verity_verify(
    data: *const c_char,
    hash: *const c_char,
    root_hash: *const c_char,
    options: *const c_char,
    progress: ProgressFn,
    context: *mut c_void,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> c_int {
    let caller = Caller::new(progress, context);
    // SAFETY: arguments are as the header says
    unsafe {
        let out = Out::new(json);
        answer(error, || {
            let tell = |done, total| caller.tell(done, total);
            let paths = (path(data, "data")?, path(hash, "hash")?);
            let (root_hash, options) = (text(root_hash, "root_hash")?, optional(options, "options")?);
            let (document, failed) = crate::verity::verify(paths, root_hash, options, &tell)?;
            out.set(|| give_text(&document.to_string()));
            failed.map_or(Ok(()), Err)
        })
    }
}
