//! Pure: as much of the domain name system's messages (RFC 1035, RFC 3596) as a question for addresses and its answer
//! need.
//!
//! Everything here comes from inside or from the network and may be malformed on purpose: nothing is read without
//! a look at its bounds, and no loop follows what a message says for longer than the message is.

use std::net::IpAddr;

/// Type and class of an IPv4 address, and of an IPv6 one.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];
const ADDRESS6: [u8; 4] = [0, 28, 0, 1];

/// The server answers, and would have asked others.
const ANSWER: u8 = 0x80;
const RECURSION: u8 = 0x80;

/// What an answer says beside addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Fine = 0,
    Failed = 2,
    NoSuchName = 3,
    Refused = 5,
}

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    V4,
    V6,
    Other,
}

impl Wants {
    /// Whatever more a name has is left out, so that an answer fits into the 512 bytes that every client takes.
    const fn most(self) -> usize {
        match self {
            Self::V6 => 8,
            _ => 12,
        }
    }

    pub(crate) const fn fits(self, address: IpAddr) -> bool {
        matches!(
            (self, address),
            (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_))
        )
    }
}

/// A question, from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Tells it from others; the asker's choice.
    pub(crate) id: u16,
    /// In lower case, without a dot at its end.
    pub(crate) name: String,
    /// What it asks for.
    pub(crate) wants: Wants,
    /// The question as it was put, letters as they were: its asker compares.
    words: Vec<u8>,
    /// Whether the asker wants others to be asked.
    recursion: u8,
}

/// What a server of names answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) code: Code,
    pub(crate) addresses: Vec<IpAddr>,
    /// For how many seconds, at least.
    pub(crate) seconds: u32,
}

impl Question {
    /// Reads a question; none when it is no single one.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let head = message.get(..12)?;
        // A question of the ordinary kind (opcode 0), and just one.
        if head[2] & 0xf8 != 0 || head[4..6] != [0, 1] {
            return None;
        }
        let (name, end) = name(message, 12)?;
        let kind = message.get(end..end + 4)?;
        Some(Self {
            id: u16::from_be_bytes([head[0], head[1]]),
            name,
            wants: match kind {
                kind if kind == ADDRESS => Wants::V4,
                kind if kind == ADDRESS6 => Wants::V6,
                _ => Wants::Other,
            },
            words: message[12..end + 4].to_vec(),
            recursion: head[2] & 1,
        })
    }

    /// The same question for a server, under another number.
    pub(crate) fn ask(&self, id: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(&self.words);
        message
    }

    /// Whether a message is a server's answer to this question, asked under this number.
    pub(crate) fn is_answered_by(&self, id: u16, message: &[u8]) -> bool {
        let end = 12 + self.words.len();
        message.get(..2) == Some(&id.to_be_bytes())
            && message.get(2).is_some_and(|flags| flags & ANSWER != 0)
            && message
                .get(12..end)
                .is_some_and(|words| words.eq_ignore_ascii_case(&self.words))
    }

    /// The answer to who asked. Addresses that do not fit the question are left out.
    pub(crate) fn answer(&self, code: Code, addresses: &[IpAddr], seconds: u32) -> Vec<u8> {
        let fitting = addresses.iter().filter(|address| self.wants.fits(**address));
        let addresses: Vec<&IpAddr> = fitting.take(self.wants.most()).collect();
        let mut message = self.id.to_be_bytes().to_vec();
        let count = u8::try_from(addresses.len()).unwrap_or_default();
        message.extend([
            ANSWER | self.recursion,
            RECURSION | code as u8,
            0,
            1,
            0,
            count,
            0,
            0,
            0,
            0,
        ]);
        message.extend(&self.words);
        for address in addresses {
            // The name is the question's.
            message.extend([0xc0, 12]);
            match address {
                IpAddr::V4(address) => {
                    message.extend(ADDRESS);
                    message.extend(seconds.to_be_bytes());
                    message.extend([0, 4]);
                    message.extend(address.octets());
                }
                IpAddr::V6(address) => {
                    message.extend(ADDRESS6);
                    message.extend(seconds.to_be_bytes());
                    message.extend([0, 16]);
                    message.extend(address.octets());
                }
            }
        }
        message
    }

    /// Reads what a server answered to [`Question::ask`]; none when this is no answer to that.
    pub(crate) fn found(&self, id: u16, message: &[u8]) -> Option<Found> {
        let head = message.get(..12)?;
        if head[..2] != id.to_be_bytes() || head[2] & ANSWER == 0 || head[4..6] != [0, 1] {
            return None;
        }
        let (asked, mut at) = name(message, 12)?;
        let kind = match self.wants {
            Wants::V6 => ADDRESS6,
            _ => ADDRESS,
        };
        if asked != self.name || message.get(at..at + 4)? != kind {
            return None;
        }
        at += 4;
        let code = match head[3] & 0xf {
            0 => Code::Fine,
            3 => Code::NoSuchName,
            _ => Code::Failed,
        };
        let mut found = Found {
            code,
            addresses: Vec::new(),
            seconds: u32::MAX,
        };
        // Names in between are aliases that the server followed; whose they are does not matter. What was cut off
        // (by a server that wanted a connection) is left out.
        for _ in 0..u16::from_be_bytes([head[6], head[7]]) {
            let Some(record) = record(message, at) else { break };
            at = record.end;
            found.seconds = found.seconds.min(record.seconds);
            if let Some(address) = record.address.filter(|address| self.wants.fits(*address)) {
                found.addresses.push(address);
            }
        }
        if found.addresses.is_empty() {
            found.seconds = 0;
        }
        found.addresses.truncate(self.wants.most());
        Some(found)
    }
}

struct Record {
    address: Option<IpAddr>,
    seconds: u32,
    end: usize,
}

fn record(message: &[u8], at: usize) -> Option<Record> {
    let (_, at) = name(message, at)?;
    let head = message.get(at..at + 10)?;
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = message.get(at + 10..at + 10 + length)?;
    let address = match data.len() {
        4 if head[..4] == ADDRESS => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        16 if head[..4] == ADDRESS6 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    };
    Some(Record {
        address,
        seconds: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        end: at + 10 + length,
    })
}

/// A name, and where what follows it begins. Parts elsewhere are followed backwards only, which ends.
fn name(message: &[u8], from: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut lowest) = (from, None, from);
    let mut name = String::new();
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..=at + usize::from(length))?;
                // Anything else is no host's name, and would be another one than it looks like.
                if !label
                    .iter()
                    .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c))
                {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|c| char::from(c.to_ascii_lowercase())));
                if name.len() > 253 {
                    return None;
                }
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                let to = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
                end = end.or(Some(at + 2));
                if to >= lowest {
                    return None;
                }
                (at, lowest) = (to, to);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn question() -> Question {
        asking(1)
    }

    fn asking(kind: u8) -> Question {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(b"\x03wWw\x07example\x03com\0");
        message.extend([0, kind, 0, 1]);
        // What follows is an extension that is not looked at.
        message.extend([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        Question::read(&message).expect("a question")
    }

    #[test]
    fn an_answer_is_read_through_its_aliases() {
        let asked = question();
        assert_eq!(
            (asked.id, asked.name.as_str(), asked.wants),
            (7, "www.example.com", Wants::V4)
        );
        let mut message = asked.ask(9);
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = 3;
        message.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x14\0\x04\x01a\xc0\x10");
        message.extend(b"\x01a\xc0\x10\0\x01\0\x01\0\0\x01\0\0\x04\xc0\0\x02\x01");
        message.extend(b"\x01a\xc0\x10\0\x01\0\x01\0\0\x01\0\0\x04\xc0\0\x02\x02");
        let found = asked.found(9, &message).expect("an answer");
        assert_eq!(
            found.addresses,
            [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])]
        );
        assert_eq!((found.code, found.seconds), (Code::Fine, 20));
        // Another number, another question, and no answer at all.
        assert_eq!(asked.found(8, &message), None);
        assert_eq!(asked.found(9, &asked.ask(9)), None);
        message[14] = b'x';
        assert_eq!(asked.found(9, &message), None);
    }

    #[test]
    fn our_answer_can_be_read() {
        for (kind, address, most) in [
            (1, IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), 12),
            (28, IpAddr::from(Ipv6Addr::from_bits(1 << 100)), 8),
        ] {
            let asked = asking(kind);
            // What was not asked for is left out.
            let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            addresses.retain(|other| other.is_ipv4() != address.is_ipv4());
            addresses.extend([address; 40]);
            let message = asked.answer(Code::Fine, &addresses, 60);
            assert!(message.len() <= 512);
            let found = asked.found(7, &message).expect("an answer");
            assert_eq!(
                (found.addresses.len(), found.addresses[0], found.seconds),
                (most, address, 60)
            );
            assert!(asked.is_answered_by(7, &message));
            let other = asking(29 - kind);
            assert!(!other.is_answered_by(7, &message) && other.found(7, &message).is_none());
            let message = asked.answer(Code::Refused, &[], 0);
            assert_eq!(asked.found(7, &message).expect("an answer").code, Code::Failed);
        }
    }

    #[test]
    fn no_prefix_and_no_changed_byte_of_a_message_does_harm() {
        let asked = question();
        let message = asked.answer(Code::Fine, &[IpAddr::from(Ipv4Addr::LOCALHOST); 3], 60);
        for cut in 0..message.len() {
            let _ = (Question::read(&message[..cut]), asked.found(7, &message[..cut]));
            for byte in [0, 1, 63, 64, 0xc0, 0xff] {
                let mut changed = message.clone();
                changed[cut] = byte;
                let found = asked.found(7, &changed);
                assert!(found.is_none_or(|found| found.addresses.len() <= 3));
            }
        }
        // A name that leads to itself.
        let mut circle = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        circle.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(Question::read(&circle), None);
    }
}
