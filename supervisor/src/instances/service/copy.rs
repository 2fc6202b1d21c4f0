//! A new instance like another one, with as much of its secrets as was asked for.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use runtime::error::or_absent;
use serde_json::json;

use super::operations::random_key;
use super::{Copy, CopyEnv, Instances, View};
use crate::audit::By;
use crate::instances::model::{Desired, Hidden, Instance, Variable};
use crate::instances::place::Place;
use crate::problem::{Code, Problem};
use crate::store::Batch;
use crate::{clock, ids};

impl Instances {
    /// Makes a new instance like another one.
    ///
    /// # Errors
    /// As [`Instances::create`].
    pub async fn copy(&self, by: &By, name: &str, wish: Copy) -> Result<View, Problem> {
        let _alone = self.adding.lock().await;
        let source = self.record(name)?.record;
        let id = ids::fresh();
        let mut settings = source.settings.clone();
        match wish.env {
            CopyEnv::All => {}
            CopyEnv::Keys => settings
                .env
                .values_mut()
                .for_each(|value| *value = Variable::Plain(String::new())),
            CopyEnv::None => settings.env.clear(),
        }
        let reseal = |hidden: &Hidden| -> Result<Hidden, Problem> {
            let clear = self
                .shared
                .key
                .open_sealed(&source.id, &hidden.sealed)
                .map_err(|error| Problem::new(Code::Failed, "cannot copy a secret").because(error))?;
            Ok(Hidden {
                hidden: true,
                sealed: self.shared.key.seal(&id, clear.reveal()),
            })
        };
        for value in settings.env.values_mut() {
            if let Variable::Hidden(hidden) = value {
                *hidden = reseal(hidden)?;
            }
        }
        for secret in [&mut settings.palette.npmrc, &mut settings.http.password] {
            *secret = secret.as_ref().map(reseal).transpose()?;
        }
        let credential_secret = match (&source.credential_secret, wish.credentials) {
            (Some(secret), true) => Some(reseal(secret)?),
            (None, true) => None,
            (_, false) => {
                let secret = json!({ "secret": { "hidden": true, "value": random_key() } });
                self.sealed(&secret, &id)?
            }
        };
        let instance = Instance {
            name: wish.name,
            desired: if wish.start {
                Desired::Running
            } else {
                Desired::Stopped
            },
            settings,
            credential_secret,
            created_ms: clock::now_ms(),
            delete_at_ms: None,
            id,
            ..source.clone()
        };
        let from = self.place(&source.id).data();
        let mut names = Vec::new();
        if wish.flows {
            names.extend(["flows.json", "package.json"]);
        }
        if wish.credentials {
            names.push("flows_cred.json");
            if source.credential_secret.is_none() {
                names.push(".config.runtime.json");
            }
        }
        let fill = move |place: &Place| {
            for name in &names {
                or_absent(copy_file(&from.join(name), &place.data().join(name)))?;
            }
            Ok(())
        };
        let text = format!("was copied from `{}`", source.name);
        self.add(by, "instance.copy", instance, text, Batch::default(), fill)
            .await
    }
}

/// Copies a file that an instance made. What it may have put there instead is refused: through a link it would get to
/// read what only the host may, and a pipe would be waited for without end.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut source = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(from)?;
    if !source.metadata()?.is_file() {
        let message = format!("{} is no regular file", from.display());
        return Err(io::Error::other(message));
    }
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut source, &mut target).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_an_instance_has_itself_is_copied() {
        let place = tempfile::tempdir().expect("a folder");
        let at = |name: &str| place.path().join(name);
        fs::write(at("secret"), "of the host").expect("a file");
        symlink(at("secret"), at("flows.json")).expect("a link");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        copy_file(&at("flows.json"), &at("copy")).expect_err("a link");
        copy_file(&at("pipe"), &at("copy")).expect_err("a pipe");
        copy_file(place.path(), &at("copy")).expect_err("a folder");
        assert!(!at("copy").exists());
        copy_file(&at("secret"), &at("copy")).expect("copied");
        assert_eq!(fs::read(at("copy")).expect("a file"), b"of the host");
    }
}
