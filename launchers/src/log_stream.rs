//! A log that its engine streams, as lines, each of a bounded length.

use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::Error;

/// Longest line that is given as one; what is longer comes in parts.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The lines of a reader, without their ends; bytes that are no UTF-8 are replaced.
pub(crate) fn lines(
    launcher: &'static str,
    reader: impl AsyncBufRead + Send + 'static,
) -> impl Stream<Item = Result<String, Error>> + Send {
    let reader = Box::pin(reader);
    stream::unfold(Some((reader, Vec::new())), move |state| async move {
        let (mut reader, mut line) = state?;
        loop {
            let available = match reader.fill_buf().await {
                Ok(available) => available,
                Err(error) => {
                    let reason = format!("the log broke off: {error}");
                    return Some((Err(Error::Manager { launcher, reason }), None));
                }
            };
            if available.is_empty() {
                return (!line.is_empty()).then(|| (Ok(text(&line)), None));
            }
            let room = MAX_LINE_BYTES - line.len();
            let part = &available[..available.len().min(room)];
            let end = part.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
            let used = end.map_or(part.len(), |end| end + 1);
            reader.as_mut().consume(used);
            if end.is_some() || line.len() == MAX_LINE_BYTES {
                return Some((Ok(text(&line)), Some((reader, Vec::new()))));
            }
        }
    })
    .fuse()
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_in_parts() {
        let long = "x".repeat(MAX_LINE_BYTES + 5);
        let input = format!("one\r\n\ntwo \u{fffd}\n{long}\nlast").into_bytes();
        let reader = futures_util::io::Cursor::new(input);
        let all: Vec<String> = lines("test", reader).map(Result::unwrap).collect().await;
        assert_eq!(all[..3], ["one", "", "two \u{fffd}"]);
        assert_eq!(all[3].len(), MAX_LINE_BYTES);
        assert_eq!(all[4..], ["xxxxx", "last"]);
    }
}
