//! What a result consists of, by its kind of media.

use serde::{Deserialize, Serialize};

use crate::tensor::{Dtype, TensorHeader};

/// What an item's bytes hold once they are decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub enum MediaFacts {
    /// A picture.
    Image {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Sound.
    Audio {
        /// Samples per second of each channel.
        sample_rate: u32,
        /// Channels.
        channels: u32,
        /// Duration in seconds.
        seconds: f64,
    },
    /// Numbers.
    Tensor(TensorHeader),
    /// Words.
    Text,
    /// A kind of a newer version.
    Unknown,
}

/// The kinds' names, as in `"kind": "image"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Image,
    Audio,
    Tensor,
    Text,
    #[serde(other)]
    Unknown,
}

/// [`MediaFacts`] as they are written: one flat map. An enum with content would be read through a
/// recursive value, and nothing recursive is read from a peer.
#[derive(Serialize, Deserialize)]
struct Fields {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channels: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dtype: Option<Dtype>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<u64>>,
}

impl Fields {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            width: None,
            height: None,
            sample_rate: None,
            channels: None,
            seconds: None,
            dtype: None,
            shape: None,
        }
    }
}

impl From<MediaFacts> for Fields {
    fn from(facts: MediaFacts) -> Self {
        match facts {
            MediaFacts::Image { width, height } => {
                Self { width: Some(width), height: Some(height), ..Self::new(Kind::Image) }
            }
            MediaFacts::Audio { sample_rate, channels, seconds } => Self {
                sample_rate: Some(sample_rate),
                channels: Some(channels),
                seconds: Some(seconds),
                ..Self::new(Kind::Audio)
            },
            MediaFacts::Tensor(TensorHeader { dtype, shape }) => {
                Self { dtype: Some(dtype), shape: Some(shape), ..Self::new(Kind::Tensor) }
            }
            MediaFacts::Text => Self::new(Kind::Text),
            MediaFacts::Unknown => Self::new(Kind::Unknown),
        }
    }
}

impl From<Fields> for MediaFacts {
    /// Facts that a kind should have and that are missing make it unknown.
    fn from(fields: Fields) -> Self {
        let facts = match fields.kind {
            Kind::Image => {
                fields.width.zip(fields.height).map(|(width, height)| Self::Image { width, height })
            }
            Kind::Audio => fields.sample_rate.zip(fields.channels).zip(fields.seconds).map(
                |((sample_rate, channels), seconds)| Self::Audio { sample_rate, channels, seconds },
            ),
            Kind::Tensor => fields
                .dtype
                .zip(fields.shape)
                .map(|(dtype, shape)| Self::Tensor(TensorHeader { dtype, shape })),
            Kind::Text => Some(Self::Text),
            Kind::Unknown => None,
        };
        facts.unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_one_flat_map_and_comes_back() {
        let tensor = TensorHeader { dtype: Dtype::F32, shape: vec![1, 4, 8, 8] };
        for (facts, json) in [
            (
                MediaFacts::Image { width: 512, height: 768 },
                r#"{"kind":"image","width":512,"height":768}"#,
            ),
            (
                MediaFacts::Audio { sample_rate: 22_050, channels: 1, seconds: 1.5 },
                r#"{"kind":"audio","sample_rate":22050,"channels":1,"seconds":1.5}"#,
            ),
            (MediaFacts::Tensor(tensor), r#"{"kind":"tensor","dtype":"f32","shape":[1,4,8,8]}"#),
            (MediaFacts::Text, r#"{"kind":"text"}"#),
        ] {
            assert_eq!(serde_json::to_string(&facts).unwrap(), json);
            assert_eq!(serde_json::from_str::<MediaFacts>(json).unwrap(), facts);
        }
    }

    #[test]
    fn a_kind_of_a_newer_version_and_one_without_its_facts_are_unknown() {
        for json in [r#"{"kind":"hologram","depth":3}"#, r#"{"kind":"image","width":5}"#] {
            assert_eq!(serde_json::from_str::<MediaFacts>(json).unwrap(), MediaFacts::Unknown);
        }
    }
}
