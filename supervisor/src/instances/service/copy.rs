//! A new instance like another one, with as much of its secrets as was asked for.

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
                match std::fs::copy(from.join(name), place.data().join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        let text = format!("was copied from `{}`", source.name);
        self.add(by, "instance.copy", instance, text, Batch::default(), fill)
            .await
    }
}
