//! Bundles: what the gate has of packages in one file, and from such a file into the gate of a host without a registry.
//!
//! Whoever made a bundle is believed nothing. Its files are taken into a folder of their own, laid out there as npm would,
//! exercised again in this host's engine, and judged by this host's policy; only then does the gate get them, all or
//! nothing. What the maker has seen can make a package look worse, never better: known flaws are taken over, because who
//! has no registry cannot ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_vetting::bundle::{self, BundleError, Claim, Files, Kind, List, cut, joined};
use node_vetting::closure::Why;
use node_vetting::policy::Decision;
use node_vetting::report::Report;
use node_vetting::resolve::{Progress, Resolved, Silent, Target};
use npm::{Algorithm, Form, Hasher, Integrity, PackageName, Range, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use super::NpmGate;
use crate::paths::write_private;
use crate::problem::{Code, Problem};
use crate::vetting::{Pace, Rules, Vetting};

/// Reasons that only who can ask a registry has.
const ASKED: &str = "advisory.known";

/// What a bundle brought, as it is noted on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The name of the file.
    pub file: String,
    /// When it was added, in seconds of Unix time.
    pub added: i64,
    /// Its packages, as whoever made it judged them.
    pub packages: Vec<Claim>,
}

/// A package of a bundle, as this host sees it.
#[derive(Debug)]
pub struct Judged {
    /// What was seen here.
    pub report: Report,
    /// What this host's policy makes of it.
    pub decision: Decision,
    /// What is different from what the bundle says, in sentences.
    pub differs: Vec<String>,
}

impl NpmGate {
    /// Makes a bundle of packages with all that they bring.
    ///
    /// # Errors
    /// When one cannot be had or vetted, a file cannot be written, or the bundle would not give the same packages again.
    pub async fn pack(
        &self,
        targets: &[Target],
        to: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<Vec<(Report, Decision)>, Problem> {
        let vetting = Vetting::open(&self.0.data_dir, true).await?;
        let rules = Rules::of(&self.0.data_dir, None)?;
        let mut making = Making::default();
        let mut judged = Vec::new();
        for target in targets {
            let resolved = vetting.resolve(target, progress.clone()).await?;
            let report = self.look(&vetting, &resolved, rules.host().budget, false).await?;
            let decision = rules.decide(&report, &[]);
            making.put(&vetting, &resolved).await?;
            making.claim(&report, &decision)?;
            judged.push((report, decision));
        }
        for (spec, bytes) in vetting.engine_parts().await? {
            making.files.insert((Kind::Engine, spec), bytes);
        }
        for (name, document) in &making.documents {
            let text = document.to_string().into_bytes();
            making.files.insert((Kind::Document, name.to_string()), text);
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let cannot = |error| Problem::io(format!("cannot write {}", to.display()), error);
        let mut file = NamedTempFile::new_in(folder).map_err(cannot)?;
        bundle::write(BufWriter::new(file.as_file_mut()), making.claims, &making.files).map_err(cannot)?;
        // What was made is what will be read.
        let stage = self.stage(&vetting, file.path())?;
        stage.closures().await?;
        file.as_file().sync_all().map_err(cannot)?;
        file.persist(to).map_err(|error| cannot(error.error))?;
        Ok(judged)
    }

    /// Takes a bundle into the gate.
    ///
    /// # Errors
    /// When it is none, is damaged, is not what it says, or contradicts what is known here. Nothing of it stays then.
    pub async fn unpack(&self, file: &Path) -> Result<Vec<Judged>, Problem> {
        let vetting = Vetting::of(&self.0.data_dir, true)?;
        let rules = Rules::of(&self.0.data_dir, None)?;
        let stage = self.stage(&vetting, file)?;
        let closures = stage.closures().await?;
        let documents = stage.documents(&vetting)?;
        for part in &stage.engine {
            vetting.plant_engine(part)?;
        }
        let mut judged = Vec::new();
        for (claim, resolved) in stage.list.packages.iter().zip(&closures) {
            let mut report = stage
                .vetting
                .report(resolved, rules.host().budget, Pace::Now)
                .await?;
            let theirs = stage.reports.get(&claim.package);
            let differs = differences(claim, theirs, &mut report, &rules);
            let decision = rules.decide(&report, &[]);
            judged.push(Judged {
                report,
                decision,
                differs,
            });
        }
        // From here on only a full disk is in the way, and what is there then is whole by itself.
        let cannot = |error| Problem::io("cannot keep what the bundle brings", error);
        for resolved in &closures {
            for (_, package) in resolved.closure.places() {
                if let Some(bytes) = stage.archives.get(&package.integrity.to_string()) {
                    let bytes = fs::read(bytes).map_err(cannot)?;
                    vetting
                        .plant_archive(&package.integrity, &bytes)
                        .map_err(cannot)?;
                }
            }
        }
        for (name, form, document) in &documents {
            vetting.plant_document(name, *form, document).map_err(cannot)?;
        }
        for judged in &judged {
            self.0.shelf.keep(&judged.report);
        }
        self.note(file, &stage.list).map_err(cannot)?;
        Ok(judged)
    }

    /// What a file says of itself, every byte checked against its list.
    ///
    /// # Errors
    /// When it is no bundle, or is damaged.
    pub fn listed(file: &Path) -> Result<List, Problem> {
        read(file, |_, _| Ok(()))
    }

    /// The bundles that were added here, oldest first.
    #[must_use]
    pub fn bundles(&self) -> Vec<Brought> {
        let entries = fs::read_dir(self.notes()).into_iter().flatten().flatten();
        let mut all: Vec<Brought> = entries
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect();
        all.sort_by(|a, b| (a.added, &a.file).cmp(&(b.added, &b.file)));
        all
    }

    fn notes(&self) -> PathBuf {
        // The number changes with the form.
        self.0.data_dir.join("vetting/bundles-v1")
    }

    fn note(&self, file: &Path, list: &List) -> io::Result<()> {
        let brought = Brought {
            file: file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            added: crate::clock::now_s(),
            packages: list.packages.clone(),
        };
        let text = serde_json::to_vec(&brought)?;
        // The same once more takes its own place.
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(&serde_json::to_vec(list)?);
        let name = format!("{}.json", &hasher.finish().hex()[..40]);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.notes())?;
        write_private(&self.notes().join(name), &text)
    }

    /// Reads a bundle into a folder of its own, which goes with what this returns.
    fn stage(&self, vetting: &Vetting, file: &Path) -> Result<Stage, Problem> {
        let cannot = |error| Problem::io("cannot make room for the bundle", error);
        let parent = self.0.data_dir.join("vetting");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&parent)
            .map_err(cannot)?;
        let folder = tempfile::Builder::new()
            .prefix("bundle-")
            .tempdir_in(&parent)
            .map_err(cannot)?;
        let vetting = vetting.apart(folder.path());
        let mut archives = BTreeMap::new();
        let (mut reports, mut engine) = (BTreeMap::new(), Vec::new());
        let mut documents: BTreeMap<PackageName, Value> = BTreeMap::new();
        let list = read(file, |kind, bytes| match kind {
            Kind::Archive => {
                let mut hasher = Hasher::new(Algorithm::Sha512);
                hasher.update(&bytes);
                let integrity = hasher.finish();
                let path = folder.path().join(format!("{}.tgz", integrity.hex()));
                fs::write(&path, &bytes).map_err(|error| error.to_string())?;
                archives.insert(integrity.to_string(), path);
                vetting
                    .plant_archive(&integrity, &bytes)
                    .map_err(|error| error.to_string())
            }
            Kind::Document => {
                let document: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
                let name = document["name"].as_str().unwrap_or_default();
                let name: PackageName = name.parse().map_err(|error: npm::NameError| error.to_string())?;
                for form in [Form::Full, Form::Abbreviated] {
                    let planted = vetting.plant_document(&name, form, &document);
                    planted.map_err(|error| error.to_string())?;
                }
                documents.insert(name, document);
                Ok(())
            }
            Kind::Report => {
                let report: Report = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
                reports.insert(report.facts.spec(), report);
                Ok(())
            }
            Kind::Engine => {
                engine.push(bytes);
                Ok(())
            }
        })?;
        Ok(Stage {
            vetting,
            list,
            archives,
            documents,
            reports,
            engine,
            file: file.to_owned(),
            _folder: folder,
        })
    }
}

/// What is put into a bundle.
#[derive(Default)]
struct Making {
    claims: Vec<Claim>,
    files: Files,
    documents: BTreeMap<PackageName, Value>,
}

impl Making {
    async fn put(&mut self, vetting: &Vetting, resolved: &Resolved) -> Result<(), Problem> {
        let closure = &resolved.closure;
        let mut needed: BTreeMap<PackageName, BTreeMap<Version, Integrity>> = BTreeMap::new();
        for (_, package) in closure.places() {
            // What came inside another archive is in there.
            if !resolved.listings.contains_key(&package.spec()) {
                continue;
            }
            let (name, version) = (&package.name, &package.version);
            let bytes = vetting.archive(name, version, &package.integrity).await?;
            self.files.insert((Kind::Archive, package.spec()), bytes);
            let versions = needed.entry(name.clone()).or_default();
            versions.insert(version.clone(), package.integrity.clone());
        }
        let root = &closure.root().name;
        for (name, members) in needed {
            let form = if name == *root {
                Form::Full
            } else {
                Form::Abbreviated
            };
            let document = vetting.document(&name, form, false).await?;
            let gaps = closure.gaps.iter().filter(|gap| gap.name == name.as_str());
            let mut versions: BTreeSet<Version> = members.keys().cloned().collect();
            versions.extend(gaps.filter_map(|gap| best(&document, &gap.wanted)));
            let mut document = cut(&document, &versions);
            for (version, integrity) in members {
                // Some old ones have a weaker hash alone.
                document["versions"][version.to_string()]["dist"]["integrity"] = integrity.to_string().into();
            }
            self.keep(name, document);
        }
        // What is not installed on this machine is looked at all the same.
        for gap in closure.gaps.iter().filter(|gap| gap.why == Why::Platform) {
            let Ok(name) = gap.name.parse::<PackageName>() else {
                continue;
            };
            let document = vetting.document(&name, Form::Abbreviated, false).await?;
            let versions = best(&document, &gap.wanted).into_iter().collect();
            self.keep(name, cut(&document, &versions));
        }
        Ok(())
    }

    fn keep(&mut self, name: PackageName, document: Value) {
        let known = self.documents.get(&name);
        // Both are the registry's word of the same minutes.
        let all = known.and_then(|known| joined(known, &document).ok());
        self.documents.insert(name, all.unwrap_or(document));
    }

    fn claim(&mut self, report: &Report, decision: &Decision) -> Result<(), Problem> {
        let facts = &report.facts;
        let text = serde_json::to_vec(report)
            .map_err(|error| Problem::new(Code::Failed, "cannot write a report").because(error))?;
        self.files.insert((Kind::Report, facts.spec()), text);
        self.claims.push(Claim {
            package: facts.spec(),
            closure: facts.closure.clone(),
            engine: facts.tools.engine.clone(),
            verdict: decision.verdict,
            rule: decision.decided_by().map(|judged| judged.reason.rule.clone()),
        });
        Ok(())
    }
}

/// The version that an exact range means, or the highest of a wide one.
fn best(document: &Value, wanted: &str) -> Option<Version> {
    let range: Range = wanted.parse().ok()?;
    let versions = document["versions"].as_object()?.keys();
    let parsed = versions.filter_map(|written| Version::parse(written).ok());
    parsed.filter(|version| range.satisfies(version)).max()
}

/// A bundle that was read, of which nothing is believed yet.
struct Stage {
    vetting: Vetting,
    list: List,
    archives: BTreeMap<String, PathBuf>,
    documents: BTreeMap<PackageName, Value>,
    reports: BTreeMap<String, Report>,
    engine: Vec<Vec<u8>>,
    file: PathBuf,
    _folder: TempDir,
}

impl Stage {
    /// Lays out its packages as npm would, from nothing but what it holds.
    async fn closures(&self) -> Result<Vec<Arc<Resolved>>, Problem> {
        let mut all = Vec::new();
        for claim in &self.list.packages {
            let wrong = |what: String| {
                Problem::new(Code::Usage, format!("{}: {} {what}", self.file.display(), claim.package))
                    .hint("a bundle is for one kind of machine and one default stack: have it made again on such a one; nothing was taken")
            };
            let target = Target::parse(&claim.package).map_err(|_| wrong("is no package".to_owned()))?;
            let resolved = self.vetting.resolve(&target, Arc::new(Silent)).await;
            let resolved = resolved.map_err(|problem| wrong(format!("cannot be had from it: {problem}")))?;
            if resolved.closure.root().spec() != claim.package || resolved.closure.digest() != claim.closure {
                return Err(wrong(
                    "is not what the bundle says: something of it lacks or is another".to_owned(),
                ));
            }
            all.push(resolved);
        }
        Ok(all)
    }

    /// Its documents joined with what this host's registry has said before.
    fn documents(&self, here: &Vetting) -> Result<Vec<(PackageName, Form, Value)>, Problem> {
        let mut all = Vec::new();
        for (name, document) in &self.documents {
            for form in [Form::Full, Form::Abbreviated] {
                let document = match here.kept_document(name, form) {
                    None => document.clone(),
                    Some(known) => joined(&known, document).map_err(|version| {
                        let message = format!(
                            "{}: {name}@{version} has other bytes than this host's registry says",
                            self.file.display()
                        );
                        Problem::new(Code::Refused, message)
                            .hint("one of the two was tampered with, or they are different registries; nothing was taken")
                    })?,
                };
                all.push((name.clone(), form, document));
            }
        }
        Ok(all)
    }
}

/// What is different here from what the bundle says. Known flaws that only its maker could ask for are taken over.
fn differences(claim: &Claim, theirs: Option<&Report>, report: &mut Report, rules: &Rules) -> Vec<String> {
    let mut differs = Vec::new();
    if claim.engine != report.facts.tools.engine {
        differs.push("it was vetted in another engine there; here it was vetted anew".to_owned());
    }
    let known: BTreeSet<String> = report.reasons.iter().map(|reason| reason.says.clone()).collect();
    let flaws = theirs.into_iter().flat_map(|theirs| &theirs.reasons);
    let flaws = flaws.filter(|reason| reason.rule == ASKED && !known.contains(&reason.says));
    report.reasons.extend(flaws.cloned());
    let verdict = rules.decide(report, &[]).verdict;
    if verdict != claim.verdict {
        differs.push(format!(
            "it is {} there and {} here",
            said(claim.verdict),
            said(verdict)
        ));
    }
    differs
}

fn said(verdict: node_vetting::report::Verdict) -> String {
    serde_json::to_value(verdict)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn read(file: &Path, take: impl FnMut(Kind, Vec<u8>) -> Result<(), String>) -> Result<List, Problem> {
    let opened =
        File::open(file).map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
    bundle::read(BufReader::new(opened), take).map_err(|error| {
        let code = match error {
            BundleError::Io(_) => Code::Failed,
            _ => Code::Usage,
        };
        let hint = match error {
            BundleError::Form(_) => "make it with the same version of Redhold, or use a newer one here",
            _ => "make it with `redhold bundle create`, and copy it whole",
        };
        Problem::new(code, format!("cannot use the bundle {}", file.display()))
            .because(error)
            .hint(hint)
    })
}
