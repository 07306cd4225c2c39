//! What the process asks of the machine. Nothing that decides uses this room: time and signals reach
//! the engine as events.

pub mod account_lock;
pub mod alloc;
pub mod ban;
pub mod clock;
pub mod doctor;
mod kept;
pub mod memory;
pub mod stop;
pub mod thread;
pub mod time;

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Memory-backed file system of Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// Where the journal's ring goes by default: memory, so that write-back never write-protects a page
/// under the hot thread; the temporary folder where there is no `/dev/shm` to write to.
pub fn ring_dir() -> PathBuf {
    let shared = Path::new(SHARED_MEMORY);
    if is_writable_dir(shared) { shared.to_path_buf() } else { std::env::temp_dir() }
}

fn is_writable_dir(path: &Path) -> bool {
    path.is_dir() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_goes_where_a_file_can_be_made() {
        let dir = ring_dir();
        assert!(tempfile::tempfile_in(&dir).is_ok(), "{}", dir.display());
        assert!(!is_writable_dir(Path::new("/proc/self/exe")), "a file is not a folder");
        assert!(!is_writable_dir(Path::new("/no/such/folder")));
    }
}
