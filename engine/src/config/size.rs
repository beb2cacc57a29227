//! A number of bytes as people write it: `8GiB`, `512MiB`, `1GB`, `65536`.

use serde::{Deserialize, Deserializer};

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Size {
    /// Reads a size.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unit = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (number, unit) = unit.unwrap_or((text, 1));
        let bytes = number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        match bytes {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(format!("{text:?} is no size: give a whole number above 0, as in 8GiB")),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size, as in \"8GiB\"")]
        enum Form {
            Bytes(u64),
            Text(String),
        }
        let size = match Form::deserialize(deserializer)? {
            Form::Bytes(bytes) => Self::parse(&bytes.to_string()),
            Form::Text(text) => Self::parse(&text),
        };
        size.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("8GiB", 8 << 30), ("512 MiB", 512 << 20), ("1GB", 1_000_000_000), ("7", 7)]
        {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "0", "-1", "8 gigs", "1.5GiB", "99999999999TiB"] {
            assert!(Size::parse(text).unwrap_err().contains("8GiB"), "{text}");
        }
    }
}
