//! Which stacks are offered, which is the default, and fetching one on first use.

mod closure;
mod lock;
mod problems;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use npm::{Addresses, Client, Config, Places};
use runtime::store::{Arch, Change, Stack, StackLock, StackStore, State};
use serde::Serialize;

pub use lock::Order;
pub use runtime::store::{Progress, Silent};

use crate::problem::{Code, Problem};
pub(crate) use problems::store_problem;
use problems::{config_problem, fetch_problem};

/// The stacks of this host.
#[derive(Debug)]
pub struct Stacks {
    store: StackStore,
    /// Made when something is fetched: reading certificates takes longer than opening a ready stack.
    client: OnceLock<Client>,
}

/// A stack that is offered or lies on the disk.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What people call it by.
    pub name: String,
    /// Names it and exactly what is in it.
    pub id: String,
    /// Exact version of Node-RED.
    pub node_red: String,
    /// Exact version of Node.js.
    pub node: String,
    /// Exact version of npm.
    pub npm: String,
    /// The kind of machine it is for.
    pub arch: &'static str,
    /// Bytes to fetch.
    pub download: u64,
    /// Bytes when unpacked.
    pub size: u64,
    /// `ready`, `partial` or `absent`.
    pub state: &'static str,
    /// Whether it is what instances get that name none.
    pub default: bool,
    /// Whether this binary offers it, for whichever machine.
    pub offered: bool,
    /// Whether anybody uses it now.
    pub in_use: bool,
}

/// This machine's kind.
///
/// # Errors
/// When there are no stacks for it.
pub fn host_arch() -> Result<Arch, Problem> {
    Arch::host().ok_or_else(|| {
        Problem::new(
            Code::Host,
            format!("there is no Node.js for {} in the stacks", std::env::consts::ARCH),
        )
        .hint("Redhold runs on x86_64 and aarch64")
    })
}

/// npm's configuration, as a person standing here has it.
fn config() -> Result<Config, Problem> {
    let places = Places::here()
        .map_err(|error| Problem::new(Code::Failed, "there is no current folder").because(error))?;
    Config::load(&places).map_err(config_problem)
}

impl Stacks {
    /// The stacks in this data directory. Touches nothing yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            store: StackStore::open(data_dir),
            client: OnceLock::new(),
        }
    }

    /// The store itself.
    #[must_use]
    pub const fn store(&self) -> &StackStore {
        &self.store
    }

    /// The lock that a person means: an id, a name (`node-red-5`), a version or the beginning of one (`5`,
    /// `5.0.7`, `4.1`); without any, the default. Stacks that were fetched from a lock file are found by their
    /// names and ids too.
    ///
    /// # Errors
    /// When none is meant, with those there are.
    pub fn resolve(&self, wanted: Option<&str>) -> Result<StackLock, Problem> {
        let mut builtin = StackLock::builtin_names();
        // Parsing a lock costs more than opening its stack: only the one that is meant.
        if let Some(name) = builtin.find(|name| wanted.is_none_or(|wanted| wanted == *name)) {
            return built_in(name);
        }
        let wanted = wanted.unwrap_or_default();
        let mut known = self.offered()?;
        let stored = self.store.list().map_err(store_problem)?;
        known.extend(stored.into_iter().map(|stored| stored.lock));
        let exact = |lock: &&StackLock| {
            lock.name() == wanted
                || lock.node_red().to_string() == wanted
                || Arch::ALL.into_iter().any(|arch| lock.id(arch) == wanted)
        };
        let beginning = |lock: &&StackLock| {
            let version = lock.node_red().to_string();
            let rest = version.strip_prefix(wanted.trim_start_matches("node-red-"));
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let found = known.iter().find(exact).or_else(|| known.iter().find(beginning));
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(StackLock::name).collect();
            Problem::new(Code::Usage, format!("there is no stack `{wanted}`")).hint(format!(
                "choose one of {}, or give a lock file with `redhold stack fetch --lock FILE`",
                names.join(", ")
            ))
        })
    }

    /// The locks in this binary, the default first.
    ///
    /// # Errors
    /// When the binary is damaged.
    pub fn offered(&self) -> Result<Vec<StackLock>, Problem> {
        StackLock::builtin_names().map(built_in).collect()
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// When it cannot be read or is no lock.
    pub fn read(path: &Path) -> Result<StackLock, Problem> {
        let text = fs::read_to_string(path).map_err(|error| {
            Problem::new(
                Code::Usage,
                format!("cannot read the lock file {}", path.display()),
            )
            .because(error)
        })?;
        StackLock::parse(&text).map_err(|error| {
            Problem::new(Code::Usage, format!("{} cannot be used", path.display()))
                .because(error)
                .hint("write one with `redhold stack lock`")
        })
    }

    /// A ready stack for this machine, without network; none when it was not fetched.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, lock: &StackLock) -> Result<Option<Stack>, Problem> {
        self.find_for(lock, host_arch()?)
    }

    /// The same for another kind of machine.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find_for(&self, lock: &StackLock, arch: Arch) -> Result<Option<Stack>, Problem> {
        self.store.find(lock, arch).map_err(store_problem)
    }

    /// Puts damaged files back, as found by the store's `verify`.
    ///
    /// # Errors
    /// When they cannot be fetched or replaced.
    pub async fn repair(
        &self,
        lock: &StackLock,
        arch: Arch,
        changes: &[Change],
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        self.store
            .repair(lock, arch, changes, self.client()?, progress)
            .await
            .map_err(store_problem)
    }

    /// The stack, fetched if need be. Wants a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When it cannot be fetched, with what to do.
    pub async fn ensure(&self, lock: &StackLock, progress: &dyn Progress) -> Result<Stack, Problem> {
        self.ensure_for(lock, host_arch()?, progress).await
    }

    /// The same for another kind of machine.
    ///
    /// # Errors
    /// When it cannot be fetched, with what to do.
    pub async fn ensure_for(
        &self,
        lock: &StackLock,
        arch: Arch,
        progress: &dyn Progress,
    ) -> Result<Stack, Problem> {
        if let Some(stack) = self.store.find(lock, arch).map_err(store_problem)? {
            return Ok(stack);
        }
        self.store
            .ensure(lock, arch, self.client()?, progress)
            .await
            .map_err(store_problem)
    }

    /// The registry and proxies that npm's configuration names.
    ///
    /// # Errors
    /// When npm's configuration cannot be used.
    pub fn addresses(&self) -> Result<Addresses, Problem> {
        config()?.addresses().map_err(config_problem)
    }

    /// The client of the configured registries.
    ///
    /// # Errors
    /// When npm's configuration cannot be used.
    pub fn client(&self) -> Result<&Client, Problem> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(config()?).map_err(fetch_problem)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Ids of the offered stacks, for every kind of machine: one may be here to be carried to another.
    ///
    /// # Errors
    /// When a built-in lock is damaged.
    pub fn offered_ids(&self) -> Result<HashSet<String>, Problem> {
        let locks = self.offered()?;
        let ids = Arch::ALL
            .into_iter()
            .flat_map(|arch| locks.iter().map(move |lock| lock.id(arch)));
        Ok(ids.collect())
    }

    /// Offered stacks and those on the disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Problem> {
        let host = host_arch()?;
        let stored = self.store.list().map_err(store_problem)?;
        let mut all = Vec::new();
        let offered = self.offered_ids()?;
        for (index, lock) in self.offered()?.iter().enumerate() {
            let id = lock.id(host);
            let state = self.store.state(lock, host).map_err(store_problem)?;
            all.push(Listed {
                state: match state {
                    State::Ready => "ready",
                    State::Partial => "partial",
                    State::Absent => "absent",
                },
                default: index == 0,
                offered: true,
                in_use: stored.iter().any(|stored| stored.id == id && stored.in_use),
                ..listed(lock, host)
            });
        }
        for stored in stored {
            if all.iter().all(|listed| listed.id != stored.id) {
                all.push(Listed {
                    state: "ready",
                    offered: offered.contains(&stored.id),
                    in_use: stored.in_use,
                    ..listed(&stored.lock, stored.arch)
                });
            }
        }
        Ok(all)
    }
}

fn built_in(name: &str) -> Result<StackLock, Problem> {
    match StackLock::builtin(name) {
        Some(Ok(lock)) => Ok(lock),
        Some(Err(error)) => {
            Err(Problem::new(Code::Failed, format!("the built-in lock {name} is damaged")).because(error))
        }
        None => Err(Problem::new(
            Code::Failed,
            format!("there is no built-in lock {name}"),
        )),
    }
}

fn listed(lock: &StackLock, arch: Arch) -> Listed {
    Listed {
        name: lock.name().to_owned(),
        id: lock.id(arch),
        node_red: lock.node_red().to_string(),
        node: lock
            .node(arch)
            .map(|node| node.artifact.version.to_string())
            .unwrap_or_default(),
        npm: lock.npm().to_string(),
        arch: arch.name(),
        download: lock.packed(arch),
        size: lock.unpacked(arch),
        state: "absent",
        default: false,
        offered: false,
        in_use: false,
    }
}
