//! A package's document as npm gets it: without versions that may not be installed, each with the hash of what was vetted.

use node_vetting::policy;
use node_vetting::registry::{Listing, filtered};
use npm::{Form, PackageName, Version};
use serde_json::Value;

use super::attach::ADDRESS;
use super::session::Visit;
use super::{Judgement, serve::Failure};

/// The document of a package.
pub(super) async fn packument(visit: &Visit, name: &PackageName, form: Form) -> Result<Value, Failure> {
    // Nobody has just asked the registry for it.
    let renew = visit.mode == policy::Gate::Off;
    let mut document = visit.vetting.document(name, form, renew).await?;
    let lacks = |version: &Version| document["versions"].get(version.to_string()).is_none();
    if visit.versions(name).iter().any(lacks) {
        // The form of the document in which it was found for vetting is another one, and newer.
        document = visit.vetting.document(name, form, true).await?;
    }
    let stopped = stopped(visit, name).await?;
    let shown = filtered(&document, ADDRESS, |version| {
        if let Some(integrity) = visit.admitted(name, version) {
            return Listing::Allowed(integrity);
        }
        let spec = format!("{name}@{version}");
        if stopped.iter().any(|judgement| judgement.package == spec) {
            return Listing::Hidden;
        }
        Listing::Unknown
    });
    match (shown, stopped.into_iter().next()) {
        (Some(mut shown), _) => {
            // Without it npm does not look for a script; not every registry says so.
            let scripts = visit.rules.scripts().into_iter();
            for script in scripts.filter(|script| script.package == *name) {
                if let Some(manifest) = shown["versions"].get_mut(script.version.to_string()) {
                    manifest["hasInstallScript"] = Value::Bool(true);
                }
            }
            Ok(shown)
        }
        (None, Some(judgement)) => Err(Failure::Stopped(judgement)),
        (None, None) => Err(Failure::Missing(name.to_string())),
    }
}

/// Versions that were looked at before and may not be installed, as the policy is now.
async fn stopped(visit: &Visit, name: &PackageName) -> Result<Vec<Judgement>, Failure> {
    if visit.mode == policy::Gate::Off {
        return Ok(Vec::new());
    }
    // To fetch and compile an engine takes longer than an npm waits that does not wait for verdicts.
    if visit.patience.is_some() && !visit.vetting.is_ready() {
        return Ok(Vec::new());
    }
    let engine = visit.vetting.engine().await?;
    let reports = visit.gate.0.shelf.about(name, &engine);
    let judged = reports
        .iter()
        .map(|report| Judgement::of(report, &visit.rules.decide(report, &[])));
    Ok(judged
        .filter(|judgement| !visit.mode.lets(judgement.verdict))
        .collect())
}
