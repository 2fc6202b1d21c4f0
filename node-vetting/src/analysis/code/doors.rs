//! What the functions of Node.js, of well-known packages and of Node-RED do to the world.
//!
//! One line a function: its meaning as `names` writes it, what it can do, and how the scope of that is read from
//! its arguments. Reviewed data: a missing line is a blind spot, a wrong one a false alarm.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::capability::Kind;

/// How the scope is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// There is none.
    None,
    /// It is always this.
    Is(&'static str),
    /// The host of an address, or of an object that has `host`, `hostname`, `url` or `uri`, as n-th argument.
    Host(usize),
    /// The class of the path that is the n-th argument.
    Path(usize),
    /// The program that is the first argument.
    Program,
    /// The first word of the command line that is the first argument.
    Line,
    /// The text that is the first argument: `literal` or `computed`.
    Code,
    /// The text of the n-th argument.
    Text(usize),
}

/// A function, what it does, and to what.
type Door = (&'static str, Kind, Scope);

const DOORS: &[Door] = &[
    // Programs.
    ("child_process.exec", Kind::ProcSpawn, Scope::Line),
    ("child_process.execSync", Kind::ProcSpawn, Scope::Line),
    ("child_process.execFile", Kind::ProcSpawn, Scope::Program),
    ("child_process.execFileSync", Kind::ProcSpawn, Scope::Program),
    ("child_process.spawn", Kind::ProcSpawn, Scope::Program),
    ("child_process.spawnSync", Kind::ProcSpawn, Scope::Program),
    ("child_process.fork", Kind::ProcSpawn, Scope::Is("node")),
    (
        "child_process.ChildProcess",
        Kind::ProcSpawn,
        Scope::Is("computed"),
    ),
    (
        "process.binding(spawn_sync)",
        Kind::ProcSpawn,
        Scope::Is("computed"),
    ),
    (
        "process.binding(process_wrap)",
        Kind::ProcSpawn,
        Scope::Is("computed"),
    ),
    ("process._linkedBinding", Kind::CodeNative, Scope::None),
    ("cluster.fork", Kind::ProcSpawn, Scope::Is("node")),
    ("npm:cross-spawn", Kind::ProcSpawn, Scope::Program),
    ("npm:cross-spawn.sync", Kind::ProcSpawn, Scope::Program),
    ("npm:execa", Kind::ProcSpawn, Scope::Program),
    ("npm:execa.execa", Kind::ProcSpawn, Scope::Program),
    ("npm:execa.sync", Kind::ProcSpawn, Scope::Program),
    ("npm:execa.command", Kind::ProcSpawn, Scope::Line),
    ("npm:execa.shell", Kind::ProcSpawn, Scope::Line),
    ("npm:shelljs.exec", Kind::ProcSpawn, Scope::Line),
    ("npm:node-pty.spawn", Kind::ProcSpawn, Scope::Program),
    ("npm:child_process.exec", Kind::ProcSpawn, Scope::Line),
    ("npm:node-cmd.run", Kind::ProcSpawn, Scope::Line),
    ("npm:node-cmd.get", Kind::ProcSpawn, Scope::Line),
    ("npm:sudo-prompt.exec", Kind::ProcSpawn, Scope::Line),
    ("npm:open", Kind::ProcSpawn, Scope::Is("computed")),
    ("npm:opn", Kind::ProcSpawn, Scope::Is("computed")),
    (
        "npm:python-shell.PythonShell.run",
        Kind::ProcSpawn,
        Scope::Is("python"),
    ),
    ("npm:python-shell.run", Kind::ProcSpawn, Scope::Is("python")),
    // The process itself.
    ("process.exit", Kind::ProcExit, Scope::None),
    ("process.abort", Kind::ProcExit, Scope::None),
    ("process.reallyExit", Kind::ProcExit, Scope::None),
    ("process.kill", Kind::ProcSignal, Scope::None),
    ("process.setuid", Kind::ProcUid, Scope::None),
    ("process.setgid", Kind::ProcUid, Scope::None),
    ("process.seteuid", Kind::ProcUid, Scope::None),
    ("process.setegid", Kind::ProcUid, Scope::None),
    ("process.setgroups", Kind::ProcUid, Scope::None),
    ("process.initgroups", Kind::ProcUid, Scope::None),
    ("worker_threads.Worker", Kind::Worker, Scope::None),
    // Code.
    ("eval", Kind::CodeEval, Scope::Code),
    ("eval.call", Kind::CodeEval, Scope::Is("computed")),
    ("Function", Kind::CodeEval, Scope::Code),
    ("Function.apply", Kind::CodeEval, Scope::Is("computed")),
    ("Function.call", Kind::CodeEval, Scope::Is("computed")),
    ("execScript", Kind::CodeEval, Scope::Code),
    ("vm.runInThisContext", Kind::CodeVm, Scope::Code),
    ("vm.runInNewContext", Kind::CodeVm, Scope::Code),
    ("vm.runInContext", Kind::CodeVm, Scope::Code),
    ("vm.compileFunction", Kind::CodeVm, Scope::Code),
    ("vm.Script", Kind::CodeVm, Scope::Code),
    ("vm.SourceTextModule", Kind::CodeVm, Scope::Code),
    ("npm:vm2.VM", Kind::CodeVm, Scope::Is("computed")),
    ("npm:vm2.NodeVM", Kind::CodeVm, Scope::Is("computed")),
    ("npm:isolated-vm.Isolate", Kind::CodeVm, Scope::Is("computed")),
    ("npm:require-from-string", Kind::CodeEval, Scope::Code),
    ("npm:import-fresh", Kind::CodeDynamicRequire, Scope::None),
    ("module._compile", Kind::CodeEval, Scope::Code),
    ("module.Module._compile", Kind::CodeEval, Scope::Code),
    ("inspector.open", Kind::CodeModuleHook, Scope::None),
    ("inspector.Session", Kind::CodeModuleHook, Scope::None),
    ("module.register", Kind::CodeModuleHook, Scope::None),
    ("module.registerHooks", Kind::CodeModuleHook, Scope::None),
    ("module.Module.register", Kind::CodeModuleHook, Scope::None),
    ("npm:pirates.addHook", Kind::CodeModuleHook, Scope::None),
    ("npm:require-in-the-middle", Kind::CodeModuleHook, Scope::None),
    ("process.dlopen", Kind::CodeNative, Scope::None),
    ("npm:bindings", Kind::CodeNative, Scope::None),
    ("npm:node-gyp-build", Kind::CodeNative, Scope::None),
    ("npm:prebuild-install", Kind::CodeNative, Scope::None),
    ("npm:@mapbox/node-pre-gyp.find", Kind::CodeNative, Scope::None),
    ("npm:node-pre-gyp.find", Kind::CodeNative, Scope::None),
    ("npm:ffi-napi.Library", Kind::CodeNative, Scope::None),
    ("npm:koffi.load", Kind::CodeNative, Scope::None),
    ("WebAssembly.instantiate", Kind::CodeWasm, Scope::None),
    ("WebAssembly.instantiateStreaming", Kind::CodeWasm, Scope::None),
    ("WebAssembly.compile", Kind::CodeWasm, Scope::None),
    ("WebAssembly.compileStreaming", Kind::CodeWasm, Scope::None),
    ("WebAssembly.Module", Kind::CodeWasm, Scope::None),
    ("WebAssembly.Instance", Kind::CodeWasm, Scope::None),
    // The network.
    ("http.request", Kind::NetConnect, Scope::Host(0)),
    ("http.get", Kind::NetConnect, Scope::Host(0)),
    ("https.request", Kind::NetConnect, Scope::Host(0)),
    ("https.get", Kind::NetConnect, Scope::Host(0)),
    ("http2.connect", Kind::NetConnect, Scope::Host(0)),
    ("net.connect", Kind::NetConnect, Scope::Host(0)),
    ("net.createConnection", Kind::NetConnect, Scope::Host(0)),
    ("net.Socket", Kind::NetConnect, Scope::Is("computed")),
    ("net.Socket.connect", Kind::NetConnect, Scope::Host(0)),
    ("tls.connect", Kind::NetConnect, Scope::Host(0)),
    ("tls.TLSSocket", Kind::NetConnect, Scope::Is("computed")),
    (
        "process.binding(tcp_wrap)",
        Kind::NetConnect,
        Scope::Is("computed"),
    ),
    ("fetch", Kind::NetConnect, Scope::Host(0)),
    ("XMLHttpRequest", Kind::NetConnect, Scope::Is("computed")),
    ("WebSocket", Kind::NetConnect, Scope::Host(0)),
    ("EventSource", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.get", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.post", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.put", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.patch", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.delete", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.request", Kind::NetConnect, Scope::Host(0)),
    ("npm:axios.create", Kind::NetConnect, Scope::Host(0)),
    ("npm:request", Kind::NetConnect, Scope::Host(0)),
    ("npm:request.get", Kind::NetConnect, Scope::Host(0)),
    ("npm:request.post", Kind::NetConnect, Scope::Host(0)),
    ("npm:request.put", Kind::NetConnect, Scope::Host(0)),
    ("npm:request-promise", Kind::NetConnect, Scope::Host(0)),
    ("npm:got", Kind::NetConnect, Scope::Host(0)),
    ("npm:got.get", Kind::NetConnect, Scope::Host(0)),
    ("npm:got.post", Kind::NetConnect, Scope::Host(0)),
    ("npm:got.stream", Kind::NetConnect, Scope::Host(0)),
    ("npm:node-fetch", Kind::NetConnect, Scope::Host(0)),
    ("npm:cross-fetch", Kind::NetConnect, Scope::Host(0)),
    ("npm:undici.fetch", Kind::NetConnect, Scope::Host(0)),
    ("npm:undici.request", Kind::NetConnect, Scope::Host(0)),
    ("npm:superagent.get", Kind::NetConnect, Scope::Host(0)),
    ("npm:superagent.post", Kind::NetConnect, Scope::Host(0)),
    ("npm:needle", Kind::NetConnect, Scope::Host(1)),
    ("npm:needle.get", Kind::NetConnect, Scope::Host(0)),
    ("npm:needle.post", Kind::NetConnect, Scope::Host(0)),
    ("npm:bent", Kind::NetConnect, Scope::Host(0)),
    ("npm:ws", Kind::NetConnect, Scope::Host(0)),
    ("npm:ws.WebSocket", Kind::NetConnect, Scope::Host(0)),
    ("npm:mqtt.connect", Kind::NetConnect, Scope::Host(0)),
    ("npm:socket.io-client", Kind::NetConnect, Scope::Host(0)),
    ("npm:nodemailer.createTransport", Kind::NetConnect, Scope::Host(0)),
    ("http.createServer", Kind::NetListen, Scope::None),
    ("http.Server", Kind::NetListen, Scope::None),
    ("https.createServer", Kind::NetListen, Scope::None),
    ("http2.createServer", Kind::NetListen, Scope::None),
    ("http2.createSecureServer", Kind::NetListen, Scope::None),
    ("net.createServer", Kind::NetListen, Scope::None),
    ("net.Server", Kind::NetListen, Scope::None),
    ("tls.createServer", Kind::NetListen, Scope::None),
    ("npm:express.listen", Kind::NetListen, Scope::None),
    ("npm:ws.Server", Kind::NetListen, Scope::None),
    ("npm:ws.WebSocketServer", Kind::NetListen, Scope::None),
    ("dgram.createSocket", Kind::NetUdp, Scope::Is("computed")),
    ("dgram.Socket", Kind::NetUdp, Scope::Is("computed")),
    ("dns.lookup", Kind::NetDns, Scope::Host(0)),
    ("dns.resolve", Kind::NetDns, Scope::Host(0)),
    ("dns.resolve4", Kind::NetDns, Scope::Host(0)),
    ("dns.resolve6", Kind::NetDns, Scope::Host(0)),
    ("dns.resolveTxt", Kind::NetDns, Scope::Host(0)),
    ("dns.resolveMx", Kind::NetDns, Scope::Host(0)),
    ("dns.resolveSrv", Kind::NetDns, Scope::Host(0)),
    ("dns.resolveCname", Kind::NetDns, Scope::Host(0)),
    ("dns.resolveAny", Kind::NetDns, Scope::Host(0)),
    ("dns.reverse", Kind::NetDns, Scope::Host(0)),
    ("dns.setServers", Kind::NetDns, Scope::Is("computed")),
    ("dns.Resolver", Kind::NetDns, Scope::Is("computed")),
    // The machine.
    ("os.hostname", Kind::OsIdentity, Scope::Is("host name")),
    ("os.userInfo", Kind::OsIdentity, Scope::Is("user")),
    (
        "os.networkInterfaces",
        Kind::OsIdentity,
        Scope::Is("network interfaces"),
    ),
    (
        "npm:node-machine-id.machineId",
        Kind::OsIdentity,
        Scope::Is("machine id"),
    ),
    (
        "npm:node-machine-id.machineIdSync",
        Kind::OsIdentity,
        Scope::Is("machine id"),
    ),
    (
        "npm:macaddress.one",
        Kind::OsIdentity,
        Scope::Is("network interfaces"),
    ),
    // Node-RED.
    ("RED.nodes.eachNode", Kind::RedFlowsRead, Scope::None),
    ("RED.nodes.getFlows", Kind::RedFlowsRead, Scope::None),
    ("RED.nodes.getFlow", Kind::RedFlowsRead, Scope::None),
    ("RED.runtime.flows.getFlows", Kind::RedFlowsRead, Scope::None),
    ("RED.nodes.setFlows", Kind::RedFlowsWrite, Scope::None),
    ("RED.nodes.addFlow", Kind::RedFlowsWrite, Scope::None),
    ("RED.nodes.updateFlow", Kind::RedFlowsWrite, Scope::None),
    ("RED.nodes.removeFlow", Kind::RedFlowsWrite, Scope::None),
    ("RED.runtime.flows.setFlows", Kind::RedFlowsWrite, Scope::None),
    (
        "RED.nodes.getCredentials",
        Kind::RedCredentials,
        Scope::Is("other"),
    ),
    (
        "RED.nodes.addCredentials",
        Kind::RedCredentials,
        Scope::Is("other"),
    ),
    ("RED.hooks.add", Kind::RedHooks, Scope::Text(0)),
    ("RED.events.on", Kind::RedEvents, Scope::Text(0)),
    ("RED.events.once", Kind::RedEvents, Scope::Text(0)),
    ("RED.log.addHandler", Kind::RedLogHandler, Scope::None),
    ("RED.storage.getFlows", Kind::RedStorage, Scope::None),
    ("RED.storage.saveFlows", Kind::RedStorage, Scope::None),
];

/// Functions of the file system by their own names, without `Sync`; they exist in several modules.
const FILES: &[(&str, Kind, Scope)] = &[
    ("readFile", Kind::FsRead, Scope::Path(0)),
    ("createReadStream", Kind::FsRead, Scope::Path(0)),
    ("open", Kind::FsRead, Scope::Path(0)),
    ("readdir", Kind::FsRead, Scope::Path(0)),
    ("opendir", Kind::FsRead, Scope::Path(0)),
    ("readlink", Kind::FsRead, Scope::Path(0)),
    ("glob", Kind::FsRead, Scope::Path(0)),
    ("openAsBlob", Kind::FsRead, Scope::Path(0)),
    ("readJson", Kind::FsRead, Scope::Path(0)),
    ("readJSON", Kind::FsRead, Scope::Path(0)),
    ("writeFile", Kind::FsWrite, Scope::Path(0)),
    ("appendFile", Kind::FsWrite, Scope::Path(0)),
    ("createWriteStream", Kind::FsWrite, Scope::Path(0)),
    ("mkdir", Kind::FsWrite, Scope::Path(0)),
    ("mkdtemp", Kind::FsWrite, Scope::Path(0)),
    ("rename", Kind::FsWrite, Scope::Path(1)),
    ("copyFile", Kind::FsWrite, Scope::Path(1)),
    ("cp", Kind::FsWrite, Scope::Path(1)),
    ("symlink", Kind::FsWrite, Scope::Path(1)),
    ("link", Kind::FsWrite, Scope::Path(1)),
    ("truncate", Kind::FsWrite, Scope::Path(0)),
    ("outputFile", Kind::FsWrite, Scope::Path(0)),
    ("writeJson", Kind::FsWrite, Scope::Path(0)),
    ("writeJSON", Kind::FsWrite, Scope::Path(0)),
    ("ensureDir", Kind::FsWrite, Scope::Path(0)),
    ("copy", Kind::FsWrite, Scope::Path(1)),
    ("move", Kind::FsWrite, Scope::Path(1)),
    ("mkdirp", Kind::FsWrite, Scope::Path(0)),
    ("unlink", Kind::FsDelete, Scope::Path(0)),
    ("rm", Kind::FsDelete, Scope::Path(0)),
    ("rmdir", Kind::FsDelete, Scope::Path(0)),
    ("remove", Kind::FsDelete, Scope::Path(0)),
    ("emptyDir", Kind::FsDelete, Scope::Path(0)),
    ("watch", Kind::FsWatch, Scope::Path(0)),
    ("watchFile", Kind::FsWatch, Scope::Path(0)),
    ("chmod", Kind::FsExecutable, Scope::Path(0)),
    ("lchmod", Kind::FsExecutable, Scope::Path(0)),
];
const FILE_MODULES: [&str; 6] = [
    "fs.",
    "fs.promises.",
    "npm:fs-extra.",
    "npm:graceful-fs.",
    "npm:rimraf.",
    "npm:mz/fs.",
];

/// Modules that are power in themselves: handing them on is worth knowing.
pub(crate) const POWERFUL: [(&str, Kind); 4] = [
    ("child_process", Kind::ProcSpawn),
    ("vm", Kind::CodeVm),
    ("worker_threads", Kind::Worker),
    ("inspector", Kind::CodeModuleHook),
];

/// What a function does.
pub(crate) fn door(name: &str) -> Option<(Kind, Scope)> {
    if let Some(of_files) = file_door(name) {
        return Some(of_files);
    }
    if let Some(rest) = name.strip_prefix("dns.promises.") {
        return door(&format!("dns.{rest}"));
    }
    static INDEX: LazyLock<HashMap<&str, (Kind, Scope)>> = LazyLock::new(|| {
        DOORS
            .iter()
            .map(|(name, kind, scope)| (*name, (*kind, *scope)))
            .collect()
    });
    INDEX.get(name).copied()
}

fn file_door(name: &str) -> Option<(Kind, Scope)> {
    if matches!(name, "npm:rimraf" | "npm:del" | "npm:rimraf.rimraf") {
        return Some((Kind::FsDelete, Scope::Path(0)));
    }
    if name == "npm:chokidar.watch" {
        return Some((Kind::FsWatch, Scope::Path(0)));
    }
    let function = FILE_MODULES
        .iter()
        .filter_map(|module| name.strip_prefix(module))
        .find(|rest| !rest.contains('.'))?;
    let function = function.strip_suffix("Sync").unwrap_or(function);
    let found = FILES.iter().find(|(door, _, _)| *door == function)?;
    Some((found.1, found.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_doors() {
        for (name, kind) in [
            ("fs.readFileSync", Some(Kind::FsRead)),
            ("fs.promises.rm", Some(Kind::FsDelete)),
            ("npm:fs-extra.outputFile", Some(Kind::FsWrite)),
            ("fs.stat", None),
            ("fs.constants.open", None),
            ("dns.promises.resolve", Some(Kind::NetDns)),
            ("child_process.exec", Some(Kind::ProcSpawn)),
            ("RegExp.exec", None),
        ] {
            assert_eq!(door(name).map(|(kind, _)| kind), kind, "{name}");
        }
    }

    #[test]
    fn no_door_stands_twice() {
        let mut names: Vec<&str> = DOORS.iter().map(|(name, _, _)| *name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
