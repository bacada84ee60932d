//! Gives memory back to the system.
//!
//! Reading a large inventory or a large store takes a multiple of what is kept of it. The C library keeps freed memory for
//! the thread that used it, and most of these threads never need so much again: with 1,000 gateways of 5 instances that is
//! half of everything resident. So once things are quiet after a change, what is free goes back.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ticks between two times, as giving back costs some milliseconds and what is needed again has to be taken again; and ticks
/// after which changes without end are no reason to wait any longer.
const PAUSE: u32 = 10;

/// Decides when. Told once a second whether something changed.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    /// Ticks since the first change that is not followed by giving back.
    waiting: Option<u32>,
    /// Ticks that have to pass.
    pause: u32,
}

impl Tidy {
    /// True when it is time to [`give_back`].
    pub(crate) fn tick(&mut self, changed: bool) -> bool {
        self.pause = self.pause.saturating_sub(1);
        let waited = match self.waiting {
            None if changed => 0,
            None => return false,
            Some(ticks) => ticks + 1,
        };
        let due = self.pause == 0 && (!changed || waited >= PAUSE);
        self.waiting = (!due).then_some(waited);
        if due {
            self.pause = PAUSE;
        }
        due
    }
}

/// Gives free memory back, and the pages of the program's code: those that the start and rare changes have needed (reading settings,
/// opening the store, describing the API, compiling a document) count as resident, with all that the system maps around them, and are not
/// needed soon again. One that is needed comes back from the system's copy of the file, within a microsecond or so. Takes milliseconds: not for a thread that serves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no other way to say this")]
pub(crate) fn give_back() {
    // SAFETY: no argument is a pointer, and the function may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(code) = code_around(&maps, give_back as *const () as usize) else { return };
    // SAFETY: the range is a mapping of the program's file that can be read and run and was never written, so every page of it is read
    // from the file again when it is next touched. If the call fails everything is as before.
    unsafe { libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED) };
}

/// The mapping of code from a file that holds an address, by what `/proc/self/maps` says.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn code_around(maps: &str, address: usize) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let code = words.next()? == "r-xp" && words.nth(3)?.starts_with('/');
        (code && range.contains(&address)).then_some(range)
    })
}

/// Elsewhere the allocator does as it sees fit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// Told by everybody who changes something; gives memory back when things are quiet. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    changed: Arc<AtomicBool>,
}

impl Memory {
    /// Something was changed that took memory.
    pub(crate) fn changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Gives back what is free, now and then. Never ends.
    pub(crate) async fn run(self) {
        let mut tidy = Tidy::default();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            second.tick().await;
            if tidy.tick(self.changed.swap(false, Ordering::Relaxed)) {
                tokio::task::spawn_blocking(give_back);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(changes: impl IntoIterator<Item = bool>, due_at: &[usize]) {
        let mut tidy = Tidy::default();
        let due = changes.into_iter().enumerate().filter(|(_, changed)| tidy.tick(*changed));
        assert_eq!(due.map(|(tick, _)| tick).collect::<Vec<_>>(), due_at);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn the_code_of_the_program_is_found() {
        let maps = "\
55fe8516a000-55fe85878000 r--p 00000000 fe:00 12  /usr/bin/vamp
55fe85878000-55fe87233000 r-xp 0070d000 fe:00 12  /usr/bin/vamp
55fe9d6e0000-55fe9da3a000 rw-p 00000000 00:00 0   [heap]
7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0   [vdso]
";
        assert_eq!(code_around(maps, 0x55fe_8587_8000), Some(0x55fe_8587_8000..0x55fe_8723_3000));
        for elsewhere in [0x55fe_8516_a000, 0x55fe_8723_3000, 0x55fe_9d6e_0000, 0x7fff_f7fc_1000] {
            assert_eq!(code_around(maps, elsewhere), None, "{elsewhere:x}");
        }
        assert_eq!(code_around("nonsense\n\n1-2", 1), None);
        // And this very program goes on after it was done.
        give_back();
        give_back();
    }

    #[test]
    fn once_after_changes_and_not_often() {
        check([false; 100], &[]);
        check([true, false, false, false], &[1]);
        check([false, true, true, true, false, false], &[4]);
        // The second change comes too soon and has to wait.
        check((0..30).map(|tick| tick == 0 || tick == 3), &[1, 11]);
        check([true; 30], &[10, 21]);
    }
}
