//! Which trace a call belongs to: W3C Trace Context (Recommendation of 2021-11-23), the header
//! `traceparent`. What is recorded under it is telemetry's.

use std::fmt;
use std::str::FromStr;

/// A trace and the span in it that asks.
///
/// Written as the specification's version 00: `00-<trace id>-<parent id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace: 16 bytes, not all zero.
    pub trace_id: [u8; 16],
    /// The span that asks: 8 bytes, not all zero.
    pub parent_id: [u8; 8],
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// The trace's id as it is written: 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "traceparent {0:?} is not valid: it is 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in \
     small letters and neither id zero"
)]
pub struct InvalidTraceParent(String);

/// The flag of a trace that the caller records.
const SAMPLED: u8 = 1;

/// Longest text that an error repeats, in characters.
const SHOWN: usize = 64;

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [trace, parent] = [hex::encode(self.trace_id), hex::encode(self.parent_id)];
        write!(f, "00-{trace}-{parent}-{:02x}", u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads version 00, and of later versions what they share with it (section 3.2.4).
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        parse(text).ok_or_else(|| InvalidTraceParent(text.chars().take(SHOWN).collect()))
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let mut fields = text.split('-');
    let [version] = bytes::<1>(fields.next()?)?;
    let (trace_id, parent_id) = (bytes::<16>(fields.next()?)?, bytes::<8>(fields.next()?)?);
    let [flags] = bytes::<1>(fields.next()?)?;
    let ends = fields.next().is_none() || (1..0xff).contains(&version);
    let whole = ends && version != 0xff && trace_id != [0; 16] && parent_id != [0; 8];
    whole.then_some(TraceParent { trace_id, parent_id, sampled: flags & SAMPLED != 0 })
}

/// So many bytes in small hex digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let small = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut bytes = [0; N];
    (small && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_specifications_example_is_read_and_written() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.parent_id[0], 0xb7);
        assert_eq!(parent.to_string(), EXAMPLE);
        let later = EXAMPLE.replacen("00", "cc", 1) + "-what-will-be";
        assert_eq!(later.parse(), Ok(parent));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
        let error = "x".repeat(500).parse::<TraceParent>().unwrap_err().to_string();
        assert!(error.len() < 250, "{error}");
    }
}
