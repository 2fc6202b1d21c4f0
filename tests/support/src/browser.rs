//! A real browser: headless Chromium over its DevTools protocol.
//!
//! The protocol is JSON over one WebSocket; the handful of calls that the tests need is smaller than any driver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::websocket::WebSocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// The names under which distributions install it.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    socket: WebSocket,
    session: String,
    calls: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; `None` when the machine has none.
    ///
    /// # Panics
    /// When it starts but cannot be driven.
    #[must_use]
    pub fn start() -> Option<Self> {
        let profile = tempfile::tempdir().expect("a profile folder");
        let mut child = NAMES.iter().find_map(|name| launch(name, profile.path()).ok())?;
        let mut said = BufReader::new(child.stderr.take().expect("its messages"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(
                said.read_line(&mut line).expect("its messages") > 0,
                "the browser ended"
            );
            if let Some((_, address)) = line.split_once("DevTools listening on ") {
                break address.trim().to_owned();
            }
        };
        // It writes on while it runs; a full pipe would stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let socket = WebSocket::open(&address, &[]).expect("the browser's socket");
        let mut browser = Self {
            child,
            socket,
            session: String::new(),
            calls: 0,
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Page.enable", &json!({}));
        let size = json!({ "width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", &size);
        Some(browser)
    }

    /// Goes to a page.
    pub fn go(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
    }

    /// The value of a JavaScript expression; a promise is awaited.
    ///
    /// # Errors
    /// When it throws, in words.
    pub fn eval(&mut self, expression: &str) -> Result<Value, String> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &params);
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown["exception"]["description"]
                .as_str()
                .unwrap_or("?")
                .to_owned()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until a JavaScript expression is truthy.
    ///
    /// # Panics
    /// When it never is.
    pub fn wait_for(&mut self, expression: &str) {
        eventually(expression, PATIENCE, || {
            match self.eval(&format!("Boolean({expression})")) {
                Ok(Value::Bool(true)) => Ok(()),
                other => Err(other),
            }
        });
    }

    /// Clicks in the middle of what a CSS selector finds first, as a mouse does.
    ///
    /// # Panics
    /// When nothing is found.
    pub fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        self.wait_for(&format!("document.querySelector({selector})"));
        let place = self
            .eval(&format!(
                "(() => {{ const r = document.querySelector({selector}).getBoundingClientRect(); \
                 return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
            ))
            .expect("its place");
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Saves what the page shows as a PNG.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn screenshot(&mut self, file: &Path) {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(picture["data"].as_str().expect("a picture"))
            .expect("a picture in base64");
        std::fs::write(file, bytes).expect("the picture's file");
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket
            .send(&message.to_string())
            .expect("the browser listens");
        let answer = self.socket.until(PATIENCE, |text| {
            serde_json::from_str::<Value>(text).is_ok_and(|answer| answer["id"] == id)
        });
        let answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
        let answer: Value = serde_json::from_str(&answer).expect("the browser speaks JSON");
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(name: &str, profile: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(name);
    command
        .args(["--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu"])
        // A browser must not call home from a test, and root has no sandbox of its own to give it.
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn()
}
