//! The socket in the journal's folder: who may make it, who may talk to it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::ControlError;

/// Its name in the journal's folder.
pub const SOCKET: &str = "ctl.sock";
/// What an address holds beside its closing zero (`sun_path`, unix(7)).
const ADDRESS_BYTES_MAX: usize = 107;

/// A name of the socket that fits into an address.
struct Address {
    path: PathBuf,
    /// What the name leads through, where it is not the path itself.
    _folder: Option<File>,
}

impl Address {
    fn of(dir: &Path) -> io::Result<Address> {
        let path = dir.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Address { path, _folder: None });
        }
        let folder = File::open(dir)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into();
        Ok(Address { path, _folder: Some(folder) })
    }
}

/// Connects to the engine whose journal is in `dir`; blocks no longer than the system's accept queue.
pub fn connect(dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Address::of(dir)?.path)
}

/// Makes the socket, for its owner alone. One that nobody listens to was left by a process that died.
pub(super) fn listen(dir: &Path) -> Result<UnixListener, ControlError> {
    let path = dir.join(SOCKET);
    let failed = |doing| move |source| ControlError::Io { path: dir.join(SOCKET), doing, source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at the control socket")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ControlError::NotASocket { path }),
        Ok(_) => match connect(dir) {
            Ok(_) => return Err(ControlError::InUse { path }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(&path).map_err(failed("remove a dead control socket"))?;
            }
            Err(error) => return Err(failed("try the control socket that is there")(error)),
        },
    }
    let address = Address::of(dir).map_err(failed("name the control socket"))?;
    let listener = UnixListener::bind(&address.path).map_err(failed("make the control socket"))?;
    // Until here the folder's permissions and the peer's identity stand guard.
    fs::set_permissions(&path, Permissions::from_mode(0o600))
        .map_err(failed("close the control socket to others"))?;
    Ok(listener)
}

/// Whether the process at the other end is ours, or root's.
pub(super) fn is_ours(stream: &impl AsFd) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}
