//! Pure: one line of a journal or a checkpoint. `<sequence> <checksum> <length> <payload>\n`, the numbers as fixed
//! width hexadecimal; CRC32C over everything but itself. Plain text, so that a person with a damaged disk and no
//! Redhold can still read what was stored.

/// Length of everything before the payload.
const HEAD: usize = 16 + 1 + 8 + 1 + 8 + 1;

/// Largest payload. A batch is a few records of a few kilobytes; what claims to be larger is damage.
pub(in crate::store) const LARGEST: usize = 64 << 20;

/// A line that was found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Frame<'a> {
    /// Position in the order of everything ever written.
    pub(in crate::store) sequence: u64,
    /// What it carries.
    pub(in crate::store) payload: &'a [u8],
    /// Length of the whole line.
    pub(in crate::store) length: usize,
}

/// Appends a line to `to`.
pub(in crate::store) fn write(to: &mut Vec<u8>, sequence: u64, payload: &[u8]) {
    let checksum = checksum(sequence, payload);
    to.extend_from_slice(format!("{sequence:016x} {checksum:08x} {:08x} ", payload.len()).as_bytes());
    to.extend_from_slice(payload);
    to.push(b'\n');
}

/// Reads the line at the beginning of `bytes`; `None` when it is damaged or not all there.
pub(in crate::store) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
    let head = bytes.get(..HEAD)?;
    let spaces = [16, 25, 34].iter().all(|at| head.get(*at) == Some(&b' '));
    let sequence = hexadecimal(head.get(..16)?)?;
    let stated = hexadecimal(head.get(17..25)?)?;
    let size = usize::try_from(hexadecimal(head.get(26..34)?)?).ok()?;
    if !spaces || size > LARGEST {
        return None;
    }
    let payload = bytes.get(HEAD..HEAD + size)?;
    let whole = bytes.get(HEAD + size) == Some(&b'\n') && u64::from(checksum(sequence, payload)) == stated;
    whole.then_some(Frame {
        sequence,
        payload,
        length: HEAD + size + 1,
    })
}

/// The next whole line after damage, and where it begins: lines begin after a line feed.
pub(in crate::store) fn find(bytes: &[u8]) -> Option<(usize, Frame<'_>)> {
    let mut begin = 0;
    while let Some(feed) = bytes.get(begin..)?.iter().position(|byte| *byte == b'\n') {
        begin += feed + 1;
        if let Some(frame) = bytes.get(begin..).and_then(read) {
            return Some((begin, frame));
        }
    }
    None
}

fn checksum(sequence: u64, payload: &[u8]) -> u32 {
    let head = crc32c::crc32c(&sequence.to_be_bytes());
    let sized = crc32c::crc32c_append(head, &(payload.len() as u64).to_be_bytes());
    crc32c::crc32c_append(sized, payload)
}

/// Lower-case digits only: a flipped bit that turns one into an upper-case letter is damage too.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut line = Vec::new();
        write(&mut line, 0x1f, br#"{"a":1}"#);
        let frame = read(&line).expect("a whole line");
        assert_eq!((frame.sequence, frame.payload), (0x1f, &br#"{"a":1}"#[..]));
        assert_eq!(frame.length, line.len());
        for at in 0..line.len() * 8 {
            let mut damaged = line.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert_eq!(read(&damaged), None, "bit {at}");
        }
        for cut in 0..line.len() {
            assert_eq!(read(&line[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn lines_are_found_again_after_damage() {
        let mut bytes = Vec::new();
        write(&mut bytes, 1, b"one\nwith a feed");
        let second = bytes.len();
        write(&mut bytes, 2, b"two");
        bytes[20] ^= 1;
        let (at, frame) = find(&bytes).expect("the second line");
        assert_eq!((at, frame.sequence), (second, 2));
        assert!(find(&bytes[second + 3..]).is_none());
    }
}
