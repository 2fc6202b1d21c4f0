//! Pure: as much of the domain name system's messages (RFC 1035) as a question for IPv4 addresses and its answer need.
//!
//! Everything here comes from inside or from the network and may be malformed on purpose: nothing is read without
//! a look at its bounds, and no loop follows what a message says for longer than the message is.

use std::net::Ipv4Addr;

/// Type and class of an IPv4 address.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

/// Whatever more a name has is left out, so that an answer fits into the 512 bytes that every client takes.
const MOST_ADDRESSES: usize = 12;

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

/// A question, from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Tells it from others; the asker's choice.
    pub(crate) id: u16,
    /// In lower case, without a dot at its end.
    pub(crate) name: String,
    /// Whether it asks for IPv4 addresses.
    pub(crate) for_address: bool,
    /// The question as it was put, letters as they were: its asker compares.
    words: Vec<u8>,
    /// Whether the asker wants others to be asked.
    recursion: u8,
}

/// What a server of names answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) code: Code,
    pub(crate) addresses: Vec<Ipv4Addr>,
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
            for_address: kind == ADDRESS,
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

    /// The answer to who asked.
    pub(crate) fn answer(&self, code: Code, addresses: &[Ipv4Addr], seconds: u32) -> Vec<u8> {
        let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
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
            message.extend(ADDRESS);
            message.extend(seconds.to_be_bytes());
            message.extend([0, 4]);
            message.extend(address.octets());
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
        if asked != self.name || message.get(at..at + 4)? != ADDRESS {
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
            if let Some(address) = record.address {
                found.addresses.push(address);
            }
        }
        if found.addresses.is_empty() {
            found.seconds = 0;
        }
        found.addresses.truncate(MOST_ADDRESSES);
        Some(found)
    }
}

struct Record {
    address: Option<Ipv4Addr>,
    seconds: u32,
    end: usize,
}

fn record(message: &[u8], at: usize) -> Option<Record> {
    let (_, at) = name(message, at)?;
    let head = message.get(at..at + 10)?;
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = message.get(at + 10..at + 10 + length)?;
    let address = <[u8; 4]>::try_from(data).ok().filter(|_| head[..4] == ADDRESS);
    Some(Record {
        address: address.map(Ipv4Addr::from),
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
    use super::*;

    fn question() -> Question {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(b"\x03wWw\x07example\x03com\0\0\x01\0\x01");
        // What follows is an extension that is not looked at.
        message.extend([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        Question::read(&message).expect("a question")
    }

    #[test]
    fn an_answer_is_read_through_its_aliases() {
        let asked = question();
        assert_eq!(
            (asked.id, asked.name.as_str(), asked.for_address),
            (7, "www.example.com", true)
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
            [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)]
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
        let asked = question();
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let message = asked.answer(Code::Fine, &[address; 40], 60);
        assert!(message.len() <= 512);
        let found = asked.found(7, &message).expect("an answer");
        assert_eq!(
            (found.addresses.len(), found.addresses[0], found.seconds),
            (MOST_ADDRESSES, address, 60)
        );
        let message = asked.answer(Code::Refused, &[], 0);
        assert_eq!(asked.found(7, &message).expect("an answer").code, Code::Failed);
    }

    #[test]
    fn no_prefix_and_no_changed_byte_of_a_message_does_harm() {
        let asked = question();
        let message = asked.answer(Code::Fine, &[Ipv4Addr::LOCALHOST; 3], 60);
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
