//! What C gives to the library, looked at before it is used; and the way out, which nothing unwinds through.

use core::any::Any;
use core::ptr;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ddi_io::ReadAt;

use super::object::give;
use super::{DDI_ERROR, DDI_OK, DDI_REFUSED, DDI_UNVOUCHED, PreadFn, ProgressFn, ReleaseFn};
use crate::error::{Error, Status};

/// Does what a function is for. What goes wrong is given to the caller if it wants to know, and a panic is an error.
///
/// # Safety
/// `error` is NULL or can be written to.
pub(super) unsafe fn answer(error: *mut *mut Error, body: impl FnOnce() -> Result<(), Error>) -> c_int {
    if !error.is_null() {
        // SAFETY: by the contract
        unsafe { error.write(ptr::null_mut()) };
    }
    let failed = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return DDI_OK,
        Ok(Err(failed)) => failed,
        Err(payload) => panicked(payload),
    };
    let status = match failed.status {
        // an error is never a yes
        Status::Ok | Status::Error => DDI_ERROR,
        Status::Refused => DDI_REFUSED,
        Status::Unvouched => DDI_UNVOUCHED,
    };
    if !error.is_null() {
        // SAFETY: by the contract
        unsafe { error.write(give(failed)) };
    }
    status
}

/// The same for functions that have no way to say what went wrong.
pub(super) fn or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        drop(panicked(payload));
        fallback
    })
}

/// A fault of this library. Its state is that of the call alone, so that nothing else is touched by it.
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    // it may panic once more when it is dropped
    core::mem::forget(payload);
    Error::new("io", "panic", format!("a fault of libddi: {text}"))
}

/// Where an answer goes. NULL is there as long as there is none.
pub(super) struct Out<T>(*mut *mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or can be written to until the call ends.
    pub(super) unsafe fn new(place: *mut *mut T) -> Self {
        if !place.is_null() {
            // SAFETY: by the contract
            unsafe { place.write(ptr::null_mut()) };
        }
        Out(place)
    }

    /// The answer must have a place to go to.
    pub(super) fn needed(&self, argument: &str) -> Result<(), Error> {
        if self.0.is_null() { Err(Error::null(argument)) } else { Ok(()) }
    }

    /// Without a place nothing is made.
    pub(super) fn set(&self, value: impl FnOnce() -> *mut T) {
        if !self.0.is_null() {
            // SAFETY: by the contract of `new`
            unsafe { self.0.write(value()) };
        }
    }
}

/// Text of any bytes.
///
/// # Safety
/// It is NULL or ends with a NUL, and stays as it is while `'a` lasts.
unsafe fn bytes<'a>(text: *const c_char, argument: &str) -> Result<&'a [u8], Error> {
    if text.is_null() {
        return Err(Error::null(argument));
    }
    // SAFETY: by the contract
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A path.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn path<'a>(text: *const c_char, argument: &str) -> Result<&'a Path, Error> {
    // SAFETY: by the contract
    Ok(Path::new(OsStr::from_bytes(unsafe { bytes(text, argument)? })))
}

/// Text.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn text<'a>(text: *const c_char, argument: &str) -> Result<&'a str, Error> {
    // SAFETY: by the contract
    let bytes = unsafe { bytes(text, argument)? };
    str::from_utf8(bytes).map_err(|_| Error::usage("not-utf-8", format!("{argument} is not UTF-8")))
}

/// Text that may be missing.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn optional<'a>(given: *const c_char, argument: &str) -> Result<Option<&'a str>, Error> {
    if given.is_null() {
        return Ok(None);
    }
    // SAFETY: by the contract
    unsafe { text(given, argument) }.map(Some)
}

/// Memory that is filled for the caller: zeros until then.
///
/// # Safety
/// It is NULL, or `size` bytes of it can be written and nobody else uses them while `'a` lasts.
pub(super) unsafe fn buffer<'a>(start: *mut c_void, size: usize) -> Result<&'a mut [u8], Error> {
    if size == 0 {
        return Ok(&mut []);
    }
    if start.is_null() {
        return Err(Error::null("buffer"));
    }
    // a slice can have no more
    if isize::try_from(size).is_err() {
        return Err(Error::usage("out-of-range", "no buffer is that large"));
    }
    // SAFETY: by the contract; once written they may be read too
    Ok(unsafe {
        start.cast::<u8>().write_bytes(0, size);
        core::slice::from_raw_parts_mut(start.cast(), size)
    })
}

/// A function of the caller that is told how far the work is.
pub(super) struct Caller {
    call: ProgressFn,
    context: *mut c_void,
}

// SAFETY: the header says that the function is called from any thread, never twice at once
unsafe impl Sync for Caller {}

impl Caller {
    pub(super) fn new(call: ProgressFn, context: *mut c_void) -> Self {
        Caller { call, context }
    }

    /// Returns true if the work goes on.
    pub(super) fn tell(&self, done: u64, total: u64) -> bool {
        let Some(call) = self.call else { return true };
        // SAFETY: the caller gave function and context to be called like this, for as long as its call lasts
        unsafe { call(self.context, done, total) == 0 }
    }
}

/// An image that is read by a function of the caller.
pub(super) struct Source {
    read: PreadFn,
    context: *mut c_void,
    release: ReleaseFn,
    size: u64,
}

// SAFETY: the header says that the functions are called from any thread
unsafe impl Send for Source {}
// SAFETY: the header says that the function is called from several threads at once
unsafe impl Sync for Source {}

impl Source {
    /// From here on the context is ours to release.
    pub(super) fn new(read: PreadFn, context: *mut c_void, release: ReleaseFn, size: u64) -> Self {
        Source { read, context, release, size }
    }

    pub(super) fn is_callable(&self) -> bool {
        self.read.is_some()
    }
}

impl ReadAt for Source {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(read) = self.read else { return Err(io::ErrorKind::Unsupported.into()) };
        // SAFETY: the caller gave function and context to be called like this until they are released; `buf` has that many bytes
        let failed = unsafe { read(self.context, buf.as_mut_ptr().cast(), buf.len(), offset) };
        match failed {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno.checked_abs().unwrap_or(c_int::MAX))),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: nothing reads through it any more, and it is dropped once
            unsafe { release(self.context) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::object::{borrow, free};

    #[test]
    fn a_panic_is_an_error() {
        // the panics on purpose say nothing
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let mut error = ptr::null_mut();
        let text = String::from("on purpose");
        // SAFETY: `error` can be written to
        let status = unsafe { answer(&raw mut error, || panic!("{text}")) };
        assert_eq!(or(7, || panic!("on purpose")), 7);
        std::panic::set_hook(hook);
        assert_eq!(status, 2);
        // SAFETY: it was given by `answer`, and is freed once
        unsafe {
            let given = borrow(error, "error").unwrap();
            assert_eq!(
                (given.code.to_bytes(), given.message.to_bytes()),
                (&b"panic"[..], &b"a fault of libddi: on purpose"[..])
            );
            free(error.cast());
        }
        // SAFETY: NULL is allowed
        assert_eq!(unsafe { answer(ptr::null_mut(), || Err(Error::null("x"))) }, 2);
    }
}
