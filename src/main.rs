//! The command `initdiag`; all of it but its memory is in the library.

use std::alloc::{GlobalAlloc, Layout, System};

fn main() -> std::process::ExitCode {
    initdiag::cli::main()
}

/// The system's memory, where what is large begins with a cache line: a register that is loaded across two of them takes twice as
/// long, and a Gram matrix loads one for every two products.
///
/// The system is asked for a line more and not for the alignment: what it has cut to an alignment it does not give again to the next
/// who asks for the same, and a heap of a layer's matrices falls to pieces.
struct Lines;

#[global_allocator]
static MEMORY: Lines = Lines;

/// Bytes from which memory begins with a line.
const LARGE: usize = 16 << 10;
const LINE: usize = 64;

/// The block that the system has given.
fn given(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() { refused(size) } else { block }
}

/// A large block's own start lies this far before what the program sees of it, at least.
const HEAD: usize = size_of::<usize>();

/// What is asked of the system for a large block, and its alignment; `None` for other blocks, which are as the system makes them.
fn with_room(layout: Layout) -> Option<(Layout, usize)> {
    if layout.size() < LARGE {
        return None;
    }
    let line = layout.align().max(LINE);
    let room = Layout::from_size_align(layout.size().checked_add(line)?, align_of::<usize>()).ok()?;
    Some((room, line))
}

/// The first line in a block that was made with room for one, with the block's own start before it.
///
/// # Safety
/// The block has the size of the layout and a line more, or is null.
unsafe fn first_line(block: *mut u8, size: usize, line: usize) -> *mut u8 {
    let block = given(block, size);
    // The system's blocks begin with a word, so that the next line is a word away at least.
    let skipped = line - block as usize % line;
    // SAFETY: the line begins at most a line's length behind the block's start, which the block has room for.
    unsafe {
        let seen = block.add(skipped);
        seen.sub(HEAD).cast::<usize>().write(skipped);
        in_huge_pages(seen, size);
        seen
    }
}

/// Returns a large block to the system.
///
/// Never inlined: where the compiler sees both ends of a block's life, it takes what lies before the block for out of bounds, and what
/// is read there for zero.
///
/// # Safety
/// The block is what `first_line` made of one with this layout.
#[inline(never)]
unsafe fn give_back(block: *mut u8, room: Layout) {
    // SAFETY: the block lies behind the number that `first_line` wrote.
    unsafe {
        let skipped = block.sub(HEAD).cast::<usize>().read();
        System.dealloc(block.sub(skipped), room);
    }
}

/// Ends the process where there is no memory, in one line: whatever might be said in more words would need some.
#[cold]
fn refused(size: usize) -> ! {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "initdiag: error: the system refuses {size} bytes of memory");
    std::process::exit(1)
}

/// Bytes of a huge page.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HUGE: usize = 2 << 20;
/// Bytes of a block that is worth them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const WORTH: usize = 1 << 19;

/// Asks for huge pages where a large block lies: fetched one by one, small ones take as long as a pass over the entries.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn in_huge_pages(block: *mut u8, size: usize) {
    if size >= WORTH {
        let from = block as usize / HUGE * HUGE;
        let length = (block as usize + size).next_multiple_of(HUGE) - from;
        // SAFETY: advice changes nothing that memory holds, around the block no more than in it; a refusal is no loss.
        unsafe { libc::madvise(std::ptr::without_provenance_mut(from), length, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn in_huge_pages(_: *mut u8, _: usize) {}

// SAFETY: every small block is the system's for its layout; every large one lies in the system's for `with_room`, and knows where.
unsafe impl GlobalAlloc for Lines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is the caller's, who promises that it is not zero.
        unsafe {
            match with_room(layout) {
                Some((room, line)) => first_line(System.alloc(room), layout.size(), line),
                None => given(System.alloc(layout), layout.size()),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe {
            match with_room(layout) {
                Some((room, line)) => first_line(System.alloc_zeroed(room), layout.size(), line),
                None => given(System.alloc_zeroed(layout), layout.size()),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was allocated with this layout.
        unsafe {
            match with_room(layout) {
                Some((room, _)) => give_back(block, room),
                None => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size < LARGE && layout.size() < LARGE {
            // SAFETY: the block is the system's for this layout.
            return given(unsafe { System.realloc(block, layout, size) }, size);
        }
        // SAFETY: the caller promises a size that does not overflow the alignment; both blocks hold what is copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
            self.dealloc(block, layout);
            new
        }
    }
}
