//! Extended attributes of files, read only.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The value of attribute `name` of `path`, at most 256 bytes of it.
///
/// # Errors
/// As `getxattr(2)`: `ENODATA` when it is not set, `ERANGE` when it is longer.
pub(crate) fn get(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = CString::new(name)?;
    let mut value = vec![0u8; 256];
    // SAFETY: both names are NUL-terminated and outlive the call; the kernel writes at most `value.len()` bytes.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    value.truncate(length);
    Ok(value)
}
