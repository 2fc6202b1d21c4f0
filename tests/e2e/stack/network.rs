//! Networks and registries that fail, hide, redirect, or want to see a token.

use test_support::registry::{Fault, tarball_path};

use super::*;

/// The `Range` headers with which a package was asked for.
fn ranges(world: &World, package: &Packed) -> Vec<Option<String>> {
    let path = tarball_path(package);
    let requests = world.registry.requests();
    let asked = requests.iter().filter(|request| request.target == path);
    asked
        .map(|request| request.headers.get("range").cloned())
        .collect()
}

const ALWAYS: usize = usize::MAX;

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let world = World::new();
    world.registry.fault(
        world.large(),
        Fault::HangUp {
            after: 60_000,
            times: 2,
        },
    );
    world.fetched();
    world.assert_whole();
    let ranges = ranges(&world, world.large());
    assert!(matches!(&ranges[..], [None, Some(_), Some(_)]), "{ranges:?}");
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_from_the_start() {
    let world = World::new();
    world.registry.without_ranges();
    world.registry.fault(
        world.large(),
        Fault::HangUp {
            after: 60_000,
            times: 1,
        },
    );
    world.fetched();
    world.assert_whole();
}

/// A world in which the large package never came whole, and the failed output.
fn broken_off() -> (World, Output) {
    let world = World::new();
    world.npmrc(&format!("registry={}\nfetch-retries=0\n", world.registry.url()));
    world.registry.fault(
        world.large(),
        Fault::HangUp {
            after: 60_000,
            times: ALWAYS,
        },
    );
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    world.registry.behave();
    world.registry.forget();
    (world, said)
}

#[test]
fn the_next_run_takes_over_what_came() {
    let (world, said) = broken_off();
    let url = world.registry.url();
    assert_said(
        &said,
        &["cannot fetch large@2.0.0", &url, "kept for the next attempt"],
    );
    assert!(world.remains().iter().all(|path| path.starts_with("blobs-v1/")));
    assert!(!text(&world.run(&["stack", "list", "--json"])).contains("tiny"));

    world.fetched();
    world.assert_whole();
    let ranges = ranges(&world, world.large());
    assert!(matches!(&ranges[..], [Some(_)]), "{ranges:?}");
}

#[test]
fn damaged_remains_of_an_earlier_run_do_not_matter() {
    let (world, _) = broken_off();
    let mut damaged = 0;
    for path in world.remains() {
        let path = world.data().join(path);
        let mut bytes = fs::read(&path).unwrap();
        // An archive that was only asked for has nothing yet.
        if let Some(byte) = bytes.get_mut(100) {
            *byte ^= 1;
            damaged += 1;
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(damaged > 0);
    world.fetched();
    world.assert_whole();
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_is_told() {
    let world = World::new();
    world.registry.fault(
        &world.packages[0],
        Fault::Status {
            status: 500,
            times: 2,
        },
    );
    world.registry.fault(
        world.large(),
        Fault::Status {
            status: 429,
            times: 1,
        },
    );
    world.fetched();
    world.assert_whole();

    let world = World::new();
    world.npmrc(&format!("registry={}\nfetch-retries=1\n", world.registry.url()));
    world.registry.fault(
        &world.packages[0],
        Fault::Status {
            status: 503,
            times: ALWAYS,
        },
    );
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1));
    assert_said(&said, &["answered 503 instead of giving node-red@5.0.0", "hint:"]);
    assert_eq!(ranges(&world, &world.packages[0]).len(), 2);
}

#[test]
fn a_package_that_is_not_there_is_named() {
    let mut world = World::new();
    world.add(Package::new("absent", "1.0.0").pack());
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1));
    assert_said(
        &said,
        &["absent@1.0.0 is not at", &world.registry.url(), "`registry`"],
    );
}

#[test]
fn archives_in_unusual_places_are_found_by_the_metadata() {
    let mut world = World::new();
    let package = Package::new("elsewhere", "1.0.0").file("x", b"x").pack();
    world.registry.publish_at(&package, "/store/0123.tgz");
    world.add(package);
    world.fetched();
    world.assert_whole();
}

#[test]
fn a_token_is_used_where_it_belongs_and_nowhere_else() {
    let world = World::new();
    world.registry.require_token("s3cr3t-token");
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1));
    assert_said(&said, &["refused to give", "(401)", "_authToken"]);

    // The archive of one package is in another house: the token stays at home.
    let other = Registry::start();
    other.publish(world.large());
    let path = tarball_path(world.large());
    let to = format!("{}{}", other.url(), path.trim_start_matches('/'));
    world.registry.fault(world.large(), Fault::Redirect { to });
    let (url, key) = (world.registry.url(), world.registry.key());
    world.npmrc(&format!("registry={url}\n{key}:_authToken=${{TOKEN}}\n"));
    let mut command = world.fetch_command();
    command.env("TOKEN", "s3cr3t-token").env("RUST_LOG", "trace");
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", text(&said));
    world.assert_whole();
    let asked = other.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers.get("authorization"), None);
    assert!(!text(&said).contains("s3cr3t"));

    // A wrong one is not printed either.
    world.npmrc(&format!("registry={url}\n{key}:_authToken=wr0ng-t0ken\n"));
    fs::remove_dir_all(world.data()).unwrap();
    let said = world.fetch();
    assert_said(&said, &["(401)", "not accepted"]);
    assert!(!text(&said).contains("wr0ng"));
}

#[test]
fn credentials_in_an_address_are_not_printed() {
    let world = World::new();
    let url = world.registry.url().replace("http://", "http://me:s3cr3t@");
    world.npmrc(&format!("registry={url}\nfetch-retries=0\n"));
    world.registry.fault(
        &world.packages[0],
        Fault::Status {
            status: 500,
            times: ALWAYS,
        },
    );
    let said = world.fetch();
    assert_said(&said, &["answered 500"]);
    assert!(!text(&said).contains("s3cr3t"), "{}", text(&said));
}

#[test]
fn a_proxy_is_used_where_one_is_set() {
    let world = World::new();
    let proxy = world.registry.url();
    world.npmrc("registry=http://registry.invalid/\n");
    let said = world.fetch_command().env("HTTP_PROXY", &proxy).output().unwrap();
    assert!(said.status.success(), "{}", text(&said));
    let requests = world.registry.requests();
    let proxied = |target: &str| target.starts_with("http://registry.invalid/");
    assert!(requests.iter().all(|request| proxied(&request.target)));
    world.assert_whole();

    // npm's own setting wins over the environment, and an exception over both.
    fs::remove_dir_all(world.data()).unwrap();
    world.npmrc(&format!("registry=http://registry.invalid/\nproxy={proxy}\n"));
    let said = world
        .fetch_command()
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", text(&said));
    fs::remove_dir_all(world.data()).unwrap();
    let except = "noproxy=registry.invalid\nfetch-retries=0\n";
    world.npmrc(&format!(
        "registry=http://registry.invalid/\nproxy={proxy}\n{except}"
    ));
    assert_said(&world.fetch(), &["cannot fetch", "registry.invalid", "`proxy`"]);
}

#[test]
fn an_authority_of_ones_own_is_trusted_only_when_named() {
    let secure = Registry::start_secure();
    let world = World::with(secure.registry);
    let url = world.registry.url();
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1));
    assert_said(&said, &["cannot fetch", "certificate", "cafile"]);

    let file = world.dir.path().join("authority.pem");
    fs::write(&file, secure.certificate).unwrap();
    for (npmrc, variable) in [
        (format!("cafile={}\n", file.display()), None),
        (String::new(), Some("NODE_EXTRA_CA_CERTS")),
        (String::new(), Some("SSL_CERT_FILE")),
    ] {
        world.npmrc(&format!("registry={url}\n{npmrc}"));
        let _ = fs::remove_dir_all(world.data());
        let mut command = world.fetch_command();
        command.envs(variable.map(|variable| (variable, &file)));
        let said = command.output().unwrap();
        assert!(said.status.success(), "{npmrc} {variable:?}: {}", text(&said));
        world.assert_whole();
    }
}
