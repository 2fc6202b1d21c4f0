//! Writing a lock: npm works out the closure, every archive is fetched once and measured.
//!
//! npm runs from the Node.js and the npm that the stack itself will have, without install scripts, in a folder of
//! its own that is removed afterwards. No Node.js of the machine is needed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use npm::{Client, PackageName, Range, Version};
use runtime::store::{
    Arch, Artifact, LockedPackage, Measured, NodeArtifact, Progress, StackLock, StoreError,
};
use tokio::process::Command;

use crate::problem::{Code, Problem};
use crate::stacks::closure::{Placed, closure};
use crate::stacks::problems::{fetch_problem, store_problem};
use crate::stacks::{Stacks, host_arch};

/// Lines of npm's complaints that are shown.
const SHOWN_LINES: usize = 12;

/// What the lock is to hold.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its name; none derives one from the version.
    pub name: Option<String>,
    /// Version or range of Node-RED.
    pub node_red: String,
    /// Version or range of Node.js.
    pub node: String,
}

impl Stacks {
    /// Works a lock out. Takes a minute or two; fetches everything that the stack has, for every kind of machine.
    ///
    /// # Errors
    /// When a version does not exist, npm fails, or something does not arrive.
    pub async fn lock(&self, order: &Order, progress: &dyn Progress) -> Result<StackLock, Problem> {
        let client = self.client()?;
        let red = chosen(client, &package("node-red")?, &order.node_red, |_| true).await?;
        let mut node = BTreeMap::new();
        for (arch, version) in node_versions(client, &order.node).await? {
            node.insert(arch, self.measure_node(client, arch, &version, progress).await?);
        }
        let own = node
            .get(&host_arch()?)
            .ok_or_else(|| Problem::new(Code::Host, "there is no Node.js for this machine"))?;
        let npm = npm_of(client, &red, &own.artifact.version).await?;
        let text = self.run_npm(client, own, &npm, &red, progress).await?;
        let mut places: BTreeMap<Arch, Vec<Placed>> = BTreeMap::new();
        for arch in Arch::ALL {
            let placed = closure(&text, arch).map_err(|error| {
                Problem::new(Code::Failed, format!("node-red {red} cannot be made a stack")).because(error)
            })?;
            places.insert(arch, placed);
        }
        let packages = self.measure_all(client, &places, progress).await?;
        let bundled = packages.iter().find(|package| package.path.as_str() == "npm");
        let bundled = bundled.map_or(npm.version, |package| package.artifact.version.clone());
        let name = order.name.clone().unwrap_or_else(|| format!("node-red-{red}"));
        let lock = StackLock::new(name, red, bundled, node, packages)
            .map_err(|error| Problem::new(Code::Failed, "the lock cannot be put together").because(error))?;
        for arch in Arch::ALL {
            self.store.forget_archives(&lock, arch);
        }
        Ok(lock)
    }

    async fn measure_node(
        &self,
        client: &Client,
        arch: Arch,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<NodeArtifact, Problem> {
        let name = node_package(arch)?;
        let measured = self.measure_published(client, &name, version, progress).await?;
        Ok(NodeArtifact {
            executable: measured
                .executable
                .ok_or_else(|| Problem::new(Code::Failed, format!("{name}@{version} holds no bin/node")))?,
            artifact: measured.artifact,
        })
    }

    async fn measure_published(
        &self,
        client: &Client,
        name: &PackageName,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<Measured, Problem> {
        let document = client.packument(name).await.map_err(fetch_problem)?;
        let integrity = document
            .integrity(version)
            .map_err(|error| fetch_problem(error.into()))?;
        self.store
            .measure(client, name, version, &integrity, progress)
            .await
            .map_err(store_problem)
    }

    /// npm's own lock file for this Node-RED.
    async fn run_npm(
        &self,
        client: &Client,
        node: &NodeArtifact,
        npm: &Artifact,
        red: &Version,
        progress: &dyn Progress,
    ) -> Result<String, Problem> {
        let node_dir = self
            .store
            .ensure_node(node, client, progress)
            .await
            .map_err(store_problem)?;
        let dir = tempfile::tempdir()
            .map_err(|error| Problem::new(Code::Failed, "cannot make a temporary folder").because(error))?;
        let npm = self
            .store
            .measure(client, &npm.name, &npm.version, &npm.integrity, progress)
            .await
            .map_err(store_problem)?;
        let npm_dir = dir.path().join("npm");
        let work = dir.path().join("work");
        for dir in [&npm_dir, &work] {
            fs::create_dir(dir).map_err(|error| wrapped(dir, error))?;
        }
        self.store
            .extract(client, &npm.artifact, &npm_dir, progress)
            .await
            .map_err(store_problem)?;
        let manifest = serde_json::json!({
            "name": "stack", "version": "1.0.0", "private": true,
            "dependencies": { "node-red": red.to_string() },
        });
        let path = work.join("package.json");
        fs::write(&path, manifest.to_string()).map_err(|error| wrapped(&path, error))?;
        let registry = client
            .config()
            .default_registry()
            .map_err(|error| fetch_problem(error.into()))?;
        let mut command = Command::new(node_dir.join("bin/node"));
        command
            .arg(npm_dir.join("bin/npm-cli.js"))
            .args([
                "install",
                "--package-lock-only",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
            ])
            .args(["--loglevel", "error"])
            .arg(option("--registry", registry.as_str().into()))
            .arg(option("--cache", dir.path().join("cache").into()))
            .env("PATH", node_dir.join("bin"))
            .env("npm_config_update_notifier", "false")
            .current_dir(&work)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command
            .output()
            .await
            .map_err(|error| Problem::new(Code::Failed, "cannot run npm").because(error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<&str> = said.lines().take(SHOWN_LINES).collect();
            return Err(Problem::new(
                Code::Failed,
                format!(
                    "npm could not work out what node-red {red} needs: {}",
                    last.join("; ")
                ),
            ));
        }
        let path = work.join("package-lock.json");
        fs::read_to_string(&path).map_err(|error| wrapped(&path, error))
    }

    /// Every package measured once, and told for which machines it is.
    async fn measure_all(
        &self,
        client: &Client,
        places: &BTreeMap<Arch, Vec<Placed>>,
        progress: &dyn Progress,
    ) -> Result<Vec<LockedPackage>, Problem> {
        let mut users: BTreeMap<&Placed, Vec<Arch>> = BTreeMap::new();
        for (arch, placed) in places {
            for one in placed {
                users.entry(one).or_default().push(*arch);
            }
        }
        let mut measured: HashMap<String, Artifact> = HashMap::new();
        let mut packages = Vec::new();
        for (placed, arches) in users {
            let key = placed.integrity.to_string();
            let artifact = match measured.get(&key) {
                Some(artifact) => artifact.clone(),
                None => {
                    let found = self
                        .store
                        .measure(client, &placed.name, &placed.version, &placed.integrity, progress)
                        .await
                        .map_err(|error| named(placed, error))?;
                    measured.insert(key, found.artifact.clone());
                    found.artifact
                }
            };
            packages.push(LockedPackage {
                path: placed.path.clone(),
                artifact,
                only: (arches.len() < Arch::ALL.len()).then(|| arches[0]),
            });
        }
        Ok(packages)
    }
}

fn named(placed: &Placed, error: StoreError) -> Problem {
    tracing::debug!(package = %placed.name, place = %placed.path, "could not be measured");
    store_problem(error)
}

fn wrapped(path: &Path, error: std::io::Error) -> Problem {
    Problem::new(Code::Failed, format!("cannot write {}", path.display())).because(error)
}

fn option(name: &str, value: OsString) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

fn package(name: &str) -> Result<PackageName, Problem> {
    name.parse()
        .map_err(|error: npm::NameError| Problem::new(Code::Usage, error.to_string()))
}

/// The highest published version in the range that suits.
async fn chosen(
    client: &Client,
    name: &PackageName,
    wanted: &str,
    suits: impl Fn(&npm::Manifest) -> bool,
) -> Result<Version, Problem> {
    let range = range(wanted)?;
    let document = client.packument(name).await.map_err(fetch_problem)?;
    let found = document
        .matching(&range)
        .into_iter()
        .find(|version| document.exact(version).is_ok_and(&suits));
    found.ok_or_else(|| no_version(name, wanted))
}

fn range(text: &str) -> Result<Range, Problem> {
    Range::parse(text).map_err(|_| {
        Problem::new(
            Code::Usage,
            format!("`{text}` is no version or range of versions"),
        )
        .hint("write 24, 24.21.0 or ^24.10.0")
    })
}

fn no_version(name: &PackageName, wanted: &str) -> Problem {
    Problem::new(Code::Usage, format!("{name} has no version {wanted}"))
        .hint("not every version is published for every kind of machine; try a wider range")
}

fn node_package(arch: Arch) -> Result<PackageName, Problem> {
    package(&format!("node-linux-{}", arch.name()))
}

/// The highest Node.js that is published for every kind of machine. The kinds lag behind each other: where they
/// have none in common, each gets its own highest.
async fn node_versions(client: &Client, wanted: &str) -> Result<BTreeMap<Arch, Version>, Problem> {
    let range = range(wanted)?;
    let mut published = BTreeMap::new();
    for arch in Arch::ALL {
        let name = node_package(arch)?;
        let found = client
            .packument(&name)
            .await
            .map_err(fetch_problem)?
            .matching(&range);
        if found.is_empty() {
            return Err(no_version(&name, wanted));
        }
        published.insert(arch, found);
    }
    let common = published[&Arch::X64]
        .iter()
        .find(|version| published.values().all(|versions| versions.contains(version)))
        .cloned();
    Ok(published
        .into_iter()
        .map(|(arch, mut own)| (arch, common.clone().unwrap_or_else(|| own.swap_remove(0))))
        .collect())
}

/// The npm that this Node-RED brings along, or the newest that runs on this Node.js.
async fn npm_of(client: &Client, red: &Version, node: &Version) -> Result<Artifact, Problem> {
    let registry = client
        .packument(&package("@node-red/registry")?)
        .await
        .map_err(fetch_problem)?;
    let wanted = registry
        .exact(red)
        .ok()
        .and_then(|manifest| manifest.dependencies.get("npm").cloned())
        .unwrap_or_else(|| "*".to_owned());
    let name = package("npm")?;
    let version = chosen(client, &name, &wanted, |manifest| manifest.runs_on(node)).await?;
    let document = client.packument(&name).await.map_err(fetch_problem)?;
    let integrity = document
        .integrity(&version)
        .map_err(|error| fetch_problem(error.into()))?;
    Ok(Artifact {
        name,
        version,
        integrity,
        size: 0,
        unpacked: 0,
        files: 0,
    })
}
