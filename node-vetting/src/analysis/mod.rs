//! The static half: what a closure says, without running any of it.
//!
//! Every file of every member is looked at once: code is parsed, everything else is told by its bytes. What
//! comes out is data without an opinion; the same bytes give the same findings. Hostile input ends in a finding:
//! what cannot be parsed is told and never passed over.

mod advisories;
mod code;
mod diff;
mod files;
mod finding;
mod flows;
mod html;
mod licence;
mod lines;
mod lists;
mod lookalike;
mod manifest;
mod native;
pub(crate) mod nesting;
mod pool;
mod registry;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::capability::{Capability, Kind};
use crate::closure::Closure;
use crate::package::Package;
use crate::resolve::Listing;
use crate::trace::Site;

pub use advisories::{Feed, FeedError, Members, ask as ask_advisories};
pub(crate) use code::{MAX_DEPTH, MAX_SOURCE};
pub use diff::{Change, Changed, Step as VersionStep, changes};
pub use finding::{About, Doing, Finding, Findings, Half, Measured, NodeFile, Said, Step};
pub use pool::Means;
pub(crate) use pool::STACK;

use code::{Found, How};
use files::Unit;
use lines::Lines;
use pool::Outcome;

/// A file to be read.
struct Job {
    member: usize,
    path: String,
    text: Bytes,
    /// Lines and bytes before the code, where it is a part of its file.
    lines_before: u32,
    bytes_before: u32,
    how: How,
}

/// What came of a file, with lines in place of offsets.
struct Read {
    half: Half,
    found: Found,
    /// Lines of sites, findings and loads, in their order.
    lines: [Vec<u32>; 3],
}

/// A package of the closure, and what was found in it.
struct Member {
    package: Arc<Package>,
    place: String,
    sites: Vec<Said>,
    findings: Vec<Finding>,
    /// Modules that each file loads.
    loads: BTreeMap<String, BTreeSet<String>>,
    /// The first place of each load: file and line.
    first: BTreeMap<String, Vec<(String, u32)>>,
    named: BTreeSet<String>,
    types: BTreeMap<String, Vec<String>>,
    parsed: usize,
}

impl Member {
    fn new(place: &str, package: &Arc<Package>) -> Self {
        Self {
            package: package.clone(),
            place: place.to_owned(),
            sites: Vec::new(),
            findings: Vec::new(),
            loads: BTreeMap::new(),
            first: BTreeMap::new(),
            named: BTreeSet::new(),
            types: BTreeMap::new(),
            parsed: 0,
        }
    }

    fn site(&self, path: &str, line: u32) -> Site {
        Site {
            file: format!("{}/{path}", self.place),
            line,
        }
    }

    fn say(&mut self, path: &str, line: u32, about: About) {
        let finding = Finding {
            package: self.package.spec(),
            site: self.site(path, line),
            reached: true,
            about,
        };
        self.findings.push(finding);
    }

    fn take(&mut self, job: &Job, read: Read) {
        let Read { half, found, lines } = read;
        let [site_lines, about_lines, load_lines] = lines;
        for (site, line) in found.sites.into_iter().zip(site_lines) {
            self.sites.push(Said {
                package: self.package.spec(),
                site: self.site(&job.path, line),
                capability: site.capability,
                via: site.via,
                offset: site.offset + job.bytes_before,
                function: site.function + job.bytes_before,
                half,
                reached: true,
            });
        }
        for ((_, about), line) in found.abouts.into_iter().zip(about_lines) {
            self.say(&job.path, line, about);
        }
        for ((_, name), line) in found.loads.into_iter().zip(load_lines) {
            if half == Half::Runtime {
                let places = self.first.entry(name.clone()).or_default();
                if places.len() < 50 {
                    places.push((job.path.clone(), line));
                }
                self.loads.entry(job.path.clone()).or_default().insert(name);
            }
        }
        self.named.extend(found.named);
        self.types
            .entry(job.path.clone())
            .or_default()
            .extend(found.types);
        self.parsed += 1;
    }
}

/// Hears what is about to be read, as a path below the user directory, from whichever thread reads it.
pub(crate) type Told = Arc<dyn Fn(&str) + Send + Sync>;

/// Looks at a closure. `listings` is what registries say of its members by `name@version`, as far as it is known.
/// Waits for threads of its own; call it where waiting is allowed.
///
/// Time is bounded, and so is the depth of what is parsed. Memory is not, beyond the size of a source, so strangers'
/// code is read by a [worker](crate::worker), which may run out of it.
#[must_use]
pub fn analyse(closure: &Closure, listings: &BTreeMap<String, Listing>) -> Findings {
    let nobody: Told = Arc::new(|_| ());
    analyse_with(closure, listings, Means::default(), &nobody)
}

/// The same with other means, told to somebody place by place. The findings do not depend on either.
pub(crate) fn analyse_with(
    closure: &Closure,
    listings: &BTreeMap<String, Listing>,
    means: Means,
    told: &Told,
) -> Findings {
    let mut members = members(closure);
    let mut measured = Measured {
        packages: members.len(),
        ..Measured::default()
    };
    for member in &members {
        measured.files += member.package.files().count();
        measured.bytes += member
            .package
            .files()
            .map(|(_, content)| content.len() as u64)
            .sum::<u64>();
    }
    read_code(&mut members, &mut measured, means, told);
    for member in &mut members {
        told(&format!("{}/package.json", member.place));
        for (path, line, about) in manifest::findings(&member.package) {
            member.say(&path, line, about);
        }
        if let Some(listing) = listings.get(&member.package.spec()) {
            for about in registry::findings(&member.package, listing) {
                member.say("package.json", 1, about);
            }
        }
        let name = member
            .place
            .rsplit_once("node_modules/")
            .map_or("", |(_, name)| name)
            .to_owned();
        if let Some(about) = registry::identity(&member.package, &name) {
            member.say("package.json", 1, about);
        }
    }
    carried(closure, &mut members);
    let scripted: BTreeSet<String> = members
        .iter()
        .filter(|member| {
            member
                .findings
                .iter()
                .any(|finding| matches!(finding.about, About::InstallScript { .. }))
        })
        .map(|member| member.package.name.to_string())
        .collect();
    let deep = deep_loads(&members);
    for member in &mut members {
        reach(member, &deep);
        dependencies(member, &scripted);
        capabilities_of_files(member);
    }
    let nodes = node_files(closure, &members);
    let mut findings = Findings {
        nodes,
        measured,
        ..Findings::default()
    };
    for member in members {
        findings.sites.extend(member.sites);
        findings.findings.extend(member.findings);
    }
    findings.sites.sort();
    findings.sites.dedup();
    findings.findings.sort();
    findings.findings.dedup();
    findings
}

/// Each package once, at its first place.
fn members(closure: &Closure) -> Vec<Member> {
    let mut seen: BTreeSet<*const Package> = BTreeSet::new();
    closure
        .places()
        .filter(|(_, package)| seen.insert(Arc::as_ptr(package)))
        .map(|(place, package)| Member::new(place, package))
        .collect()
}

fn read_code(members: &mut [Member], measured: &mut Measured, means: Means, told: &Told) {
    let mut jobs = Vec::new();
    for (at, member) in members.iter().enumerate() {
        told(&format!("{}/package.json", member.place));
        for unit in files::units(&member.package) {
            jobs.extend(job(at, &member.package, unit));
        }
    }
    // The largest first, so that none of them is left over for one thread at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.text.len()));
    let brief: Vec<(usize, usize)> = jobs.iter().map(|job| (job.member, job.text.len())).collect();
    let kept: Vec<Job> = jobs
        .iter()
        .map(|job| Job {
            path: job.path.clone(),
            text: Bytes::new(),
            ..*job
        })
        .collect();
    let (told, places) = (told.clone(), members.iter().map(|member| member.place.clone()));
    let places: Vec<String> = places.collect();
    let outcomes = pool::all(jobs, means, move |job| {
        told(&format!("{}/{}", places[job.member], job.path));
        read(job)
    });
    for ((job, outcome), (member, size)) in kept.iter().zip(outcomes).zip(brief) {
        measured.parsed += 1;
        measured.parsed_bytes += size as u64;
        let read = match outcome {
            Outcome::Done(read) => read,
            Outcome::GivenUp => {
                let why = "reading it took too long".to_owned();
                measured.unparsable += 1;
                members[member].say(&job.path, 1, About::Unparsable { why });
                continue;
            }
        };
        let unparsable = read
            .found
            .abouts
            .iter()
            .any(|(_, about)| matches!(about, About::Unparsable { .. }));
        measured.unparsable += usize::from(unparsable);
        members[member].take(job, read);
    }
}

fn job(member: usize, package: &Package, unit: Unit) -> Option<Job> {
    let content = package.file(&unit.path)?;
    let before = content.get(..unit.start)?;
    Some(Job {
        member,
        text: content.slice(unit.start..unit.end),
        lines_before: memchr::memchr_iter(b'\n', before).count() as u32,
        bytes_before: unit.start as u32,
        path: unit.path,
        how: unit.how,
    })
}

fn read(job: &Job) -> Read {
    let text = String::from_utf8_lossy(&job.text);
    let found = code::read(&text, job.how);
    let index = Lines::of(&text, job.lines_before);
    let lines = [
        found.sites.iter().map(|site| index.line(site.offset)).collect(),
        found.abouts.iter().map(|(at, _)| index.line(*at)).collect(),
        found.loads.iter().map(|(at, _)| index.line(*at)).collect(),
    ];
    Read {
        half: job.how.half,
        found,
        lines,
    }
}

/// Packages that came inside the archive of another one.
fn carried(closure: &Closure, members: &mut [Member]) {
    for member in members {
        let Some((above, name)) = member.place.rsplit_once("/node_modules/") else {
            continue;
        };
        let Some((_, carrier)) = closure.places().find(|(place, _)| *place == above) else {
            continue;
        };
        if carrier.integrity == member.package.integrity {
            let declared = ["bundleDependencies", "bundledDependencies"].iter().any(|key| {
                let said = &carrier.manifest[*key];
                said == true
                    || said
                        .as_array()
                        .is_some_and(|list| list.iter().any(|one| one == name))
            });
            let by = carrier.spec();
            member.say("package.json", 1, About::Carried { by, declared });
        }
    }
}

/// Files of packages that other packages load by path: `lib/x` of `name/lib/x`.
fn deep_loads(members: &[Member]) -> BTreeMap<String, BTreeSet<String>> {
    let mut deep: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in members.iter().flat_map(|member| member.first.keys()) {
        let (package, path) = split(name);
        if !path.is_empty() {
            deep.entry(package.to_owned())
                .or_default()
                .insert(path.to_owned());
        }
    }
    deep
}

/// The package and the path inside it that a specifier names.
fn split(name: &str) -> (&str, &str) {
    let from = if name.starts_with('@') {
        name.find('/').map_or(name.len(), |at| at + 1)
    } else {
        0
    };
    match name[from..].find('/') {
        Some(at) => (&name[..from + at], &name[from + at + 1..]),
        None => (name, ""),
    }
}

/// Marks what no entry of the package leads to.
fn reach(member: &mut Member, deep: &BTreeMap<String, BTreeSet<String>>) {
    let placed: Vec<manifest::Placed> = member
        .findings
        .iter()
        .map(|finding| (String::new(), 0, finding.about.clone()))
        .collect();
    let mut first = files::entries(&member.package, &manifest::script_files(&placed));
    for path in deep.get(member.package.name.as_str()).into_iter().flatten() {
        first.extend(files::resolve(&member.package, path));
    }
    // The editor half is loaded by Node-RED, and other markup by browsers.
    let markup = member.package.files().map(|(path, _)| path);
    first.extend(
        markup
            .filter(|path| path.ends_with(".html") || path.ends_with(".htm"))
            .map(str::to_owned),
    );
    let reached = files::reached(&member.package, first, &member.loads);
    let prefix = format!("{}/", member.place);
    let is_reached = |site: &Site| {
        site.file
            .strip_prefix(&prefix)
            .is_none_or(|path| reached.contains(path))
    };
    for said in &mut member.sites {
        said.reached = is_reached(&said.site) || said.half == Half::Page;
    }
    for finding in &mut member.findings {
        let code = ["js", "cjs", "mjs"]
            .iter()
            .any(|ending| finding.site.file.ends_with(&format!(".{ending}")));
        finding.reached = !code || is_reached(&finding.site);
    }
    // What only unreached files load is of no interest below.
    for places in member.first.values_mut() {
        places.retain(|(path, _)| reached.contains(path));
    }
}

/// Dependencies that are named and not used, and used and not named.
fn dependencies(member: &mut Member, scripted: &BTreeSet<String>) {
    let declared = manifest::declared(&member.package);
    let own = member.package.name.to_string();
    let used: BTreeSet<String> = member
        .loads
        .values()
        .flatten()
        .map(|name| split(name).0.to_owned())
        .collect();
    let mut found = Vec::new();
    for (name, places) in &member.first {
        let Some((path, line)) = places.first() else {
            continue;
        };
        let bare = split(name).0;
        let module = code::names::module(name);
        let foreign = module.is_some_and(|module| module.starts_with("npm:"))
            && bare.parse::<npm::PackageName>().is_ok();
        if foreign && bare != own && !declared.contains(bare) {
            let dependency = bare.to_owned();
            found.push((path.clone(), *line, About::Undeclared { dependency }));
        }
    }
    let text = member
        .package
        .file("package.json")
        .map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or_default());
    let named: BTreeSet<&str> = member.named.iter().map(|name| split(name).0).collect();
    for dependency in registry::texts(&member.package.manifest, "dependencies").into_keys() {
        let script = scripted.contains(&dependency);
        let spoken = used.contains(&dependency) || named.contains(dependency.as_str());
        if spoken || dependency == own || dependency.starts_with("@types/") || member.parsed == 0 && !script {
            continue;
        }
        let line = lines::line_of(text, &format!("\"{dependency}\""));
        found.push((
            "package.json".to_owned(),
            line,
            About::Phantom { dependency, script },
        ));
    }
    for (path, line, about) in found {
        member.say(&path, line, about);
    }
}

/// Scripts and markup can do things without a call.
fn capabilities_of_files(member: &mut Member) {
    let editors: BTreeSet<String> = files::node_files(&member.package.manifest)
        .iter()
        .map(|named| format!("{}/{}", member.place, files::editor_of(&named.path)))
        .collect();
    for finding in &member.findings {
        let (capability, half) = match &finding.about {
            About::InstallScript { name, .. } => {
                (Capability::new(Kind::CodeInstallScript, name), Half::Runtime)
            }
            About::ExternalScript { url } if editors.contains(&finding.site.file) => {
                (Capability::new(Kind::EdExternalScript, url), Half::Editor)
            }
            _ => continue,
        };
        member.sites.push(Said {
            package: finding.package.clone(),
            site: finding.site.clone(),
            capability,
            via: "manifest".to_owned(),
            offset: 0,
            function: 0,
            half,
            reached: true,
        });
    }
}

/// What Node-RED loads of the package in question.
fn node_files(closure: &Closure, members: &[Member]) -> Vec<NodeFile> {
    let Some(root) = members.iter().find(|member| member.place == closure.root_place()) else {
        return Vec::new();
    };
    let mut nodes: Vec<NodeFile> = files::node_files(&root.package.manifest)
        .into_iter()
        .map(|named| {
            let editor = Some(files::editor_of(&named.path)).filter(|path| root.package.file(path).is_some());
            let mut types: Vec<String> = [Some(&named.path), editor.as_ref()]
                .into_iter()
                .flatten()
                .filter_map(|path| root.types.get(path))
                .flatten()
                .cloned()
                .collect();
            types.sort();
            types.dedup();
            NodeFile {
                name: named.name,
                file: format!("{}/{}", root.place, named.path),
                editor: editor.map(|path| format!("{}/{path}", root.place)),
                plugin: named.plugin,
                types,
            }
        })
        .collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests;
