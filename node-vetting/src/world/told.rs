//! What the guest's prelude tells: what is evaluated, what is loaded that is no JavaScript, what is going on, and what the
//! host cannot see by itself.

use serde_json::Value;

use crate::trace::{Origin, Payload, Phase, What};
use crate::world::World;
use crate::world::args::{Answer, Args, Fault, Reply};
use crate::world::machine::USER_DIR;

impl World {
    pub(super) fn code_eval(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let payload = self.payload(args.body());
        // Text that stands in the package as it is, is read there; text that was made is not.
        let literal = args.flag("literal") || self.stands_in_source(args.body(), &origin);
        let how = args.text("how").to_owned();
        self.record(
            What::Eval {
                how,
                literal,
                payload,
            },
            origin,
        )?;
        Ok(Ok(Reply::Nothing))
    }

    fn stands_in_source(&self, text: &[u8], origin: &Origin) -> bool {
        let site = origin.site.as_ref();
        site.and_then(|site| self.files.read(&format!("{USER_DIR}/{}", site.file)).ok())
            .is_some_and(|source| memchr::memmem::find(&source, text).is_some())
    }

    pub(super) fn wasm(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let payload = self.payload(args.body());
        self.record(What::Wasm { payload }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    pub(super) fn native(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = args.text("path").to_owned();
        self.record(What::Native { path }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// What the prelude saw that never comes to the host. Everything else the host says itself.
    pub(super) fn record_told(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let told = with_payload(args.json("what").clone(), || self.payload(args.body()));
        let what = serde_json::from_value::<What>(told).map_err(|error| error.to_string());
        // Nothing that was told is lost, even when it cannot be understood.
        let what = match what {
            Ok(what) if may_be_told(&what) => what,
            Ok(_) => What::Unsupported {
                what: "record: the host records this itself".to_owned(),
            },
            Err(error) => What::Unsupported {
                what: format!("record: {error}"),
            },
        };
        self.record(what, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    pub(super) fn phase(&mut self, args: &Args<'_>) -> Answer {
        match serde_json::from_value::<Phase>(args.json("phase").clone()) {
            Ok(phase) => {
                self.log.phase = phase;
                Ok(Ok(Reply::Nothing))
            }
            Err(error) => Ok(Err(Fault::new("EINVAL", error.to_string()))),
        }
    }
}

/// Puts the payload of the bytes beside the other fields where the kind has one.
fn with_payload(what: Value, payload: impl FnOnce() -> Payload) -> Value {
    let Value::Object(fields) = what else { return what };
    // Names of fields are written with either line.
    let mut what: Value = fields
        .into_iter()
        .map(|(name, value)| (name.replace('_', "-"), value))
        .collect();
    let kinds = ["editor-network", "editor-html"];
    if kinds.iter().any(|kind| what["kind"] == *kind) {
        what["payload"] = serde_json::to_value(payload()).unwrap_or(Value::Null);
    }
    what
}

/// Kinds that only the prelude can see.
const fn may_be_told(what: &What) -> bool {
    matches!(
        what,
        What::Require { .. }
            | What::ModuleHook { .. }
            | What::Tamper { .. }
            | What::RequireCache { .. }
            | What::RedRegister { .. }
            | What::RedAdminRoute { .. }
            | What::RedHttpRoute { .. }
            | What::RedSetting { .. }
            | What::RedFlows { .. }
            | What::RedCredentials { .. }
            | What::RedHook { .. }
            | What::RedEvent { .. }
            | What::RedLogHandler
            | What::RedStorage
            | What::Compared { .. }
            | What::Probing { .. }
            | What::LongTimer { .. }
            | What::EditorNetwork { .. }
            | What::EditorScript { .. }
            | What::EditorToken
            | What::EditorHtml { .. }
            | What::EditorGlobal { .. }
            | What::Failed { .. }
            | What::Uncaught { .. }
            | What::Unsupported { .. }
    )
}
