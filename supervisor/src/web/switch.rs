//! The interface as something that can be taken away and put back, while connections to it live on.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::errors;

/// Off at first.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<RwLock<Option<Current>>>);

#[derive(Clone, Debug)]
struct Current {
    router: Router,
    cut: CancellationToken,
}

impl Switch {
    /// From now on, this answers.
    pub fn on(&self, router: Router) {
        let current = Current {
            router,
            cut: CancellationToken::new(),
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }

    /// From now on, nobody answers but to say so. Requests under way go on until the token is cancelled.
    #[must_use]
    pub fn off(&self) -> CancellationToken {
        let current = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        current.map(|current| current.cut).unwrap_or_default()
    }

    pub(super) async fn answer(self, request: Request) -> Response {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Current { mut router, cut }) = current else {
            return busy();
        };
        tokio::select! {
            answered = router.call(request) => {
                let Ok(response) = answered;
                response
            }
            () = cut.cancelled() => busy(),
        }
    }
}

fn busy() -> Response {
    let mut response = errors::answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "this host is being upgraded and takes no requests to its interface",
        Some("try again in a moment; instances go on meanwhile"),
    );
    let seconds = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;

    use super::*;

    async fn ask(switch: &Switch, path: &str) -> StatusCode {
        let request = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a request");
        switch.clone().answer(request).await.status()
    }

    #[tokio::test]
    async fn what_is_under_way_goes_on_until_it_is_cut() {
        let switch = Switch::default();
        assert_eq!(ask(&switch, "/").await, StatusCode::SERVICE_UNAVAILABLE);
        let (began, mut begun) = tokio::sync::mpsc::channel::<()>(1);
        let router = Router::new().route("/", get(async || "")).route(
            "/never",
            get(async move || {
                began.send(()).await.ok();
                std::future::pending::<()>().await;
            }),
        );
        switch.on(router);
        assert_eq!(ask(&switch, "/").await, StatusCode::OK);
        let waiting = switch.clone();
        let waiting = tokio::spawn(async move { ask(&waiting, "/never").await });
        begun.recv().await.expect("it began");
        let off = switch.off();
        assert_eq!(ask(&switch, "/").await, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!waiting.is_finished());
        off.cancel();
        assert_eq!(waiting.await.expect("an answer"), StatusCode::SERVICE_UNAVAILABLE);
    }
}
