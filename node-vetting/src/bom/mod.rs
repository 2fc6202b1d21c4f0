//! What an instance is made of, as bills of materials: CycloneDX 1.6 and SPDX 2.3, both as JSON.
//!
//! Specifications: ECMA-424 (CycloneDX) and ISO/IEC 5962 in its version 2.3 (SPDX). Equal input gives equal output; the
//! only time in them is the one that the caller names.

mod installed;

pub use self::installed::installed;

use npm::{Algorithm, Integrity, PackageName, Version};
use serde_json::{Value, json};

use crate::report::Verdict;

/// One installed package.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The hash of the archive that it was installed from, where it is known.
    pub integrity: Option<Integrity>,
    /// Its licence, as it says; best an SPDX expression.
    pub licence: Option<String>,
    /// What it needs, as `name@version`.
    pub needs: Vec<String>,
    /// What vetting says of it, where it has said something.
    pub verdict: Option<Verdict>,
}

impl Component {
    /// `name@version`.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Its package URL: `pkg:npm/%40scope/name@1.0.0`.
    fn purl(&self) -> String {
        format!(
            "pkg:npm/{}@{}",
            self.name.as_str().replacen('@', "%40", 1),
            self.version
        )
    }
}

/// Whose materials they are.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name of the instance.
    pub name: String,
    /// A number of this list that no other has: a UUID.
    pub serial: String,
    /// When it was made (RFC 3339).
    pub made_at: String,
    /// What it needs itself, as `name@version`.
    pub needs: Vec<String>,
}

/// As CycloneDX 1.6.
#[must_use]
pub fn cyclonedx(subject: &Subject, components: &[Component]) -> Value {
    let listed: Vec<Value> = components
        .iter()
        .map(|one| {
            let mut entry = json!({
                "type": "library",
                "bom-ref": one.purl(),
                "name": one.name.base(),
                "version": one.version.to_string(),
                "purl": one.purl(),
                "properties": [{ "name": "redhold:verdict", "value": verdict(one) }],
            });
            if let Some(scope) = one.name.scope() {
                entry["group"] = json!(scope);
            }
            if let Some(hash) = &one.integrity {
                entry["hashes"] = json!([{ "alg": algorithm(hash, "-"), "content": hash.hex() }]);
            }
            if let Some(licence) = &one.licence {
                entry["licenses"] = json!([{ "license": { "name": licence } }]);
            }
            entry
        })
        .collect();
    let depends = |reference: String, needs: &[String]| json!({ "ref": reference, "dependsOn": needs.iter().map(|spec| purl_of(spec)).collect::<Vec<_>>() });
    let mut dependencies = vec![depends(subject.name.clone(), &subject.needs)];
    dependencies.extend(components.iter().map(|one| depends(one.purl(), &one.needs)));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", subject.serial),
        "version": 1,
        "metadata": {
            "timestamp": subject.made_at,
            "component": { "type": "application", "bom-ref": subject.name, "name": subject.name },
        },
        "components": listed,
        "dependencies": dependencies,
    })
}

/// As SPDX 2.3.
#[must_use]
pub fn spdx(subject: &Subject, components: &[Component]) -> Value {
    let top = "SPDXRef-Instance";
    let mut packages = vec![json!({
        "SPDXID": top,
        "name": subject.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
    })];
    packages.extend(components.iter().map(|one| {
        let mut entry = json!({
            "SPDXID": reference(&one.spec()),
            "name": one.name.as_str(),
            "versionInfo": one.version.to_string(),
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseDeclared": "NOASSERTION",
            "comment": format!("verdict: {}", verdict(one)),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": one.purl(),
            }],
        });
        if let Some(licence) = &one.licence {
            entry["licenseDeclared"] = json!(licence);
        }
        if let Some(hash) = &one.integrity {
            entry["checksums"] = json!([{ "algorithm": algorithm(hash, ""), "checksumValue": hash.hex() }]);
        }
        entry
    }));
    let depends = |from: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": "DEPENDS_ON", "relatedSpdxElement": to });
    let mut relations = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": top,
    })];
    relations.extend(subject.needs.iter().map(|spec| depends(top, &reference(spec))));
    for one in components {
        let from = reference(&one.spec());
        relations.extend(one.needs.iter().map(|spec| depends(&from, &reference(spec))));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("urn:uuid:{}", subject.serial),
        "creationInfo": { "created": subject.made_at, "creators": ["Tool: redhold"] },
        "packages": packages,
        "relationships": relations,
    })
}

const fn verdict(one: &Component) -> &'static str {
    match one.verdict {
        Some(Verdict::Trusted) => "trusted",
        Some(Verdict::Review) => "review",
        Some(Verdict::Refused) => "refused",
        None => "not vetted",
    }
}

/// SHA-512 is `SHA-512` in one format and `SHA512` in the other.
fn algorithm(hash: &Integrity, dash: &str) -> String {
    let digits = match hash.algorithm() {
        Algorithm::Sha512 => "512",
        Algorithm::Sha1 => "1",
    };
    format!("SHA{dash}{digits}")
}

fn purl_of(spec: &str) -> String {
    format!(
        "pkg:npm/{}",
        spec.replacen('@', "%40", usize::from(spec.starts_with('@')))
    )
}

/// A name within the document: letters, digits, `.` and `-` only. A hash keeps apart what that makes equal.
fn reference(spec: &str) -> String {
    let plain: String = spec
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("SPDXRef-{plain}-{:08x}", fnv(spec))
}

/// FNV-1a: short, the same everywhere, and nobody's security depends on it.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Subject, Vec<Component>) {
        let component = |name: &str, needs: &[&str]| Component {
            name: name.parse().expect("a name"),
            version: Version::parse("1.2.3").expect("a version"),
            integrity: Integrity::from_shasum(&"ab".repeat(20)).ok(),
            licence: Some("MIT".to_owned()),
            needs: needs.iter().map(|spec| (*spec).to_owned()).collect(),
            verdict: Some(Verdict::Trusted),
        };
        let subject = Subject {
            name: "pump".to_owned(),
            serial: "0f0e0d0c-0000-4000-8000-000000000001".to_owned(),
            made_at: "2026-01-01T00:00:00Z".to_owned(),
            needs: vec!["@a/b@1.2.3".to_owned()],
        };
        (
            subject,
            vec![component("@a/b", &["a-b@1.2.3"]), component("a-b", &[])],
        )
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let (subject, components) = sample();
        let cyclonedx = cyclonedx(&subject, &components);
        let known: Vec<&Value> = cyclonedx["components"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["bom-ref"])
            .collect();
        let wanted = cyclonedx["dependencies"].as_array().expect("a list");
        for reference in wanted
            .iter()
            .flat_map(|one| one["dependsOn"].as_array().expect("a list"))
        {
            assert!(known.contains(&reference), "{reference}");
        }
        assert_eq!(cyclonedx["components"][0]["purl"], "pkg:npm/%40a/b@1.2.3");
        assert_eq!(cyclonedx["components"][0]["hashes"][0]["alg"], "SHA-1");

        let spdx = spdx(&subject, &components);
        let known: Vec<&Value> = spdx["packages"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["SPDXID"])
            .collect();
        assert_eq!(known.len(), 3);
        for relation in spdx["relationships"].as_array().expect("a list") {
            assert!(known.contains(&&relation["relatedSpdxElement"]), "{relation}");
        }
    }
}
