//! Resolves packages, or lists the tree of one in npm's words, and looks at what is in them: for trying things out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use node_vetting::resolve::{Cache, Limits, Options, Platform, Resolver, Silent, Target};
use npm::{Client, Config, Places, Version};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().expect("resolve or analyse");
    let cache = arguments.next().expect("a folder for the cache");
    for target in arguments {
        let start = Instant::now();
        let client = Client::new(Config::load(&Places::here().expect("a folder")).expect("configuration"))
            .expect("a client");
        let options = Options {
            node: Version::parse("20.20.2").expect("a version"),
            npm: Version::parse("11.19.1").expect("a version"),
            before: None,
            platform: Platform::here(),
            all_platforms: what == "resolve",
            full: false,
            online: true,
            limits: Limits::default(),
        };
        let resolver = Resolver::new(client, Some(Cache::at(Path::new(&cache))), options);
        let target = if Path::new(&target).is_dir() {
            Target::Folder(target.into())
        } else {
            Target::parse(&target).expect("a name")
        };
        let resolved = match resolver.resolve(&target, Arc::new(Silent)).await {
            Ok(resolved) => resolved,
            Err(error) => {
                println!("{error}: {:?}", std::error::Error::source(&error));
                continue;
            }
        };
        if what == "resolve" {
            for (place, package) in resolved.closure.places() {
                println!("{place} {}", package.version);
            }
            for gap in &resolved.closure.gaps {
                eprintln!("{gap:?}");
            }
            continue;
        }
        let fetched = start.elapsed();
        let start = Instant::now();
        let (closure, listings) = (resolved.closure, resolved.listings);
        let found = tokio::task::spawn_blocking(move || node_vetting::analysis::analyse(&closure, &listings))
            .await
            .expect("it ends");
        let taken = start.elapsed();
        if what == "json" {
            println!("{}", serde_json::to_string_pretty(&found).expect("it is data"));
            continue;
        }
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for said in &found.sites {
            *kinds
                .entry(format!("site {}", said.capability.kind.name()))
                .or_default() += 1;
        }
        for finding in &found.findings {
            let value = serde_json::to_value(&finding.about).expect("it is data");
            *kinds
                .entry(format!("finding {}", value["kind"].as_str().unwrap_or_default()))
                .or_default() += 1;
        }
        println!(
            "{target:?} fetched in {fetched:?}, looked at in {taken:?}: {:?}\n{kinds:#?}",
            found.measured
        );
    }
}
