//! What the library gives to C: memory with a header before it that says what it is, so that one function frees all of it and
//! no handle is taken for another.

use core::mem::size_of;
use core::ptr;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::{c_char, c_void};

use crate::error::Error;
use crate::image::{Image, Partition};
use crate::trust::Trust;

/// Before each object.
#[repr(C, align(16))]
struct Header {
    tag: u64,
    /// Bytes behind the header, of text and bytes.
    size: usize,
}

/// A handle with its header.
#[repr(C)]
struct Object<T> {
    header: Header,
    body: T,
}

/// What C has a handle of.
pub(super) trait Handle: Sized {
    const TAG: u64;
    const NAME: &'static str;
    /// The body begins where the header ends.
    const FITS: () = assert!(align_of::<Self>() <= align_of::<Header>());
}

impl Handle for Error {
    const TAG: u64 = u64::from_be_bytes(*b"ddi:erro");
    const NAME: &'static str = "ddi_error";
}

impl Handle for Trust {
    const TAG: u64 = u64::from_be_bytes(*b"ddi:trus");
    const NAME: &'static str = "ddi_trust";
}

impl Handle for Image {
    const TAG: u64 = u64::from_be_bytes(*b"ddi:imag");
    const NAME: &'static str = "ddi_image";
}

impl Handle for Partition {
    const TAG: u64 = u64::from_be_bytes(*b"ddi:part");
    const NAME: &'static str = "ddi_partition";
}

/// Text, or bytes of a file.
const BYTES: u64 = u64::from_be_bytes(*b"ddi:byte");

/// Hands a value over to C, which frees it.
pub(super) fn give<T: Handle>(body: T) -> *mut T {
    let () = T::FITS;
    let object = Box::into_raw(Box::new(Object { header: Header { tag: T::TAG, size: 0 }, body }));
    // SAFETY: `object` was made above and points to an `Object<T>`; this makes no reference, so that the pointer stays one to
    // all of the object
    unsafe { &raw mut (*object).body }
}

/// Hands bytes over to C, with a NUL behind them.
pub(super) fn give_bytes(bytes: &[u8]) -> *mut c_void {
    let Some(layout) = bytes_layout(bytes.len()) else { handle_alloc_error(Layout::new::<Header>()) };
    // SAFETY: the layout has the size of a header at least
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: `start` has room, by its layout, for a header, the bytes and one more, is aligned for a header, and is new, so that
    // it does not overlap `bytes`
    unsafe {
        start.cast::<Header>().write(Header { tag: BYTES, size: bytes.len() });
        let body = start.add(size_of::<Header>());
        ptr::copy_nonoverlapping(bytes.as_ptr(), body, bytes.len());
        body.add(bytes.len()).write(0);
        body.cast()
    }
}

/// Hands text over to C.
pub(super) fn give_text(text: &str) -> *mut c_char {
    give_bytes(crate::error::c_string(text).to_bytes()).cast()
}

/// Header, bytes and a NUL.
fn bytes_layout(len: usize) -> Option<Layout> {
    let size = len.checked_add(size_of::<Header>())?.checked_add(1)?;
    Layout::from_size_align(size, align_of::<Header>()).ok()
}

/// The tag of what is at `pointer`, if it can be one of ours by its address.
///
/// # Safety
/// If it is aligned as ours are, there are the bytes of a header before it.
unsafe fn header(pointer: *const c_void) -> Option<*mut Header> {
    if pointer.is_null() || !pointer.addr().is_multiple_of(align_of::<Header>()) {
        return None;
    }
    // SAFETY: by the contract the header is in the same allocation
    Some(unsafe { pointer.byte_sub(size_of::<Header>()) }.cast_mut().cast())
}

/// A handle that C gave back to us.
///
/// # Safety
/// It is NULL, or was given by this library and not freed, and is not freed while `'a` lasts.
pub(super) unsafe fn borrow<'a, T: Handle>(handle: *const T, argument: &str) -> Result<&'a T, Error> {
    if handle.is_null() {
        return Err(Error::null(argument));
    }
    // SAFETY: whatever was given by this library has a header before it
    let tag = unsafe { header(handle.cast()).map(|header| (*header).tag) };
    if tag != Some(T::TAG) {
        return Err(Error::usage("wrong-handle", format!("{argument} is no {}", T::NAME)));
    }
    // SAFETY: by its tag it was made by `give::<T>`; by the contract it is alive; nothing has it mutably, see `free`
    Ok(unsafe { &*handle })
}

/// Frees whatever this library gave.
///
/// # Safety
/// It is NULL, or was given by this library, and nothing uses it any more.
pub(super) unsafe fn free(pointer: *mut c_void) {
    // SAFETY: whatever was given by this library has a header before it
    let Some(header) = (unsafe { header(pointer) }) else { return };
    // SAFETY: the same
    let Header { tag, size } = unsafe { header.read() };
    // SAFETY: the tag says by which function it was made, which gave it away; by the contract nobody has it any more
    unsafe {
        match tag {
            Error::TAG => drop(Box::from_raw(header.cast::<Object<Error>>())),
            Trust::TAG => drop(Box::from_raw(header.cast::<Object<Trust>>())),
            Image::TAG => drop(Box::from_raw(header.cast::<Object<Image>>())),
            Partition::TAG => drop(Box::from_raw(header.cast::<Object<Partition>>())),
            BYTES => {
                if let Some(layout) = bytes_layout(size) {
                    dealloc(header.cast(), layout);
                }
            }
            // not of ours
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn what_is_given_can_be_freed() {
        let error = give(Error::usage("code", "message"));
        // SAFETY: it was given above and is freed below
        let borrowed = unsafe { borrow(error, "error") }.unwrap();
        assert_eq!(borrowed.code.to_bytes(), b"code");
        // SAFETY: nothing uses it any more
        unsafe { free(error.cast()) };
        for text in ["", "x", "fifteen bytes.", "sixteen bytes: 6", "ä\0b"] {
            let given = give_text(text);
            // SAFETY: text ends with a NUL
            assert_eq!(unsafe { CStr::from_ptr(given) }.to_str().unwrap(), text.replace('\0', "?"));
            // SAFETY: nothing uses it any more
            unsafe { free(given.cast()) };
        }
    }

    #[test]
    fn no_handle_is_taken_for_another() {
        let trust = give(Trust::default());
        let text = give_text("text");
        // SAFETY: both were given above
        unsafe {
            assert_eq!(borrow::<Image>(trust.cast(), "image").unwrap_err().code.to_bytes(), b"wrong-handle");
            assert_eq!(borrow::<Image>(text.cast(), "image").unwrap_err().code.to_bytes(), b"wrong-handle");
            assert_eq!(borrow::<Image>(ptr::null(), "image").unwrap_err().code.to_bytes(), b"null-argument");
            // inside of an object
            assert!(borrow::<Image>(text.byte_add(1).cast(), "image").is_err());
            free(text.byte_add(1).cast());
            free(ptr::null_mut());
            free(trust.cast());
            free(text.cast());
        }
    }
}
