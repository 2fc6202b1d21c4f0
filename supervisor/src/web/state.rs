//! What handlers can reach.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use crate::acme::Shelf;
use crate::alerts::Alerts;
use crate::audit::By;
use crate::exceptions::Exceptions;
use crate::instances::Instances;
use crate::instances::networks::NetworksView;
use crate::problem::{Code, Problem};
use crate::proxy::Answers;
use crate::shutdown::Tasks;
use crate::stacks::Stacks;
use crate::store::Store;

/// Shared by all handlers.
#[derive(Clone, Debug)]
pub struct AppState {
    /// All instances.
    pub instances: Arc<Instances>,
    /// The store.
    pub store: Store,
    /// The stacks.
    pub stacks: Arc<Stacks>,
    /// Everything on the disk.
    pub data_dir: PathBuf,
    /// Who owns what is begun here.
    pub tasks: Tasks,
    /// What the front has answered, as soon as there is one.
    pub answers: Arc<OnceLock<Answers>>,
    /// How instances are addressed.
    pub addresses: Addresses,
    /// Waivers, and what became of them.
    pub exceptions: Arc<Exceptions>,
    /// Who is told of what happens to instances.
    pub alerts: Arc<Alerts>,
    /// Certificates of an authority that speaks ACME, where the host has one.
    pub certificates: Option<Arc<Shelf>>,
    /// What instances are connected to.
    pub networks: NetworksView,
}

/// How instances are addressed from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host's own name.
    pub domain: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
}

impl Addresses {
    /// Of an instance.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{name}.{}{port}/", self.scheme, self.domain)
    }
}

impl AppState {
    /// Runs a change to its end, whoever waits for it.
    ///
    /// # Errors
    /// The change's own, or that the host is stopping.
    pub async fn change<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        self.tasks.finish(work).await.unwrap_or_else(|| {
            Err(Problem::new(Code::Busy, "this host is stopping").hint("try again when it is back"))
        })
    }
}

/// Runs what reads files, or the store at length, where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(Code::Failed, "a task of the host broke off").because(error))
}

/// Who asks, as the listener found out; every request carries one.
#[derive(Clone, Debug)]
pub struct Asker(pub By);

/// The way to whoever puts a newer supervisor in the place of this one.
#[derive(Clone, Debug)]
pub struct Upgrades(pub mpsc::Sender<Wish>);

/// That a newer supervisor take the place of this one.
#[derive(Debug)]
pub struct Wish {
    /// Who wants it.
    pub by: By,
    /// The program; without one, the file from which this supervisor was started.
    pub binary: Option<PathBuf>,
    /// Told how it went.
    pub answer: oneshot::Sender<Result<Upgraded, Problem>>,
}

impl Wish {
    /// A wish, and how it went.
    #[must_use]
    pub fn of(by: By, binary: Option<PathBuf>) -> (Self, oneshot::Receiver<Result<Upgraded, Problem>>) {
        let (answer, answered) = oneshot::channel();
        (Self { by, binary, answer }, answered)
    }
}

/// The supervisor that has taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upgraded {
    /// What it says that it is.
    pub version: String,
    /// Its process number.
    pub pid: i32,
    /// How long nobody took changes, in milliseconds.
    pub paused_ms: u64,
}
