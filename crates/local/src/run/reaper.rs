//! The last net: ends what our children started, when we are killed without warning.
//!
//! The kernel kills our children with us, but not *their* children: a shell that runs a server in the background, or
//! a package manager that starts one. So a tiny shell script keeps a list of our process groups. It reads from a pipe
//! that only we hold open; when we are gone, however that came, the pipe ends, and it kills the groups that are left.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// `+ GROUP` adds to the list, `- GROUP` takes away.
const SCRIPT: &str = r#"
trap '' TERM INT HUP
groups=
while read -r change group; do
  case $change in
    +) groups="$groups $group" ;;
    -) left=; for g in $groups; do [ "$g" = "$group" ] || left="$left $g"; done; groups=$left ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
"#;

/// Handle of the script.
#[derive(Debug)]
pub(crate) struct Reaper {
    child: Child,
    list: Mutex<Option<ChildStdin>>,
}

impl Reaper {
    /// Starts the script, in a group of its own so that no terminal signal reaches it.
    pub(crate) fn start() -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "vamp-reaper"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let list = Mutex::new(child.stdin.take());
        Ok(Self { child, list })
    }

    /// A group that must not outlive us.
    pub(crate) fn add(&self, group: i32) {
        self.write(format!("+ {group}\n"));
    }

    /// A group that has ended; its number may be used by others from now on.
    pub(crate) fn remove(&self, group: i32) {
        self.write(format!("- {group}\n"));
    }

    fn write(&self, line: String) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = list.as_mut()
            && pipe.write_all(line.as_bytes()).is_err()
        {
            // Somebody killed the script. The other nets remain.
            *list = None;
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The end of the pipe is its sign to finish, which takes it no time.
        drop(self.list.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.child.wait();
    }
}
