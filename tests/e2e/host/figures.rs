//! What the host says about itself to programs: figures, and the description of its interface.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use test_support::client;
use test_support::eventually::eventually;
use test_support::exposition::{self, Sample};
use test_support::host::{Host, SOON};

use super::hello;

#[test]
fn figures_of_everything() {
    let host = Host::start();
    let id = host.create("pump", &hello(), &json!({ "limits": { "memoryMib": 256 } }));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs_f64();
    host.get("pump", "/run").expect("an answer");
    let token = host.token();
    let url = format!("http://127.0.0.1:{}/metrics", host.port());
    assert_eq!(
        client::request("GET", &url, &[], Vec::new())
            .expect("an answer")
            .status,
        401
    );
    let samples = eventually("figures", SOON, || {
        let answer = client::request("GET", &url, &[("authorization", &token)], Vec::new())?;
        let samples = exposition::read(&answer.text()).expect("text as Prometheus wants it");
        let up = |name: &str| samples.iter().any(|one| one.name == name && one.value >= 1.0);
        let all = up("redhold_instance_up") && up("redhold_instance_messages_total");
        if all { Ok(samples) } else { Err(answer.text()) }
    });
    let value = |name: &str, labels: &[(&str, &str)]| -> f64 {
        let fits = |one: &&Sample| {
            one.name == name
                && labels
                    .iter()
                    .all(|(label, value)| one.labels.get(*label).is_some_and(|is| is == value))
        };
        let found: Vec<_> = samples.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].value
    };
    let pump = [("name", "pump"), ("id", id.as_str())];
    let of_pump = |name: &str| value(&format!("redhold_instance_{name}"), &pump);
    assert_eq!(of_pump("memory_limit_bytes"), f64::from(256 << 20));
    assert!(of_pump("memory_bytes") > 10e6 && of_pump("memory_peak_bytes") > 10e6);
    assert!(of_pump("cpu_seconds_total") > 0.01 && of_pump("cpu_throttled_seconds_total") >= 0.0);
    assert!(of_pump("tasks") >= 5.0);
    // The request met a function node and a response node.
    assert_eq!(of_pump("messages_total"), 2.0);
    assert_eq!((of_pump("starts_total"), of_pump("restarts_total")), (1.0, 0.0));
    assert!(of_pump("heap_bytes") > 1e6 && of_pump("disk_bytes") > 0.0);
    assert!((0.0..60.0).contains(&of_pump("event_loop_delay_seconds")));
    assert!((0.0..=1.0).contains(&of_pump("event_loop_utilization_ratio")));
    assert_eq!(of_pump("state"), 1.0);

    assert_eq!(value("redhold_instances", &[]), 1.0);
    assert!(value("redhold_front_answers_total", &[("class", "2xx")]) >= 1.0);
    assert!(value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(value("process_cpu_seconds_total", &[]) > 0.0 && value("process_open_fds", &[]) > 5.0);
    assert!((value("process_start_time_seconds", &[]) - now).abs() < 600.0);
    assert!(value("redhold_host_cpu_seconds_total", &[("mode", "idle")]) > 0.0);
    let (all, free) = (
        value("redhold_host_memory_bytes", &[]),
        value("redhold_host_memory_available_bytes", &[]),
    );
    assert!(all > free && free > 0.0);
    assert!(value("redhold_host_disk_bytes", &[]) > value("redhold_host_disk_available_bytes", &[]));

    // What the kernel does not keep is missing.
    let host_keeps = Path::new("/proc/pressure/cpu").exists();
    let record = host.record(&id).expect("a record");
    let groups = record["cgroups"].as_array().expect("groups").iter();
    let groups_keep = groups
        .filter_map(Value::as_str)
        .any(|group| std::fs::read_to_string(Path::new(group).join("cpu.pressure")).is_ok());
    for (prefix, kept) in [("host", host_keeps), ("instance", groups_keep)] {
        let name = format!("redhold_{prefix}_pressure_waiting_seconds_total");
        let resources = samples.iter().filter(|one| one.name == name);
        assert_eq!(resources.count(), if kept { 3 } else { 0 }, "{name}");
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
