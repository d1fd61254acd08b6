//! The client half for a page: inputs and outputs travel as JSON through the module's memory.
//!
//! The interface is small enough to be written by hand on both sides, so that no generator has to
//! match a version, and the module can be built again, to the byte, by the compiler alone:
//!
//! * `reserve(length)`: where the page may write so many bytes of UTF-8.
//! * `create(length, seed)`: makes the client from the options that are written there.
//! * `handle(length, mono, wall)`: takes the input that is written there; returns after how many
//!   milliseconds to call again, or -1. Afterwards the outputs can be read.
//! * `members(length)`: the members of the channel whose name is written there can be read.
//! * `output()` and `output_length()`: where to read.
//!
//! One module instance holds one client. `crates/presence-server/page/presence.js` is the other side.
#![no_std]

extern crate alloc;

mod bare;
mod page;

use alloc::vec::Vec;
use core::cell::RefCell;
use page::Page;

/// What the functions below share.
struct Module {
    written: Vec<u8>,
    page: Option<Page>,
}

struct SingleThread<T>(T);

// SAFETY: this target has one thread (it is built without the feature `atomics`).
unsafe impl<T> Sync for SingleThread<T> {}

static MODULE: SingleThread<RefCell<Module>> =
    SingleThread(RefCell::new(Module { written: Vec::new(), page: None }));

/// Runs `f` with the page and the text that was written; `None` before `create`.
fn with_page<R>(length: usize, f: impl FnOnce(&mut Page, &[u8]) -> R) -> Option<R> {
    let module = &mut *MODULE.0.borrow_mut();
    let written = module.written.get(..length)?;
    module.page.as_mut().map(|page| f(page, written))
}

/// Where the page may write `length` bytes.
#[unsafe(no_mangle)]
extern "C" fn reserve(length: usize) -> *mut u8 {
    let module = &mut *MODULE.0.borrow_mut();
    module.written.clear();
    module.written.resize(length, 0);
    module.written.as_mut_ptr()
}

/// Makes the client. Returns 1, or 0 if the options cannot be read.
#[unsafe(no_mangle)]
extern "C" fn create(length: usize, seed: u64) -> u32 {
    let module = &mut *MODULE.0.borrow_mut();
    module.page = module.written.get(..length).and_then(|options| Page::new(options, seed));
    module.page.is_some().into()
}

/// Hands an input to the client. Returns when to call again, in milliseconds: -1 for never, -2 if
/// the input cannot be read.
#[unsafe(no_mangle)]
extern "C" fn handle(length: usize, mono: f64, wall: f64) -> f64 {
    with_page(length, |page, input| page.handle(input, mono, wall)).flatten().unwrap_or(-2.0)
}

/// Writes the members of a channel to where outputs are read. Returns how many there are.
#[unsafe(no_mangle)]
extern "C" fn members(length: usize) -> usize {
    with_page(length, |page, channel| page.members(channel)).unwrap_or(0)
}

/// Where the last call put its result.
#[unsafe(no_mangle)]
extern "C" fn output() -> *const u8 {
    with_page(0, |page, _| page.output().as_ptr()).unwrap_or(core::ptr::null())
}

/// How long that is, in bytes of UTF-8.
#[unsafe(no_mangle)]
extern "C" fn output_length() -> usize {
    with_page(0, |page, _| page.output().len()).unwrap_or(0)
}
