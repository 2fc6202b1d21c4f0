//! How Node.js is started: its flags, then the launcher, then Node-RED's own arguments.

use runtime::spec::Limits;
use runtime::units::Bytes;

use super::{Inside, PrepareError, Wanted};

/// Least memory limit with which Node-RED starts at all: its heap, the code of Node.js it touches, and npm's probe.
const LEAST_MEMORY: Bytes = Bytes::mib(96);

/// The flags of Node.js for a limit.
pub(super) fn node(limits: &Limits) -> Vec<String> {
    let mut flags: Vec<String> = [
        // Caps the young generation. After a burst of requests 73 MB stay instead of 125 to 180, at the same CPU
        // per request; 1 costs CPU, 4 and 8 keep more.
        "--max-semi-space-size=2",
        // Two cores' worth of compile and collect threads per instance help nobody when many share a machine;
        // each costs a stack and an arena. 0 means "choose" to V8.
        "--v8-pool-size=1",
        // SIGUSR1 opens the inspector, on loopback unless told otherwise: on the host's network for everybody to
        // find. A listener on the broadcast address is bound and never reached: connecting to it fails with
        // ENETUNREACH, and Linux answers no SYN that was sent to it. Only the interruption is wanted (stack.cjs).
        "--inspect-port=255.255.255.255:0",
        // Not on standard error, which is the instance's log.
        "--inspect-publish-uid=http",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(limit) = limits.memory {
        // The heap must fail before the limit does: V8 then collects harder and reports, where the kernel only
        // kills. The rest is code, buffers, thread stacks and a palette install beside it.
        flags.push(format!("--max-old-space-size={}", limit.as_mib() * 7 / 10));
    }
    flags
}

/// The arguments of Node.js.
pub(super) fn arguments(wanted: &Wanted<'_>, inside: &Inside) -> Result<Vec<String>, PrepareError> {
    if let Some(limit) = wanted.limits.memory
        && limit < LEAST_MEMORY
    {
        return Err(PrepareError::Memory(limit, LEAST_MEMORY));
    }
    let mut arguments = node(&wanted.limits);
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    arguments.push(text(&inside.guest.join("main.cjs")));
    arguments.push("--settings".to_owned());
    arguments.push(text(&inside.guest.join("settings.cjs")));
    arguments.push("--userDir".to_owned());
    arguments.push(text(&inside.data));
    Ok(arguments)
}
