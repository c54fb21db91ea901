//! CRC-32 as IEEE 802.3 (and gzip, RFC 1952, section 8) has it, which APISIX hashes with.
//!
//! Written out because the list of crates is closed: speed is of no concern here, a table of 256
//! numbers made at compile time is enough.

const TABLE: [u32; 256] = table();

/// The checksum of all parts, one after the other.
pub(super) fn crc32<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(u32::MAX, |crc, byte| {
        let index = usize::from((crc as u8) ^ byte);
        crc >> 8 ^ TABLE.get(index).copied().unwrap_or_default()
    })
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: out of bounds is an error there"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        for (text, sum) in [("", 0), ("123456789", 0xcbf4_3926), ("a", 0xe8b7_be43)] {
            assert_eq!(crc32([text.as_bytes()]), sum);
            let (front, back) = text.as_bytes().split_at(text.len() / 2);
            assert_eq!(crc32([front, back]), sum);
        }
    }
}
