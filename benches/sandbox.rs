//! What the sandbox itself costs: from the call that starts an instance until its program has been executed, with
//! every wall and limit up; what it costs that the keeper is asked about each program that is started inside, and that it
//! is watched where connections go.
//!
//! Run: `cargo bench -p supervisor --bench sandbox`.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use nix::unistd::geteuid;
use runtime::process::{Descriptors, spawn};
use runtime::spec::{
    Access, InstanceSpec, Isolation, Limits, LogSpec, Mount, Network, Owner, Program, Programs, Watch,
};
use runtime::traffic::{Allow, Ends6, Filtered, Hosts, Range};
use runtime::units::{Bytes, CpuShare, Pids};
use test_support::world;

criterion_group!(benches, building);
criterion_main!(benches);

fn building(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut spec = spec(folder.path());
    measure(
        criterion,
        "build the sandbox, until its program runs",
        &spec,
        false,
    );
    spec.watch = watch(false);
    measure(criterion, "the same, watched", &spec, false);
    starting(criterion, spec.clone());
    spec.watch = None;
    if world::able() {
        world::world();
        spec.network = cable();
        measure(criterion, "the same with a network that leads out", &spec, false);
        connecting(criterion, spec);
    }
}

/// Two hundred connections to a server of the world, one after the other, from the start of the shell to its end.
fn connecting(criterion: &mut Criterion, mut spec: InstanceSpec) {
    let shell = std::path::Path::new("/bin/bash");
    spec.program.path = shell.into();
    let script = format!(
        "for ((i = 0; i < 200; i++)); do exec 3<>/dev/tcp/{}/1000; exec 3>&-; done",
        world::WORLD
    );
    spec.program.args = vec!["-c".to_owned(), script];
    spec.mounts.push(Mount {
        source: shell.canonicalize().expect("a shell"),
        target: shell.into(),
        access: Access::ReadOnly,
        optional: false,
    });
    for (name, hosts) in [
        ("connect 200 times", None),
        ("the same, observed and recorded", Some((false, Vec::new()))),
        ("the same, enforced and allowed", Some((true, vec![world::WORLD]))),
    ] {
        let Network::Filtered(network) = &mut spec.network else {
            return;
        };
        network.hosts = hosts.map(|(enforce, allow)| {
            Box::new(Hosts {
                enforce,
                allow: allow.iter().map(|host| host.parse().expect("a host")).collect(),
                named_in: Vec::new(),
                words: String::new(),
            })
        });
        measure(criterion, name, &spec, true);
    }
}

/// Two hundred programs, one after the other, from the start of the shell that starts them to its end.
fn starting(criterion: &mut Criterion, mut spec: InstanceSpec) {
    spec.program.path = "/bin/sh".into();
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done";
    spec.program.args = vec!["-c".to_owned(), script.to_owned()];
    let shell = std::path::Path::new("/bin/sh");
    spec.mounts.push(Mount {
        source: shell.canonicalize().expect("a shell"),
        target: shell.into(),
        access: Access::ReadOnly,
        optional: false,
    });
    for (name, watch) in [
        ("start 200 programs", None),
        ("the same, observed", watch(false)),
        ("the same, enforced and named", watch(true)),
    ] {
        spec.watch = watch;
        measure(criterion, name, &spec, true);
    }
}

/// Observed, nothing is allowed, so that everything is counted.
fn watch(enforce: bool) -> Option<Watch> {
    Some(Watch {
        enforce,
        programs: Programs::Named(if enforce {
            vec!["/bin/true".to_owned()]
        } else {
            Vec::new()
        }),
        raw_sockets: false,
        words: String::new(),
    })
}

/// Until the program runs, or until it has ended.
fn measure(criterion: &mut Criterion, name: &str, spec: &InstanceSpec, to_the_end: bool) {
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
                if !to_the_end {
                    spent += begun.elapsed();
                }
                running.wait().expect("an end");
                if to_the_end {
                    spent += begun.elapsed();
                }
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
        hosts: None,
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
        watch: None,
        control_group: None,
        stop_grace_ms: 1000,
    }
}
