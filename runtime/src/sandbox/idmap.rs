//! Who the process is on the host, and the maps that make it uid 1000 inside.
//!
//! Exactly one uid and one gid are mapped. Everybody else's files appear as nobody's, and an identity that is not
//! mapped cannot be taken on.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::{Gid, Uid};

use crate::error::{During, StepError};
use crate::spec::Owner;
use crate::sys::clone::{Side, SingleThread, clone};
use crate::sys::pidfd;

/// Uid and gid inside.
pub(crate) const INSIDE: u32 = 1000;

/// The process seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The keeper may act on the host as root may: it opens mounts itself and takes on other identities.
    pub(crate) privileged: bool,
}

/// Decides who the process is on the host.
///
/// # Errors
/// When the caller lacks the right to that identity, or when it would be the host's root.
pub(crate) fn identity(owner: Owner) -> Result<Identity, StepError> {
    decide(owner, Uid::effective().as_raw(), Gid::effective().as_raw()).map_err(|reason| {
        StepError::new(
            "take on the identity of the instance",
            "",
            io::Error::other(reason),
        )
    })
}

fn decide(owner: Owner, own_uid: u32, own_gid: u32) -> Result<Identity, &'static str> {
    let privileged = own_uid == 0;
    let (uid, gid) = match owner {
        Owner::Caller => (own_uid, own_gid),
        Owner::Own { uid, gid } | Owner::Translated { uid, gid, .. } => (uid, gid),
    };
    if uid == 0 || gid == 0 {
        return Err("an instance never runs as root: give it a user of its own");
    }
    if !privileged && (uid, gid) != (own_uid, own_gid) {
        return Err("only root can give an instance a user of its own");
    }
    Ok(Identity { uid, gid, privileged })
}

/// Maps [`INSIDE`] of the new user namespace of `pid` to the identity.
///
/// # Errors
/// The kernel's, with the file that refused.
pub(crate) fn write_maps(pid: i32, identity: Identity) -> Result<(), StepError> {
    let write = |name: &str, text: String| {
        let path = std::path::PathBuf::from(format!("/proc/{pid}/{name}"));
        fs::write(&path, text).during_on("map the identity of the instance", &path)
    };
    // Without it an unprivileged caller may not map a group (user_namespaces(7)); for root it takes one more right away.
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{INSIDE} {} 1", identity.uid))?;
    write("gid_map", format!("{INSIDE} {} 1", identity.gid))
}

/// A user namespace that holds no process, only the map by which id-mapped mounts show the files of `of_uid` and
/// `of_gid` as the identity's own.
///
/// # Errors
/// The kernel's.
pub(crate) fn translation(
    single: &SingleThread,
    identity: Identity,
    of_uid: u32,
    of_gid: u32,
) -> Result<OwnedFd, StepError> {
    const STEP: &str = "make the map between the owner of the files and the instance";
    let side = clone(single, libc::CLONE_NEWUSER as u64, None).during(STEP)?;
    let Side::Parent { pid, pidfd } = side else {
        loop {
            nix::unistd::pause();
        }
    };
    let made = write_translation(pid, identity, of_uid, of_gid).during(STEP);
    if let Some(pidfd) = pidfd {
        pidfd::signal(pidfd.as_fd(), libc::SIGKILL).during(STEP)?;
    }
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).during(STEP)?;
    made
}

fn write_translation(pid: i32, identity: Identity, of_uid: u32, of_gid: u32) -> io::Result<OwnedFd> {
    fs::write(
        format!("/proc/{pid}/uid_map"),
        format!("{of_uid} {} 1", identity.uid),
    )?;
    fs::write(
        format!("/proc/{pid}/gid_map"),
        format!("{of_gid} {} 1", identity.gid),
    )?;
    Ok(fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// Makes this process the identity, for good: inside a user namespace by its inner number, else by the host's.
///
/// # Errors
/// The kernel's: `EINVAL` when the maps are not written yet.
pub(crate) fn become_identity(uid: u32, gid: u32) -> Result<(), StepError> {
    const STEP: &str = "become the user of the instance";
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::unistd::setresgid(gid, gid, gid).during(STEP)?;
    nix::unistd::setresuid(uid, uid, uid).during(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_runs_as_root_or_as_somebody_else() {
        let own = Owner::Own { uid: 5000, gid: 5001 };
        let got = |owner, uid| decide(owner, uid, uid).map(|who| (who.uid, who.gid, who.privileged));
        assert_eq!(got(Owner::Caller, 5000), Ok((5000, 5000, false)));
        assert_eq!(got(own, 0), Ok((5000, 5001, true)));
        assert!(got(Owner::Caller, 0).is_err());
        assert!(got(own, 4000).is_err());
        assert!(got(Owner::Own { uid: 0, gid: 1 }, 0).is_err());
        assert!(got(Owner::Own { uid: 1, gid: 0 }, 0).is_err());
    }
}
