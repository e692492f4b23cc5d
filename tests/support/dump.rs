//! The payload of DUMP for strings, decoded: value, RDB version, and whether its checksum holds.
//!
//! Two right servers may write one value differently (RDB version, integer form, LZF), so payloads
//! are compared by what they say.

use crc::{CRC_64_REDIS, Crc};

/// A decoded payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dumped {
    pub value: Vec<u8>,
    pub version: u16,
}

/// Decodes the payload of a string, or says what is wrong with it.
pub fn decode(payload: &[u8]) -> Result<Dumped, String> {
    let split = payload.len().checked_sub(10).ok_or("shorter than its footer")?;
    let (body, footer) = payload.split_at(split);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let sum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload[..split + 2]);
    if sum.to_le_bytes() != footer[2..] {
        return Err(format!("the checksum does not hold: {sum:016x}"));
    }
    let (kind, body) = body.split_first().ok_or("no type byte")?;
    if *kind != 0 {
        return Err(format!("type {kind} is not a string"));
    }
    let mut reader = Reader(body);
    let value = reader.string()?;
    match reader.0.len() {
        0 => Ok(Dumped { value, version }),
        left => Err(format!("{left} bytes follow the value")),
    }
}

/// Puts a footer behind a body (type byte and value).
pub fn seal(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&version.to_le_bytes());
    let sum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        if count > self.0.len() {
            return Err(format!("{count} bytes wanted, {} left", self.0.len()));
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self, first: u8) -> Result<usize, String> {
        Ok(match first >> 6 {
            0 => usize::from(first & 63),
            1 => usize::from(first & 63) << 8 | usize::from(self.byte()?),
            _ => {
                let width = if first == 0x81 { 8 } else { 4 };
                let bytes = self.take(width)?;
                bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
        })
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        let first = self.byte()?;
        let integer = |width: usize, bytes: &[u8]| {
            let mut wide = [if bytes[width - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
            wide[..width].copy_from_slice(bytes);
            i64::from_le_bytes(wide).to_string().into_bytes()
        };
        Ok(match first {
            0xc0 => integer(1, self.take(1)?),
            0xc1 => integer(2, self.take(2)?),
            0xc2 => integer(4, self.take(4)?),
            0xc3 => {
                let first = self.byte()?;
                let packed = self.length(first)?;
                let first = self.byte()?;
                let length = self.length(first)?;
                unpack(self.take(packed)?, length)?
            }
            _ => {
                let length = self.length(first)?;
                self.take(length)?.to_vec()
            }
        })
    }
}

/// LZF (Marc Lehmann's liblzf): literal runs and back references.
fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut out: Vec<u8> = Vec::new();
    let mut reader = Reader(packed);
    while !reader.0.is_empty() {
        let control = usize::from(reader.byte()?);
        if control < 32 {
            let literal = reader.take(control + 1)?;
            out.extend_from_slice(literal);
            continue;
        }
        let mut count = control >> 5;
        if count == 7 {
            count += usize::from(reader.byte()?);
        }
        let back = ((control & 31) << 8 | usize::from(reader.byte()?)) + 1;
        let from = out.len().checked_sub(back).ok_or("a reference before the start")?;
        // A reference may reach into what it is just writing.
        for at in from..from + count + 2 {
            out.push(out[at]);
        }
    }
    match out.len() == length {
        true => Ok(out),
        false => Err(format!("{} bytes unpacked, {length} promised", out.len())),
    }
}
