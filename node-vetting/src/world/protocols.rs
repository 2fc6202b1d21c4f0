//! First words of the protocols that Node-RED nodes speak: enough for a client to get past its handshake and to do
//! what it came for.

use crate::world::answers;

/// Which protocol a host speaks, and how far the conversation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Nothing is known: an HTTP request is answered, anything else is not.
    Unknown,
    Mqtt,
    Modbus,
    /// Whether the text of a mail is on its way.
    Smtp {
        body: bool,
    },
    Redis,
    /// Packets so far.
    Mysql {
        packets: u32,
    },
    S7,
    OpcUa,
}

/// What comes back.
#[derive(Default)]
pub(super) struct Said {
    pub(super) parts: Vec<Vec<u8>>,
    pub(super) close: bool,
}

impl From<Vec<u8>> for Said {
    fn from(part: Vec<u8>) -> Self {
        Self {
            parts: vec![part],
            close: false,
        }
    }
}

impl Protocol {
    /// What usually speaks on a port.
    pub(super) fn of_port(port: u16, transport: &str) -> Self {
        match (transport, port) {
            ("udp", _) => Self::Unknown,
            (_, 1883 | 8883) => Self::Mqtt,
            (_, 502 | 802 | 1502) => Self::Modbus,
            (_, 25 | 465 | 587 | 2525) => Self::Smtp { body: false },
            (_, 6379) => Self::Redis,
            (_, 3306) => Self::Mysql { packets: 0 },
            (_, 102) => Self::S7,
            (_, 4840) => Self::OpcUa,
            _ => Self::Unknown,
        }
    }

    /// What the server says first.
    pub(super) fn greeting(&mut self) -> Vec<Vec<u8>> {
        match self {
            Self::Smtp { .. } => vec![b"220 mail.line3.example ESMTP\r\n".to_vec()],
            Self::Mysql { .. } => vec![mysql_packet(0, &mysql_greeting())],
            _ => Vec::new(),
        }
    }

    /// The answer to bytes.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Said {
        match self {
            Self::Unknown if is_http(bytes) => Said {
                parts: vec![answers::raw()],
                close: true,
            },
            // A broker on another port is known by its clients' first packet.
            Self::Unknown
                if bytes.len() > 6 && bytes[0] == 0x10 && memchr::memmem::find(bytes, b"MQ").is_some() =>
            {
                *self = Self::Mqtt;
                mqtt(bytes)
            }
            Self::Unknown => Said::default(),
            Self::Mqtt => mqtt(bytes),
            Self::Modbus => modbus(bytes).map_or_else(Said::default, Said::from),
            Self::Smtp { body } => smtp(bytes, body),
            Self::Redis => redis(bytes).into(),
            Self::Mysql { packets } => {
                *packets += 1;
                let sequence = bytes.get(3).map_or(1, |last| last.wrapping_add(1));
                // OK: nothing affected, no identity, waiting for commands.
                mysql_packet(sequence, &[0, 0, 0, 2, 0, 0, 0]).into()
            }
            Self::S7 => s7(bytes).map_or_else(Said::default, Said::from),
            Self::OpcUa => opc_ua(bytes).map_or_else(Said::default, Said::from),
        }
    }
}

fn is_http(bytes: &[u8]) -> bool {
    let methods: [&[u8]; 7] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"PATCH ",
        b"DELETE ",
        b"OPTIONS ",
    ];
    methods.iter().any(|method| bytes.starts_with(method))
}

/// MQTT 3.1.1 and 5: control packets, section 2.2 of either.
fn mqtt(mut bytes: &[u8]) -> Said {
    let mut said = Said::default();
    while let Some((packet, length)) = mqtt_packet(bytes) {
        let head = bytes[0];
        match head >> 4 {
            // CONNECT: accepted; level 5 has an empty list of properties besides.
            1 => said.parts.push(if packet.get(6) == Some(&5) {
                vec![0x20, 3, 0, 0, 0]
            } else {
                vec![0x20, 2, 0, 0]
            }),
            // PUBLISH with an answer asked for: received.
            3 if head & 0b110 != 0 => {
                let topic = packet
                    .get(..2)
                    .map_or(0, |length| usize::from(length[0]) << 8 | usize::from(length[1]));
                if let Some(id) = packet.get(2 + topic..4 + topic) {
                    said.parts
                        .push(vec![if head & 0b100 == 0 { 0x40 } else { 0x50 }, 2, id[0], id[1]]);
                }
            }
            // PUBREL: complete.
            6 => said
                .parts
                .extend(packet.get(..2).map(|id| vec![0x70, 2, id[0], id[1]])),
            // SUBSCRIBE and UNSUBSCRIBE: granted.
            8 => said
                .parts
                .extend(packet.get(..2).map(|id| vec![0x90, 3, id[0], id[1], 0])),
            10 => said
                .parts
                .extend(packet.get(..2).map(|id| vec![0xb0, 2, id[0], id[1]])),
            // PINGREQ.
            12 => said.parts.push(vec![0xd0, 0]),
            14 => said.close = true,
            _ => {}
        }
        bytes = &bytes[length..];
    }
    said
}

/// The body of the first packet, and its length with its header.
fn mqtt_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut length = 0_usize;
    for at in 1..5 {
        let byte = usize::from(*bytes.get(at)?);
        length |= (byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Some((bytes.get(at + 1..at + 1 + length)?, at + 1 + length));
        }
    }
    None
}

/// Modbus TCP: a header of seven bytes, then the function with its data.
fn modbus(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, unit, function) = (bytes.get(..4)?, *bytes.get(6)?, *bytes.get(7)?);
    let number = |at: usize| Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?));
    let mut answer = match function {
        1 | 2 => {
            let count = number(10)?.min(2000).div_ceil(8);
            [vec![function, count as u8], vec![0x55; count]].concat()
        }
        3 | 4 => {
            let count = number(10)?.min(125);
            let values: Vec<u8> = (0..count).flat_map(|index| [0, index as u8 + 1]).collect();
            [vec![function, (count * 2) as u8], values].concat()
        }
        5 | 6 | 15 | 16 => bytes.get(7..12)?.to_vec(),
        other => vec![other | 0x80, 1],
    };
    answer.insert(0, unit);
    let mut whole = header.to_vec();
    whole.extend_from_slice(&(answer.len() as u16).to_be_bytes());
    whole.append(&mut answer);
    Some(whole)
}

fn smtp(bytes: &[u8], body: &mut bool) -> Said {
    if *body {
        if !bytes.ends_with(b"\r\n.\r\n") && bytes != b".\r\n" {
            return Said::default();
        }
        *body = false;
        return b"250 2.0.0 queued\r\n".to_vec().into();
    }
    let verb = bytes.get(..4).unwrap_or(bytes).to_ascii_uppercase();
    let answer: &[u8] = match verb.as_slice() {
        b"EHLO" => b"250-mail.line3.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
        b"AUTH" => b"235 2.7.0 accepted\r\n",
        b"DATA" => {
            *body = true;
            b"354 go ahead\r\n"
        }
        b"QUIT" => b"221 2.0.0 bye\r\n",
        _ => b"250 2.1.0 ok\r\n",
    };
    Said {
        parts: vec![answer.to_vec()],
        close: verb == b"QUIT",
    }
}

/// One answer per command; the commands are counted by their array marks.
fn redis(bytes: &[u8]) -> Vec<u8> {
    let upper = bytes.to_ascii_uppercase();
    let has = |word: &[u8]| memchr::memmem::find(&upper, word).is_some();
    let one: &[u8] = if has(b"PING") {
        b"+PONG\r\n"
    } else if has(b"INFO") {
        b"$38\r\nredis_version:7.4.0\r\nloading:0\r\nrole:x\r\n\r\n"
    } else if has(b"GET") {
        b"$2\r\n42\r\n"
    } else {
        b"+OK\r\n"
    };
    let commands = bytes.split(|byte| *byte == b'*').skip(1).count().clamp(1, 64);
    one.repeat(commands)
}

fn mysql_packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(sequence);
    packet.extend_from_slice(body);
    packet
}

/// Protocol 10: version, thread, challenge, what the server can do.
fn mysql_greeting() -> Vec<u8> {
    let mut body = vec![10];
    body.extend_from_slice(b"8.0.40\0");
    body.extend_from_slice(&[17, 0, 0, 0]);
    body.extend_from_slice(b"challeng\0");
    body.extend_from_slice(&[0xff, 0xf7, 33, 2, 0, 0x0f, 0x00, 21]);
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(b"challenge-12\0mysql_native_password\0");
    body
}

/// ISO on TCP: a connection is confirmed, and so is the set-up of the S7 job above it.
fn s7(bytes: &[u8]) -> Option<Vec<u8>> {
    match *bytes.get(5)? {
        0xe0 => {
            let mut confirmed = bytes.to_vec();
            confirmed[5] = 0xd0;
            // Whose reference is whose changes with the direction.
            let source = [*bytes.get(8)?, *bytes.get(9)?];
            confirmed[6..8].copy_from_slice(&source);
            Some(confirmed)
        }
        0xf0 if bytes.get(7) == Some(&0x32) && bytes.get(17) == Some(&0xf0) => {
            let (high, low) = (*bytes.get(11)?, *bytes.get(12)?);
            Some(vec![
                3, 0, 0, 27, 2, 0xf0, 0x80, 0x32, 3, 0, 0, high, low, 0, 8, 0, 0, 0, 0, 0xf0, 0, 0, 1, 0, 1,
                0, 0xf0,
            ])
        }
        _ => None,
    }
}

/// OPC UA over TCP: a hello is acknowledged with the limits of a common server.
fn opc_ua(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"HELF") {
        return None;
    }
    let mut answer = b"ACKF".to_vec();
    for number in [28_u32, 0, 65_535, 65_535, 0, 0] {
        answer.extend_from_slice(&number.to_le_bytes());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(port: u16, bytes: &[u8]) -> Vec<u8> {
        Protocol::of_port(port, "tcp").answer(bytes).parts.concat()
    }

    #[test]
    fn brokers_accept_subscribe_and_answer_pings() {
        let connect = [&[0x10, 14, 0, 4][..], b"MQTT", &[4, 2, 0, 60, 0, 2], b"ab"].concat();
        let subscribe = [0x82, 6, 0, 9, 0, 1, b'a', 0];
        let all = [connect.as_slice(), &subscribe, &[0xc0, 0]].concat();
        assert_eq!(answer(1883, &all), [0x20, 2, 0, 0, 0x90, 3, 0, 9, 0, 0xd0, 0]);
        assert_eq!(answer(11_883, &connect), [0x20, 2, 0, 0]);
    }

    #[test]
    fn registers_are_read_and_written() {
        let read = [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2];
        assert_eq!(answer(502, &read), [0, 7, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2]);
        let write = [0, 8, 0, 0, 0, 6, 1, 6, 0, 5, 0, 9];
        assert_eq!(answer(502, &write), write);
    }

    #[test]
    fn damaged_packets_are_met_with_silence() {
        for port in [1883, 502, 25, 6379, 3306, 102, 4840, 9999] {
            for bytes in [
                &b""[..],
                &[0],
                &[0xff; 3],
                &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff],
                &[0xe0; 9],
            ] {
                let _ = answer(port, bytes);
            }
        }
    }
}
