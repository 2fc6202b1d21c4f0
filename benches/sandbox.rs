//! What the sandbox itself costs: from the call that starts an instance until its program has been executed, with
//! every wall and limit up.
//!
//! Run: `cargo bench -p supervisor --bench sandbox`.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use nix::unistd::geteuid;
use runtime::process::{Descriptors, spawn};
use runtime::spec::{Access, InstanceSpec, Isolation, Limits, LogSpec, Mount, Network, Owner, Program};
use runtime::traffic::{Allow, Ends6, Filtered, Range};
use runtime::units::{Bytes, CpuShare, Pids};
use test_support::world;

criterion_group!(benches, building);
criterion_main!(benches);

fn building(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut spec = spec(folder.path());
    measure(criterion, "build the sandbox, until its program runs", &spec);
    if world::able() {
        world::world();
        spec.network = cable();
        measure(criterion, "the same with a network that leads out", &spec);
    }
}

fn measure(criterion: &mut Criterion, name: &str, spec: &InstanceSpec) {
    let mut number = 0_u64;
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                number += 1;
                let mut spec = spec.clone();
                spec.id = format!("bench-{}-{number}", std::process::id())
                    .parse()
                    .expect("a name");
                let begun = Instant::now();
                let running =
                    spawn(test_support::redhold!(), &spec, Descriptors::default()).expect("a start");
                spent += begun.elapsed();
                running.wait().expect("an end");
                running.forget().expect("no records");
            }
            spent
        });
    });
}

/// What `redhold serve` gives by default.
fn cable() -> Network {
    let range = |text: &str| text.parse::<Range>().expect("a block");
    let (pool, pool6) = (range("100.96.0.0/12"), range("fd00:1::/64"));
    let (gateway, address) = pool.pair(1).expect("a cable");
    let ends = pool6.pair6(1).expect("a cable");
    Network::Filtered(Filtered {
        number: 1,
        gateway,
        address,
        pool,
        v6: Some(Ends6 {
            gateway: ends.0,
            address: ends.1,
            pool: pool6,
        }),
        allow: vec![Allow::Outside],
        deny: Vec::new(),
        publish: Vec::new(),
    })
}

fn spec(folder: &std::path::Path) -> InstanceSpec {
    let (run_dir, data) = (folder.join("run"), folder.join("data"));
    for path in [&run_dir, &data] {
        std::fs::create_dir(path).expect("a folder");
    }
    let owner = if geteuid().is_root() {
        std::os::unix::fs::chown(&data, Some(5000), Some(5000)).expect("a folder of its own");
        Owner::Own { uid: 5000, gid: 5000 }
    } else {
        Owner::Caller
    };
    let mount = |source: &std::path::Path, target: &str, access| Mount {
        source: source.to_owned(),
        target: target.into(),
        access,
        optional: false,
    };
    InstanceSpec {
        id: "bench".parse().expect("a name"),
        log: LogSpec {
            file: folder.join("log"),
            max_size: Bytes::mib(1),
            keep: 0,
        },
        run_dir,
        program: Program {
            path: "/bin/true".into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: "/data".into(),
        },
        input: None,
        mounts: vec![
            mount(std::path::Path::new("/bin/true"), "/bin/true", Access::ReadOnly),
            mount(&data, "/data", Access::ReadWrite),
        ],
        holds: Vec::new(),
        links: Vec::new(),
        tmp_size: Bytes::mib(16),
        hostname: "bench".into(),
        isolation: Isolation::Namespaces,
        owner,
        network: Network::Loopback,
        limits: Limits {
            memory: Some(Bytes::mib(256)),
            cpu: Some(CpuShare(1000)),
            pids: Some(Pids(64)),
            ..Limits::default()
        },
        control_group: None,
        stop_grace_ms: 1000,
    }
}
