//! Whether a file is a whole 64-bit ELF shared library.
//!
//! Mapping a truncated library ends the process with SIGBUS instead of an error, so its headers
//! are checked against the file's length before the loader sees it. Nothing else is checked.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Error;

const HEADER: usize = 64;
/// Size of one program header in a 64-bit file.
const PROGRAM_HEADER: u64 = 56;
/// `e_type` of a shared library.
const ET_DYN: u16 = 3;

/// Checks the file at `path`.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let damaged = |reason: String| Error::LibraryDamaged { path: path.to_owned(), reason };

    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Err(damaged(format!("it has {length} bytes")));
    }
    file.read_exact(&mut header).map_err(io)?;
    // Magic number, 64-bit class, little-endian.
    if !header.starts_with(b"\x7fELF\x02\x01") || u16_at(&header, 16) != ET_DYN {
        return Err(damaged("it isn't a 64-bit little-endian ELF shared library".to_owned()));
    }
    let check = |what: &str, end: Option<u64>| match end {
        Some(end) if end <= length => Ok(()),
        Some(end) => Err(damaged(format!(
            "it is truncated: {length} bytes, but its {what} end at byte {end}"
        ))),
        None => Err(damaged(format!("its {what} are out of range"))),
    };

    let (program_offset, section_offset) = (u64_at(&header, 32), u64_at(&header, 40));
    let program_count = u64::from(u16_at(&header, 56));
    let section_table = u64::from(u16_at(&header, 58)) * u64::from(u16_at(&header, 60));
    check("section headers", section_offset.checked_add(section_table))?;
    check("program headers", program_offset.checked_add(program_count * PROGRAM_HEADER))?;
    for index in 0..program_count {
        let mut entry = [0; PROGRAM_HEADER as usize];
        file.read_exact_at(&mut entry, program_offset + index * PROGRAM_HEADER).map_err(io)?;
        check("segments", u64_at(&entry, 8).checked_add(u64_at(&entry, 32)))?;
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}
