//! Leads npm to the gate: what is put into the world of a process, and what is taken out of it.

use std::path::{Path, PathBuf};

use runtime::spec::{Access, InstanceSpec, Isolation, Mount, Network};

use super::session::SOCKET;

/// The gate's address as npm knows it. No name server has it: `gate.cjs` takes what goes there to the socket.
pub(super) const ADDRESS: &str = "http://gate.redhold.invalid";

/// Where npm sees the folder of the socket.
const INSIDE: &str = "/gate";

/// Makes the gate whose socket is in `folder` the only registry of the npm that `spec` starts. In namespaces it gets a
/// network with nothing in it, so that there is no other way out.
pub fn attach(spec: &mut InstanceSpec, folder: &Path) {
    show(spec, folder);
    let socket = inside(spec.isolation, folder);
    let guest = match spec.isolation {
        Isolation::Namespaces => {
            spec.network = Network::Loopback;
            "/redhold".into()
        }
        Isolation::Landlock => spec.run_dir.join("guest"),
    };
    let preload = guest.join("gate.cjs").to_string_lossy().into_owned();
    spec.program.args.splice(0..0, ["--require".to_owned(), preload]);
    // Registries, proxies and credentials are the gate's affair; `gate.cjs` sets what npm needs instead.
    spec.program.env.retain(|(name, _)| !leads_elsewhere(name));
    let socket = socket.to_string_lossy().into_owned();
    spec.program.env.push(("REDHOLD_GATE".to_owned(), socket));
}

/// Shows the folder of the socket to a process that starts npm itself.
pub fn show(spec: &mut InstanceSpec, folder: &Path) {
    match spec.isolation {
        Isolation::Namespaces => {
            // The folder, for the socket in it is another one after this program was started anew.
            spec.mounts.push(Mount {
                source: folder.to_owned(),
                target: INSIDE.into(),
                access: Access::ReadOnly,
                optional: false,
            });
        }
        Isolation::Landlock => {}
    }
}

/// The socket as a process will see it that it is shown to.
#[must_use]
pub fn inside(isolation: Isolation, folder: &Path) -> PathBuf {
    match isolation {
        Isolation::Namespaces => Path::new(INSIDE).join(SOCKET),
        Isolation::Landlock => folder.join(SOCKET),
    }
}

fn leads_elsewhere(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if let Some(key) = name.strip_prefix("npm_config_") {
        let key = key.replace('-', "_");
        return key.contains("registry")
            || key.contains("proxy")
            || key.starts_with("//")
            || ["ca", "cafile", "userconfig", "globalconfig", "strict_ssl"].contains(&key.as_str());
    }
    ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "proxy"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::leads_elsewhere;

    #[test]
    fn what_names_registries_and_who_may_use_them_stays_outside() {
        for name in [
            "npm_config_registry",
            "NPM_CONFIG_@team:registry",
            "npm_config_//r.test/:_authToken",
            "HTTPS_PROXY",
            "npm_config_https-proxy",
        ] {
            assert!(leads_elsewhere(name), "{name}");
        }
        for name in ["PATH", "npm_config_fund", "TZ"] {
            assert!(!leads_elsewhere(name), "{name}");
        }
    }
}
