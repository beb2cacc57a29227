//! Files that go with a call, from a path or from standard input, read up to what a call may carry: a
//! device or a pipe has no length that could be asked for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::exit::Failure;

/// Reads the file that a flag names, or standard input for `-`; at most `limit` bytes. `flag` is how a
/// person gave it, as in `--image`.
pub(super) fn read(flag: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let bytes = if path == Path::new("-") {
        take(io::stdin().lock(), limit)
    } else {
        File::open(path).and_then(|file| take(file, limit))
    };
    let bytes = bytes.map_err(|error| {
        Failure::usage(format!("{flag} {shown}: the file can't be read")).caused_by(Some(&error))
    })?;
    if bytes.len() as u64 > limit {
        let message =
            format!("{flag} {shown}: it is larger than {limit} bytes, the most that goes");
        return Err(Failure::usage(message));
    }
    Ok(bytes)
}

/// One byte more than may be, to see that there are more.
fn take(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_to_the_limit() {
        let error = read("--image", Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(
            error,
            "error: --image /dev/zero: it is larger than 1000 bytes, the most that goes"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        std::fs::write(&path, [7; 1000]).unwrap();
        assert_eq!(read("--image", &path, 1000).unwrap(), [7; 1000]);
        let error = read("--image", folder.path(), 1000).unwrap_err().to_string();
        assert!(error.contains("can't be read\ncaused by: Is a directory"), "{error}");
    }
}
