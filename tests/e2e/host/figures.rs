//! What the host says about itself to programs: figures, and the description of its interface.

use serde_json::{Value, json};
use test_support::client;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};

use super::hello;

#[test]
fn figures_of_everything() {
    let host = Host::start();
    host.create("pump", &hello(), &json!({ "limits": { "memoryMib": 256 } }));
    host.get("pump", "/run").expect("an answer");
    let token = host.token();
    let url = format!("http://127.0.0.1:{}/metrics", host.port());
    assert_eq!(
        client::request("GET", &url, &[], Vec::new())
            .expect("an answer")
            .status,
        401
    );
    let text = eventually("figures", SOON, || {
        let answer = client::request("GET", &url, &[("authorization", &token)], Vec::new())?;
        let text = answer.text();
        let up = text
            .lines()
            .any(|line| line.starts_with("redhold_instance_up{") && line.ends_with(" 1"));
        if up { Ok(text) } else { Err(text) }
    });
    let value = |name: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit_once(' ')
            .expect("a value")
            .1
            .parse()
            .expect("a number")
    };
    assert_eq!(value("redhold_instances"), 1.0);
    assert_eq!(
        value("redhold_instance_memory_limit_bytes{"),
        f64::from(256 << 20)
    );
    assert!(value("redhold_instance_memory_bytes{") > 10e6);
    assert!(value("redhold_instance_cpu_seconds_total{") > 0.01);
    assert!(value("redhold_instance_tasks{") >= 5.0);
    assert!(value("redhold_front_answers_total{class=\"2xx\"}") >= 1.0);
    assert!(value("redhold_supervisor_resident_bytes") > 1e6);
    assert!(text.contains("redhold_instance_state{instance=\"pump\",state=\"running\"} 1"));
    // Every family says what it is, once.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    }
}

#[test]
fn the_interface_describes_itself() {
    let host = Host::start();
    let document = host
        .ask("GET", "/openapi.json", &Value::Null)
        .expect("a description");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() >= 12, "{:?}", paths.keys());
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(
                operation["responses"]
                    .as_object()
                    .is_some_and(|all| !all.is_empty()),
                "{method} {path}"
            );
            // Whatever it names in its path, it explains.
            for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                let known = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|one| one["name"] == name);
                assert!(known, "{method} {path} does not explain {name}");
            }
        }
    }
}
