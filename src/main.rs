//! The command `initdiag`; all of it but its memory is in the library.

use std::alloc::{GlobalAlloc, Layout, System};

fn main() -> std::process::ExitCode {
    initdiag::cli::main()
}

/// The system's memory, where what is large begins with a cache line: a register that is loaded across two of them takes twice as
/// long, and a Gram matrix loads one for every two products.
struct Lines;

#[global_allocator]
static MEMORY: Lines = Lines;

/// Bytes from which memory begins with a line.
const LARGE: usize = 16 << 10;
const LINE: usize = 64;

/// The same for the same size, whoever asks.
fn aligned(layout: Layout) -> Layout {
    match layout.align_to(LINE) {
        Ok(aligned) if layout.size() >= LARGE => aligned,
        _ => layout,
    }
}

// SAFETY: every block is the system's for `aligned(layout)`, and goes back with that.
unsafe impl GlobalAlloc for Lines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is the caller's, who promises that it is not zero.
        unsafe { System.alloc(aligned(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was allocated with this layout, so as `aligned` says.
        unsafe { System.dealloc(block, aligned(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size < LARGE && layout.size() < LARGE {
            // SAFETY: the block is the system's for this layout.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises a size that does not overflow the alignment; both blocks hold what is copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
