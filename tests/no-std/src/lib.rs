//! A boot loader's view of `ddi-gpt`: no std, an allocator and a panic handler of its own.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

struct Nowhere;

// SAFETY: it never gives memory, so nothing can be wrong with what it gave.
unsafe impl GlobalAlloc for Nowhere {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOWHERE: Nowhere = Nowhere;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Partitions of a disk that cannot be read.
#[unsafe(no_mangle)]
pub extern "C" fn partitions(size: u64) -> usize {
    let examination = ddi_gpt::examine(size, None, |_, _: &mut [u8]| Err(()));
    examination
        .ok()
        .and_then(|found| found.gpt(ddi_gpt::Mode::Strict).ok())
        .map_or(0, |gpt| gpt.partitions().len())
}
