//! A request's body on its way to whoever takes it.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// A request's body; a client that falls silent in the middle is given up.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    limit: Duration,
    /// Only while it is waited for: most requests have no body.
    timer: Option<Pin<Box<Sleep>>>,
    progress: Option<Progress>,
}

/// When the last piece of a body was taken.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// A body that breaks off after `limit` without a piece from the client, while one is waited for.
    #[must_use]
    pub fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body,
            limit,
            timer: None,
            progress: None,
        }
    }

    /// Tells from now on when the last piece was taken; nothing where there is nothing to send.
    pub(super) fn progress(&mut self) -> Option<Progress> {
        if self.body.is_end_stream() {
            return None;
        }
        self.progress = Some(Progress(Arc::new(Mutex::new(Instant::now()))));
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            if let Some(Progress(last)) = &self.progress {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the client fell silent".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
