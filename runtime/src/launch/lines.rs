//! What the keeper says to its clients with the guest's words in it as they came, unread.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::record::RunRecord;

/// [`crate::record::Status`] with the guest's words as they came.
#[derive(Serialize)]
pub(super) struct StatusLine<'keeper> {
    pub(super) reply: &'static str,
    pub(super) run: &'keeper RunRecord,
    pub(super) last_beat_ms: Option<u64>,
    pub(super) guest_state: Option<&'keeper RawValue>,
    pub(super) memory: Option<u64>,
    pub(super) memory_peak: Option<u64>,
    pub(super) cpu_us: Option<u64>,
    pub(super) pids: Option<u64>,
}

/// [`crate::record::Event::Guest`] with the guest's words as they came.
#[derive(Serialize)]
pub(super) struct GuestLine<'message> {
    pub(super) event: &'static str,
    pub(super) message: &'message RawValue,
}

pub(super) fn guest_line(message: &RawValue) -> GuestLine<'_> {
    GuestLine {
        event: "guest",
        message,
    }
}
