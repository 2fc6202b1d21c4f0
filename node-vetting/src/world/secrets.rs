//! Planted secrets and the marker of what came from the network, and finding them again in whatever leaves the guest.

use std::borrow::Cow;
use std::io::Read;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{GzDecoder, ZlibDecoder};
use sha2::{Digest, Sha256};

use crate::closure::hex;

/// Layers of encoding that are taken off before the search.
const LAYERS: usize = 2;
/// Most bytes that layers are taken off of, and that one layer may grow to.
const MOST: usize = 4 << 20;
/// Bytes searched of one payload after which no further layer is taken off.
const MOST_SEARCHED: u64 = 64 << 20;
/// Shortest run of encoded text that is taken for a layer.
const RUN: usize = 24;
/// Name under which the network's marker is searched for.
const REMOTE: &str = "remote";

/// Two sets, equal in everything but their letters: runs that differ in nothing else must not differ at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The usual one.
    A,
    /// The other one.
    B,
}

/// The planted secrets of one run.
pub(super) struct Secrets {
    set: Set,
    planted: Vec<(&'static str, String)>,
    finder: Option<Finder>,
}

/// Finds all secrets in all their forms; the class of each form.
type Finder = (AhoCorasick, Vec<&'static str>);

/// What was found in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) secrets: Vec<String>,
    pub(super) remote: bool,
    /// Bytes that were searched, those of all layers included.
    pub(super) searched: u64,
}

/// The marker that everything from the network carries. The same in every run.
pub(super) const MARKER: &str = "c4n7ryq0mw2kd8hx5vbz";

impl Secrets {
    pub(super) const fn new(set: Set) -> Self {
        Self {
            set,
            planted: Vec::new(),
            finder: None,
        }
    }

    /// A secret of a class: letters and digits that are nobody else's, the same in every run with the same set.
    pub(super) fn plant(&mut self, class: &'static str, name: &str, length: usize) -> String {
        let mut text = String::with_capacity(length + 64);
        let mut round = 0_u32;
        while text.len() < length {
            let mut hasher = Sha256::new();
            hasher.update(format!("{:?} {class} {name} {round}", self.set));
            text.extend(hasher.finalize().iter().map(|byte| {
                char::from(
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                        [usize::from(*byte) % 62],
                )
            }));
            round += 1;
        }
        text.truncate(length);
        self.planted.push((class, text.clone()));
        self.finder = None;
        text
    }

    /// What of the planted is in bytes, in whatever usual encoding.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Found {
        let planted = &self.planted;
        if self.finder.is_none() {
            self.finder = build(planted);
        }
        let mut found = Found::default();
        if let Some(finder) = &self.finder {
            look(finder, bytes, LAYERS, &mut found);
        }
        found.secrets.sort();
        found.secrets.dedup();
        found
    }
}

/// An automaton for all secrets in all encodings that are recognized without decoding.
fn build(planted: &[(&'static str, String)]) -> Option<Finder> {
    let mut needles: Vec<Vec<u8>> = Vec::new();
    let mut classes = Vec::new();
    let marker = [(REMOTE, MARKER.to_owned())];
    for (class, secret) in planted.iter().chain(&marker) {
        let reversed: Vec<u8> = secret.bytes().rev().collect();
        let mut forms = vec![secret.clone().into_bytes(), reversed.clone()];
        for plain in [secret.as_bytes(), &reversed] {
            forms.push(hex(plain).into_bytes());
            forms.extend((0..3).map(|offset| shifted(plain, offset)));
        }
        // Reversed digits too: text that was encoded first and turned around then.
        let turned: Vec<Vec<u8>> = forms[2..]
            .iter()
            .map(|form| form.iter().rev().copied().collect())
            .collect();
        forms.extend(turned);
        classes.extend(forms.iter().map(|_| *class));
        needles.extend(forms);
    }
    // Hexadecimal digits and host names come in both cases; letters of a secret that match by chance in another case
    // would need some forty equal ones.
    let finder = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(needles)
        .ok()?;
    Some((finder, classes))
}

/// Base64 of something at an offset, without the letters that depend on its neighbours.
fn shifted(plain: &[u8], offset: usize) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(plain);
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&padded);
    let skip = [0, 2, 3][offset];
    let cut = if padded.len().is_multiple_of(3) { 0 } else { 1 };
    encoded.as_bytes()[skip..encoded.len() - cut].to_vec()
}

fn look(finder: &Finder, bytes: &[u8], layers: usize, found: &mut Found) {
    let (automaton, classes) = finder;
    found.searched += bytes.len() as u64;
    for hit in automaton.find_overlapping_iter(bytes) {
        match classes[hit.pattern().as_usize()] {
            REMOTE => found.remote = true,
            class if !found.secrets.iter().any(|known| known == class) => {
                found.secrets.push(class.to_owned());
            }
            _ => {}
        }
    }
    if layers == 0 || found.searched > MOST_SEARCHED {
        return;
    }
    for layer in peeled(&bytes[..bytes.len().min(MOST)]) {
        look(finder, &layer, layers - 1, found);
    }
}

/// What the bytes hold one layer deeper: compressed, percent-encoded, in base64 or hexadecimal runs, chopped by dots.
fn peeled(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut layers: Vec<Cow<'_, [u8]>> = Vec::new();
    for start in packed_starts(bytes) {
        layers.extend(unpacked(&bytes[start..]).map(Cow::Owned));
    }
    if bytes.contains(&b'%') {
        layers.push(
            percent_encoding::percent_decode(bytes)
                .collect::<Vec<u8>>()
                .into(),
        );
    }
    for run in bytes.split(|byte| !(byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte))) {
        if run.len() < RUN {
            continue;
        }
        if run.iter().all(u8::is_ascii_hexdigit) {
            layers.extend(unhexed(run).map(Cow::Owned));
        }
        layers.extend(unbased(run).map(Cow::Owned));
    }
    // Labels of a host name, lines of a listing, separate numbers of an array.
    if bytes.len() < 1 << 16 {
        let joined: Vec<u8> = bytes
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .copied()
            .collect();
        if joined.len() != bytes.len() {
            layers.push(joined.into());
        }
        layers.extend(numbers(bytes).map(Cow::Owned));
    }
    layers
}

/// Where compressed data may begin: at the start, and behind the mark of gzip.
fn packed_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts: Vec<usize> = memchr::memmem::find_iter(bytes, b"\x1f\x8b\x08")
        .take(4)
        .collect();
    if bytes.first() == Some(&0x78) {
        starts.push(0);
    }
    starts
}

fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let most = MOST as u64;
    // What comes before damage counts too.
    let _ = if bytes.starts_with(b"\x1f\x8b") {
        GzDecoder::new(bytes).take(most).read_to_end(&mut out)
    } else {
        ZlibDecoder::new(bytes).take(most).read_to_end(&mut out)
    };
    (!out.is_empty()).then_some(out)
}

fn unhexed(run: &[u8]) -> Option<Vec<u8>> {
    let even = &run[..run.len() & !1];
    even.chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn unbased(run: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    let usual: Vec<u8> = run
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        })
        .filter(|byte| *byte != b'=')
        .collect();
    let whole = if usual.len() % 4 == 1 {
        usual.len() - 1
    } else {
        usual.len()
    };
    STANDARD.decode(&usual[..whole]).ok()
}

/// Text out of a list of character codes.
fn numbers(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let codes: Vec<u8> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .filter_map(|part| part.parse().ok())
        .collect();
    (codes.len() >= RUN).then_some(codes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn found(make: impl Fn(&str) -> Vec<u8>) -> Vec<String> {
        let mut secrets = Secrets::new(Set::A);
        let token = secrets.plant("npm-token", "x", 36);
        secrets.plant("ssh-key", "y", 64);
        secrets.find(&make(&token)).secrets
    }

    #[test]
    fn in_every_usual_encoding() {
        let base = |text: &[u8]| {
            base64::engine::general_purpose::STANDARD
                .encode(text)
                .into_bytes()
        };
        let reverse = |text: &str| text.bytes().rev().collect::<Vec<u8>>();
        let gzip = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(text).expect("packed");
            packer.finish().expect("packed")
        };
        type Make<'a> = Box<dyn Fn(&str) -> Vec<u8> + 'a>;
        let cases: Vec<(&str, Make<'_>)> = vec![
            ("plain", Box::new(|t| format!("a={t}&").into_bytes())),
            ("hex", Box::new(|t| hex(t.as_bytes()).to_uppercase().into_bytes())),
            ("base64 at 0", Box::new(|t| base(t.as_bytes()))),
            ("base64 at 1", Box::new(|t| base(format!("x{t}yy").as_bytes()))),
            ("base64 at 2", Box::new(|t| base(format!("xx{t}y").as_bytes()))),
            ("reversed", Box::new(reverse)),
            (
                "reversed base64",
                Box::new(|t| base(t.as_bytes()).into_iter().rev().collect()),
            ),
            ("base64 of reversed", Box::new(|t| base(&reverse(t)))),
            (
                "percent",
                Box::new(|t| {
                    t.bytes()
                        .map(|b| format!("%{b:02x}"))
                        .collect::<String>()
                        .into_bytes()
                }),
            ),
            ("base64 twice", Box::new(|t| base(&base(t.as_bytes())))),
            (
                "gzip",
                Box::new(|t| gzip(format!("{{\"t\":\"{t}\"}}").as_bytes())),
            ),
            ("gzip in base64", Box::new(|t| base(&gzip(t.as_bytes())))),
            (
                "in labels",
                Box::new(|t| format!("{}.{}.evil.example", &t[..20], &t[20..]).into_bytes()),
            ),
            (
                "hex in labels",
                Box::new(|t| {
                    let digits = hex(t.as_bytes());
                    format!("{}.{}.evil.example", &digits[..30], &digits[30..]).into_bytes()
                }),
            ),
            ("codes", Box::new(|t| format!("{:?}", t.as_bytes()).into_bytes())),
        ];
        for (name, make) in cases {
            assert_eq!(found(make), ["npm-token"], "{name}");
        }
        assert!(found(|_| b"nothing to be seen here, whatever it is".to_vec()).is_empty());
    }

    #[test]
    fn the_sets_differ_and_repeat() {
        let plant = |set| Secrets::new(set).plant("ssh-key", "id", 40);
        assert_eq!(plant(Set::A), plant(Set::A));
        assert_ne!(plant(Set::A), plant(Set::B));
        assert_eq!(plant(Set::A).len(), 40);
    }

    #[test]
    fn the_marker_is_told_apart() {
        let mut secrets = Secrets::new(Set::A);
        let found = secrets.find(format!("eval('{MARKER}')").as_bytes());
        assert!(found.remote && found.secrets.is_empty());
    }

    #[test]
    fn packed_bombs_are_searched_to_a_limit() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b'A'; 64 << 20]).expect("packed");
        let bomb = packer.finish().expect("packed").repeat(4);
        let found = Secrets::new(Set::A).find(&bomb);
        assert!(found.searched < 2 * MOST_SEARCHED, "{}", found.searched);
    }
}
