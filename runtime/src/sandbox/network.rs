//! The network of the process, seen from inside: the host's, or a namespace of its own that holds only the loopback
//! device, or one with a cable to the host ([`super::cable`]).

use crate::error::{During, StepError};
use crate::spec::Network;
use crate::sys::network::loopback_up;

/// Makes 127.0.0.1 work inside a namespace of its own.
///
/// # Errors
/// The kernel's.
pub(crate) fn prepare(network: &Network) -> Result<(), StepError> {
    match network {
        // The keeper has prepared the one with a cable.
        Network::Host | Network::Lesser(_) | Network::Filtered(_) => Ok(()),
        Network::Loopback => loopback_up().during("switch on the loopback device of the instance"),
    }
}
