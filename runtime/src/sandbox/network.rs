//! The network of the process: the host's, or a namespace of its own that holds only the loopback device.

use crate::error::{During, StepError};
use crate::spec::Network;
use crate::sys::network::loopback_up;

/// Makes 127.0.0.1 work inside a namespace of its own.
///
/// # Errors
/// The kernel's.
pub(crate) fn prepare(network: Network) -> Result<(), StepError> {
    match network {
        Network::Host => Ok(()),
        Network::Isolated => loopback_up().during("switch on the loopback device of the instance"),
    }
}
