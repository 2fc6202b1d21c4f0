//! Reasons in what code and manifests say.

use std::collections::{BTreeMap, HashSet};

use crate::analysis::{About, Doing, Finding, Half, Step};
use crate::judge::{Evidence, command};
use crate::report::{Reason, Verdict};

/// From how many hidden characters in a row on they can spell something.
const SPELLS: usize = 16;

/// The rule on known flaws.
pub(super) const FLAW: &str = "advisory.known";

pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<Reason> {
    let editors: HashSet<&str> = evidence
        .findings
        .nodes
        .iter()
        .filter_map(|node| node.editor.as_deref())
        .collect();
    let mut reasons: Vec<Reason> = evidence
        .findings
        .findings
        .iter()
        .filter(|finding| finding.reached)
        .filter_map(|finding| reason(evidence, finding, &editors))
        .collect();
    reasons.extend(native(evidence));
    reasons
}

/// One reason for all machine code of a package: which files it is matters less than that there is some.
fn native(evidence: &Evidence<'_>) -> Vec<Reason> {
    let mut files: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &evidence.findings.findings {
        if matches!(finding.about, About::NativeFile { .. }) {
            files.entry(&finding.package).or_default().push(finding);
        }
    }
    let told = files.into_iter().map(|(package, found)| {
        let hashes: Vec<&str> = found
            .iter()
            .filter_map(|finding| match &finding.about {
                About::NativeFile { sha256, .. } => Some(sha256.as_str()),
                _ => None,
            })
            .collect();
        Reason::about("native.code", package)
            .says(match found.len() {
                1 => format!("It holds machine code: {}.", found[0].site.file),
                count => format!(
                    "It holds machine code in {count} files, {} for one.",
                    found[0].site.file
                ),
            })
            .in_place(Some(found[0].site.clone()))
            .fact("sha256", hashes)
    });
    told.collect()
}

fn reason(evidence: &Evidence<'_>, finding: &Finding, editors: &HashSet<&str>) -> Option<Reason> {
    let of = |rule: &str, says: String| {
        Reason::about(rule, &finding.package)
            .says(says)
            .in_place(Some(finding.site.clone()))
    };
    let file = &finding.site.file;
    Some(match &finding.about {
        // Large libraries have more values than are followed: no reason while nothing in the file is hidden on purpose.
        About::Unparsable { why } if why.starts_with("its values") && !is_obfuscated(evidence, file) => {
            return None;
        }
        About::Unparsable { why } => of("code.unparsable", format!("It cannot be read as code: {why}.")),
        About::Broke { doing, why } => of(
            "resource.flood",
            match doing {
                Doing::Reading => format!("Its files cannot be read to the end: {why}."),
                Doing::Exercising => format!("It cannot be tried to the end: {why}."),
            },
        ),
        About::HiddenCharacters { what, longest, .. } if *longest >= SPELLS => of(
            "code.invisible",
            format!("It holds {longest} characters in a row that nobody sees ({what})."),
        ),
        About::HiddenCharacters { what, .. } if what.contains("bidi") => softer(of(
            "code.invisible",
            format!("It holds characters that change the order of reading ({what})."),
        )),
        About::Obfuscated { how, measure } => of(
            "code.obfuscated",
            format!("Its code is made not to be read: {how} ({measure})."),
        ),
        About::Blob {
            bytes,
            content,
            decoder: true,
            ..
        } if runs_text(evidence, file) => of(
            "code.keyed-blob",
            format!("It decodes {bytes} bytes ({content}) in a file that runs text as code."),
        ),
        About::InstallScript {
            name, command, steps, ..
        } => install(finding, name, command, steps),
        About::GypCommand { command } => of(
            "install.gyp-expansion",
            format!("Its binding.gyp runs `{command}` while it is read."),
        ),
        About::Wasm {
            damaged: Some(why), ..
        } => of(
            "wasm.imports",
            format!("It holds a damaged WebAssembly module: {why}."),
        ),
        About::Wasm { imports, .. } => {
            let odd: Vec<&str> = imports
                .iter()
                .map(String::as_str)
                .filter(|import| !is_plain_import(import))
                .collect();
            if odd.is_empty() {
                return None;
            }
            of(
                "wasm.imports",
                format!("A WebAssembly module imports {}.", odd.join(", ")),
            )
        }
        About::Command {
            name, shadows: true, ..
        } => of(
            "manifest.bin",
            format!("It installs a command called `{name}`, like a common one."),
        ),
        About::Phantom {
            dependency,
            script: true,
        } => softer(of(
            "install.phantom",
            format!("It depends on {dependency}, which no code uses and which has an install script."),
        ))
        .fact("what", dependency.as_str()),
        About::Mismatch {
            field,
            registry,
            archive,
        } => of(
            "manifest.mismatch",
            format!("Its {field} is `{registry}` in the registry and `{archive}` in the archive."),
        )
        .fact("what", field.as_str()),
        About::LookAlike { of: known, how } => of(
            "name.lookalike",
            format!("Its name is like that of {known} ({how})."),
        ),
        About::WeakHash => of(
            "closure.weak-hash",
            "Its only hash in the registry is a SHA-1.".to_owned(),
        ),
        About::Unsigned { wrong: true } => of(
            "manifest.mismatch",
            "The registry's signature of it is wrong.".to_owned(),
        ),
        About::Advisory { .. } => return flaw(finding),
        About::ExternalScript { url } if editors.contains(file.as_str()) => {
            of("editor.script", format!("Its editor half loads {url}."))
        }
        About::MissingNodeFile { name, file } => of(
            "exercise.load",
            format!("The node `{name}` is in {file}, which is not there."),
        ),
        About::ScriptAppeared { since } => of(
            "update.grew",
            format!("It has an install script; {since} had none."),
        )
        .fact("what", "script"),
        About::ProvenanceLost { since } => of(
            "update.grew",
            format!("{since} told where it was built; this version does not."),
        )
        .fact("what", "provenance"),
        About::PublisherChanged { from, to, since } => of(
            "update.grew",
            format!("{to} published it; {since} came from {from}."),
        )
        .fact("what", "publisher"),
        About::Mentions { list, entry, said } => return mention(finding, list, entry, said),
        _ => return None,
    })
}

/// What a known flaw stands in the way of.
pub(super) fn flaw(finding: &Finding) -> Option<Reason> {
    let About::Advisory {
        id, severity, title, ..
    } = &finding.about
    else {
        return None;
    };
    let reason = Reason::about(FLAW, &finding.package).in_place(Some(finding.site.clone()));
    Some(
        reason
            .says(format!("{id} ({severity}): {title}."))
            .fact("what", id.as_str()),
    )
}

/// The same, as something to look at.
fn softer(mut reason: Reason) -> Reason {
    reason.severity = Verdict::Review;
    reason
}

fn is_obfuscated(evidence: &Evidence<'_>, file: &str) -> bool {
    let mut findings = evidence.findings.findings.iter();
    findings.any(|finding| finding.site.file == file && matches!(finding.about, About::Obfuscated { .. }))
}

/// Whether a file has a place that runs text as code, or starts programs.
fn runs_text(evidence: &Evidence<'_>, file: &str) -> bool {
    use crate::capability::Kind::{CodeEval, CodeVm, ProcSpawn};
    evidence.findings.sites.iter().any(|said| {
        said.site.file == file
            && said.half == Half::Runtime
            && matches!(said.capability.kind, CodeEval | CodeVm | ProcSpawn)
    })
}

/// Whether a WebAssembly import is what compilers give every module: memory, tables, system calls of their own shims.
fn is_plain_import(import: &str) -> bool {
    let module = import.split(['.', '#']).next().unwrap_or(import);
    ["env", "a", "wbg", "go", "gojs", "__wbindgen_placeholder__"].contains(&module)
        || module.starts_with("wasi_")
        || module.ends_with("_bg")
        || import.starts_with("./")
}

fn install(finding: &Finding, name: &str, command: &str, steps: &[Step]) -> Reason {
    let bad = steps.iter().find_map(|step| match step {
        Step::Other { words } if command::fetches(words.iter().map(String::as_str)) => {
            Some("fetches something")
        }
        Step::Other { words } if words.first().is_some_and(|word| command::is_shell(word)) => {
            Some("runs a shell")
        }
        Step::NodeText { .. } => Some("runs text as code"),
        _ => None,
    });
    match bad {
        Some(bad) => Reason::about("install.command", &finding.package)
            .says(format!("Its {name} script {bad}: `{command}`.")),
        None => Reason::about("install.script", &finding.package)
            .says(format!("Its {name} script is `{command}`; it will not run.")),
    }
    .in_place(Some(finding.site.clone()))
    .fact("what", name)
    .fact("command", command)
}

/// Phrases of the reviewed lists that are reasons by themselves. The rest are words for the reader.
fn mention(finding: &Finding, list: &str, entry: &str, said: &str) -> Option<Reason> {
    let rule = match list {
        "ai-tool" => "code.ai-tools",
        "runtime-download" => "code.runtime-download",
        "registry-publish" => "code.worm",
        "download-and-run" => "proc.downloads",
        "workflow-path" | "startup-path" => "fs.startup",
        "editor-token" => "editor.token",
        _ => return None,
    };
    let reason = Reason::about(rule, &finding.package)
        .says(format!("It mentions `{said}` ({entry})."))
        .in_place(Some(finding.site.clone()));
    Some(softer(reason))
}
