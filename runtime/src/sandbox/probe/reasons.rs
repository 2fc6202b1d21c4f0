//! Why user namespaces are refused, and what mends it: a decision over a few facts.

use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

/// What the kernel's and the distribution's switches say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    /// `user.max_user_namespaces` (namespaces(7)).
    pub(super) most: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, a patch of Debian and Arch.
    pub(super) debian: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, Ubuntu since 23.10.
    pub(super) apparmor: Option<u64>,
    /// The root directory is not a mount's root: user namespaces are refused (clone(2), `EPERM`).
    pub(super) chroot: bool,
    /// Somebody has put a syscall filter on us, as container engines do.
    pub(super) filtered: bool,
    /// We are root.
    pub(super) root: bool,
    /// Security modules in use, as the kernel lists them, on a machine that boots by GRUB.
    pub(super) lsm: Option<String>,
}

impl Switches {
    pub(super) fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            most: number("/proc/sys/user/max_user_namespaces"),
            debian: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            chroot: !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")),
            filtered: status
                .lines()
                .filter_map(|line| line.strip_prefix("Seccomp:"))
                .any(|mode| mode.trim() != "0"),
            root: geteuid().is_root(),
            lsm: fs::read_to_string("/sys/kernel/security/lsm")
                .ok()
                .filter(|_| Path::new("/etc/default/grub").exists()),
        }
    }

    /// Whether Ubuntu takes the capabilities inside a new namespace away again.
    pub(super) fn apparmor_restricts(&self) -> bool {
        self.apparmor == Some(1) && !self.root
    }
}

/// Why making one failed with `errno`, in words, and the command that mends it.
pub(super) fn user_namespaces(
    errno: i32,
    switches: &Switches,
    executable: &Path,
) -> (String, Option<String>) {
    match errno {
        libc::ENOSPC if switches.most == Some(0) => (
            "switched off: user.max_user_namespaces is 0".to_owned(),
            Some(keep("user.max_user_namespaces", "15000")),
        ),
        libc::ENOSPC => (
            "the limit user.max_user_namespaces is used up".to_owned(),
            Some(keep("user.max_user_namespaces", "60000")),
        ),
        libc::EPERM if switches.chroot => ("refused inside a chroot".to_owned(), None),
        libc::EPERM if switches.debian == Some(0) && !switches.root => (
            "reserved for root: kernel.unprivileged_userns_clone is 0".to_owned(),
            Some(keep("kernel.unprivileged_userns_clone", "1")),
        ),
        libc::EPERM | libc::EACCES if switches.apparmor_restricts() => (
            "restricted by AppArmor: kernel.apparmor_restrict_unprivileged_userns is 1".to_owned(),
            Some(apparmor_profile(executable)),
        ),
        libc::EPERM if switches.filtered => (
            "refused by the syscall filter of the container around".to_owned(),
            None,
        ),
        libc::EINVAL | libc::ENOSYS => ("not built into this kernel (CONFIG_USER_NS)".to_owned(), None),
        errno => (
            format!("refused: {}", std::io::Error::from_raw_os_error(errno)),
            None,
        ),
    }
}

/// Sets a kernel switch now and at each boot.
fn keep(name: &str, value: &str) -> String {
    format!("echo '{name} = {value}' | sudo tee /etc/sysctl.d/60-redhold.conf && sudo sysctl --system")
}

/// Puts Landlock before the modules that are in use already; naming it alone would switch those off.
pub(super) fn landlock_at_boot(lsm: &str) -> String {
    format!(
        "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&lsm=landlock,{} /' /etc/default/grub && sudo update-grub && sudo reboot",
        lsm.trim()
    )
}

/// Allows this program alone, as Ubuntu advises, instead of switching the protection off for all.
pub(super) fn apparmor_profile(executable: &Path) -> String {
    let path = executable.display();
    format!(
        "echo 'abi <abi/4.0>, profile redhold \"{path}\" flags=(unconfined) {{ userns, }}' | \
         sudo tee /etc/apparmor.d/redhold && sudo apparmor_parser -r /etc/apparmor.d/redhold"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_reason_and_its_remedy() {
        let ubuntu = Switches {
            apparmor: Some(1),
            ..Switches::default()
        };
        let debian = Switches {
            debian: Some(0),
            ..Switches::default()
        };
        let none = Switches {
            most: Some(0),
            ..Switches::default()
        };
        let chroot = Switches {
            chroot: true,
            debian: Some(0),
            ..Switches::default()
        };
        let container = Switches {
            filtered: true,
            root: true,
            debian: Some(0),
            apparmor: Some(1),
            ..Switches::default()
        };
        for (errno, switches, reason, remedy) in [
            (
                libc::ENOSPC,
                &none,
                "max_user_namespaces is 0",
                Some("max_user_namespaces = 15000"),
            ),
            (
                libc::ENOSPC,
                &ubuntu,
                "used up",
                Some("max_user_namespaces = 60000"),
            ),
            (
                libc::EPERM,
                &debian,
                "reserved for root",
                Some("unprivileged_userns_clone = 1"),
            ),
            (libc::EPERM, &ubuntu, "AppArmor", Some("\"/usr/bin/redhold\"")),
            (libc::EACCES, &ubuntu, "AppArmor", Some("apparmor_parser")),
            (libc::EPERM, &chroot, "chroot", None),
            (libc::EPERM, &container, "container", None),
            (libc::EINVAL, &debian, "not built", None),
            (libc::ENOMEM, &debian, "memory", None),
        ] {
            let (words, command) = user_namespaces(errno, switches, Path::new("/usr/bin/redhold"));
            assert!(words.contains(reason), "{words}");
            match remedy {
                Some(part) => assert!(command.as_ref().unwrap().contains(part), "{command:?}"),
                None => assert_eq!(command, None),
            }
        }
    }
}
