//! Processes that may not open a socket, with a home folder of their own that is looked through afterwards.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of a user's surroundings that lead out of the home folder, or that make ONNX Runtime keep quiet by itself
/// and so would hide what it does on a user's machine.
const UNSET: [&str; 9] = [
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "ORT_DISABLE_TELEMETRY",
    "ORT_RUNNING_UNIT_TESTS",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// Lets a command run in `home`, as on a user's machine, and die at the first attempt to open a socket.
pub fn confine(command: &mut Command, home: &Path) {
    for name in UNSET {
        command.env_remove(name);
    }
    command.env("HOME", home).env("TMPDIR", home).current_dir(home);
    // SAFETY: between fork and exec only `prctl` is called, on memory of this function's stack.
    unsafe {
        command.pre_exec(forbid_sockets);
    }
}

/// From now on the kernel kills this process when it opens a socket of any kind; children inherit that.
fn forbid_sockets() -> std::io::Result<()> {
    const NUMBER: u32 = 0;
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let equal = |k: i64, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k: k as u32 };
    let end = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let mut program = [
        load(NUMBER),
        equal(libc::SYS_socket, 0, 1),
        end(libc::SECCOMP_RET_KILL_PROCESS),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Every file and folder below a folder, relative to it, in order.
pub fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(dir) = folders.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path.strip_prefix(folder).expect("below").to_path_buf());
        }
    }
    found.sort();
    found
}
