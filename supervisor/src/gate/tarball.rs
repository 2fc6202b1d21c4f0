//! An archive as npm gets it: the bytes that were vetted, or those of a version that is vetted now, while npm waits.

use std::sync::Arc;
use std::time::Duration;

use node_vetting::policy;
use node_vetting::report::Verdict;
use npm::{Form, Integrity, PackageName, Packument, Version};

use super::serve::Failure;
use super::session::Visit;
use crate::problem::{Code, Problem};

/// How long npm waits for one package. The policy's budget of a vetting is below.
const PATIENCE: Duration = Duration::from_secs(300);

/// The archive of a version.
pub(super) async fn tarball(
    visit: &Arc<Visit>,
    name: &PackageName,
    version: &Version,
) -> Result<Vec<u8>, Failure> {
    if visit.mode != policy::Gate::Off && visit.admitted(name, version).is_none() {
        visit.first().await.map_err(Failure::Stopped)?;
    }
    let integrity = match visit.admitted(name, version) {
        Some(integrity) => integrity,
        None if visit.mode == policy::Gate::Off => told(visit, name, version).await?,
        // Of what is being looked at, or else of what nobody has told of.
        None if visit.patience.is_some() => match visit.expected(name, version) {
            Some(integrity) => integrity,
            None => {
                visit.look_behind(name, version);
                told(visit, name, version).await?
            }
        },
        None => vetted(visit, name, version).await?,
    };
    let bytes = visit.vetting.archive(name, version, &integrity).await?;
    visit.served(name, version, integrity);
    Ok(bytes)
}

/// Vets a version with all that it brings.
async fn vetted(visit: &Visit, name: &PackageName, version: &Version) -> Result<Integrity, Failure> {
    let exact = version.to_string();
    let judged = tokio::time::timeout(PATIENCE, visit.judge(name, &exact)).await;
    let judgement = judged.map_err(|_| Failure::Late(format!("{name}@{version}")))??;
    if !visit.mode.lets(judgement.verdict) {
        return Err(Failure::Stopped(judgement));
    }
    if judgement.verdict != Verdict::Trusted {
        visit.announce(&judgement, false);
    }
    visit
        .admitted(name, version)
        .ok_or_else(|| Failure::Missing(format!("{name}@{version}")))
}

/// What the registry says that it hashes to, where nobody looks.
async fn told(visit: &Visit, name: &PackageName, version: &Version) -> Result<Integrity, Failure> {
    let document = visit.vetting.document(name, Form::Abbreviated, true).await?;
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        Problem::new(
            Code::Failed,
            format!("the registry gives no usable hash for {name}@{version}"),
        )
        .because(error)
    };
    let document: Packument = serde_json::from_value(document).map_err(|error| unreadable(error.into()))?;
    let integrity = document
        .integrity(version)
        .map_err(|error| unreadable(error.into()))?;
    Ok(integrity)
}
