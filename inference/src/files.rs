//! Reading small files that somebody else wrote: whole, regular, and of a bounded size.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// What a text of a model folder is, which says how long it may be: parsed it takes many times as
/// much memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    /// Configs have some kilobytes.
    Config,
    /// A line for each file of a folder.
    Manifest,
    /// Vocabularies have some megabytes, those of many languages some dozens.
    Vocabulary,
}

impl Text {
    fn most(self) -> u64 {
        match self {
            Self::Config => 2 << 20,
            Self::Manifest => 32 << 20,
            Self::Vocabulary => 64 << 20,
        }
    }
}

/// What a checkout without Git LFS leaves in a large file's place.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// What Windows' editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of the file at `path`, without a byte order mark.
///
/// # Errors
/// It can't be read, is no regular file (a pipe would be waited for), is longer than its `kind` may
/// be, is not UTF-8, or is a Git LFS pointer.
pub(crate) fn text(path: &Path, kind: Text) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    let bad = |reason: String| io::Error::new(ErrorKind::InvalidData, reason);
    if !metadata.is_file() {
        return Err(bad("it is not a file; copy or export it again".to_owned()));
    }
    let (length, most) = (metadata.len(), kind.most());
    if length > most {
        return Err(bad(format!(
            "it has {length} bytes, such a file has at most {most}; copy or export it again"
        )));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if is_lfs_pointer(&bytes) {
        return Err(bad("it is a Git LFS pointer; run: git lfs pull".to_owned()));
    }
    if let Some(mark) = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::len) {
        bytes.drain(..bytes.len() - mark);
    }
    String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8; copy or export it again".to_owned()))
}

/// Whether a file that begins so is a Git LFS pointer.
pub(crate) fn is_lfs_pointer(begin: &[u8]) -> bool {
    begin.starts_with(LFS_POINTER)
}

/// The same of the file at `path`; one that can't be read is none.
pub(crate) fn starts_as_lfs_pointer(path: &Path) -> bool {
    let mut begin = [0; LFS_POINTER.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && is_lfs_pointer(&begin)
}

/// The remedy for a file that this process has no right to read.
pub(crate) fn right(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "; give this process's user the right to read it",
        _ => "",
    }
}
