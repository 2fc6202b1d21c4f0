//! Which version of a package npm takes.

use jiff::Timestamp;
use npm::{Manifest, Packument, Range, Version};

use super::spec::Spec;

/// What decides between versions, beside the request.
#[derive(Clone, Debug)]
pub(super) struct Taste {
    /// The Node.js that will run the code.
    pub(super) node: Version,
    /// The npm that will install it.
    pub(super) npm: Version,
    /// Only what was published by then.
    pub(super) before: Option<Timestamp>,
}

impl Taste {
    fn fits(&self, manifest: &Manifest) -> bool {
        manifest.runs_on(&self.node) && manifest.installs_with(&self.npm)
    }

    /// Whether a version is old enough. A registry that tells no time is believed, as npm believes it.
    fn in_time(&self, packument: &Packument, version: &str) -> bool {
        let Some(before) = self.before else {
            return true;
        };
        packument
            .time
            .get(version)
            .and_then(|text| text.parse::<Timestamp>().ok())
            .is_none_or(|published| published <= before)
    }
}

/// The version that npm would take: the tagged latest one where it will do, else the highest; deprecated ones and ones
/// for another Node.js only where there is nothing else.
pub(super) fn pick<'a>(
    packument: &'a Packument,
    spec: &Spec,
    taste: &Taste,
) -> Option<(Version, &'a Manifest)> {
    match spec {
        Spec::Elsewhere(_) => None,
        Spec::Alias(_, spec) => pick(packument, spec, taste),
        Spec::Exact(version) => {
            let manifest = packument.exact(version).ok()?;
            taste
                .in_time(packument, &version.to_string())
                .then(|| (version.clone(), manifest))
        }
        Spec::Tag(tag) => {
            let told = packument.tags.get(tag)?;
            let version = Version::parse(told).ok()?;
            if taste.in_time(packument, told) {
                return Some((version, packument.versions.get(told)?));
            }
            let range = Range::parse(format!("<={told}")).ok()?;
            best(packument, taste, |version| range.satisfies(version))
        }
        Spec::Any => latest(packument, taste, |_| true)
            .or_else(|| best(packument, taste, |version| !version.is_prerelease())),
        Spec::Within(range) => latest(packument, taste, |version| range.satisfies(version))
            .or_else(|| best(packument, taste, |version| range.satisfies(version))),
    }
}

/// The version tagged `latest`, when nothing speaks against it.
fn latest<'a>(
    packument: &'a Packument,
    taste: &Taste,
    accepts: impl Fn(&Version) -> bool,
) -> Option<(Version, &'a Manifest)> {
    let told = packument.tags.get("latest")?;
    let version = Version::parse(told).ok()?;
    let manifest = packument.versions.get(told)?;
    let good = accepts(&version)
        && manifest.deprecated.is_none()
        && taste.fits(manifest)
        && taste.in_time(packument, told);
    good.then_some((version, manifest))
}

fn best<'a>(
    packument: &'a Packument,
    taste: &Taste,
    accepts: impl Fn(&Version) -> bool,
) -> Option<(Version, &'a Manifest)> {
    packument
        .versions
        .iter()
        .filter(|(text, _)| taste.in_time(packument, text))
        .filter_map(|(text, manifest)| Some((Version::parse(text).ok()?, manifest)))
        .filter(|(version, _)| accepts(version))
        .max_by_key(|(version, manifest)| {
            let (fits, current) = (taste.fits(manifest), manifest.deprecated.is_none());
            (fits && current, fits, current, version.clone())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Packument {
        let version = |version: &str, more: serde_json::Value| {
            let mut all = serde_json::json!({ "version": version, "dist": { "tarball": "http://r/t.tgz" } });
            for (key, value) in more.as_object().into_iter().flatten() {
                all[key] = value.clone();
            }
            (version.to_owned(), all)
        };
        let none = serde_json::json!({});
        serde_json::from_value(serde_json::json!({
            "name": "thing",
            "dist-tags": { "latest": "1.2.0", "next": "2.0.0", "gone": "9.9.9" },
            "time": { "1.0.0": "2025-01-01T00:00:00.000Z", "1.2.0": "2026-03-31T21:46:56.362000+00:00",
                "1.3.0": "2026-06-01T00:00:00Z", "2.0.0": "2026-07-01T00:00:00Z" },
            "versions": serde_json::Map::from_iter([
                version("1.0.0", none.clone()),
                version("1.1.0", serde_json::json!({ "deprecated": "bad" })),
                version("1.2.0", none.clone()),
                version("1.3.0", none.clone()),
                version("2.0.0", none.clone()),
                version("2.1.0", serde_json::json!({ "deprecated": "worse" })),
                version("3.0.0", serde_json::json!({ "engines": { "node": ">=99" } })),
                version("4.0.0-beta.1", none),
            ]),
        }))
        .expect("a document")
    }

    fn picked(spec: &str, before: Option<&str>) -> Option<String> {
        let taste = Taste {
            node: Version::parse("22.0.0").expect("a version"),
            npm: Version::parse("11.0.0").expect("a version"),
            before: before.map(|text| text.parse().expect("a time")),
        };
        pick(&document(), &Spec::read(spec), &taste).map(|(version, _)| version.to_string())
    }

    #[test]
    fn like_npm() {
        for (spec, expected) in [
            ("*", Some("1.2.0")),
            ("^1.0.0", Some("1.2.0")),
            (">1.2.0", Some("2.0.0")),
            ("^1.3.0", Some("1.3.0")),
            ("2", Some("2.0.0")),
            ("2.1.0", Some("2.1.0")),
            ("~2.1.0", Some("2.1.0")),
            ("3", Some("3.0.0")),
            ("^4.0.0", None),
            ("^4.0.0-beta.0", Some("4.0.0-beta.1")),
            ("next", Some("2.0.0")),
            ("gone", None),
            ("nothing", None),
            ("npm:thing@2", Some("2.0.0")),
            ("https://x/y.tgz", None),
        ] {
            assert_eq!(picked(spec, None).as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn what_is_too_young_is_passed_over() {
        let before = Some("2026-01-01T00:00:00Z");
        assert_eq!(picked("^1.0.0", before).as_deref(), Some("1.0.0"));
        assert_eq!(picked("1.2.0", before), None);
        assert_eq!(
            picked("next", Some("2026-06-15T00:00:00Z")).as_deref(),
            Some("1.3.0")
        );
        // A version without a time is believed.
        assert_eq!(picked("~1.1.0", before).as_deref(), Some("1.1.0"));
    }
}
