//! Values that are a word or something else, as in `"auto"` or an address.

use std::net::{IpAddr, SocketAddr};

use hearth_api::Rank;
use hearth_fabric::registry::RankWish;
use serde::Deserialize;

/// `auto`, or a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub enum RankSetting {
    /// The lowest free one, kept from then on.
    Auto,
    /// This one.
    Fixed(Rank),
}

impl From<RankSetting> for RankWish {
    fn from(setting: RankSetting) -> Self {
        match setting {
            RankSetting::Auto => Self::Auto,
            RankSetting::Fixed(rank) => Self::Fixed(rank),
        }
    }
}

/// `auto`, or a number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub enum MaxBatch {
    /// As many as get more done together, of at most [`MaxBatch::MOST_BY_ITSELF`].
    Auto,
    /// At most so many.
    Fixed(u32),
}

impl MaxBatch {
    /// The most that are tried by themselves.
    pub const MOST_BY_ITSELF: u32 = 16;
    const MOST: u32 = 64;

    /// The most requests that share a step.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            Self::Auto => Self::MOST_BY_ITSELF,
            Self::Fixed(most) => most,
        }
    }
}

impl TryFrom<Scalar> for MaxBatch {
    type Error = String;
    fn try_from(value: Scalar) -> Result<Self, String> {
        let (shown, number) = match value {
            Scalar::Text(text) if text == "auto" => return Ok(Self::Auto),
            Scalar::Text(text) => (format!("{text:?}"), text.parse().ok()),
            Scalar::Number(number) => (number.to_string(), Some(number)),
        };
        let number = number.filter(|number| (1..=Self::MOST).contains(number));
        number
            .map(Self::Fixed)
            .ok_or_else(|| format!("max_batch {shown}: give \"auto\" or 1 to {}", Self::MOST))
    }
}

/// `auto`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub enum Advertise {
    /// The host's own addresses.
    Auto,
    /// This address, with the port that is listened on.
    Ip(IpAddr),
    /// This address and port.
    Addr(SocketAddr),
}

/// A value that TOML may write with or without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u32),
    Text(String),
}

impl TryFrom<Scalar> for RankSetting {
    type Error = String;
    fn try_from(value: Scalar) -> Result<Self, String> {
        match value {
            Scalar::Number(rank) => Ok(Self::Fixed(Rank(rank))),
            Scalar::Text(text) if text == "auto" => Ok(Self::Auto),
            Scalar::Text(text) => match text.parse() {
                Ok(rank) => Ok(Self::Fixed(Rank(rank))),
                Err(_) => Err(format!("rank {text:?}: give \"auto\" or a number from 0")),
            },
        }
    }
}

impl TryFrom<Scalar> for Advertise {
    type Error = String;
    fn try_from(value: Scalar) -> Result<Self, String> {
        let Scalar::Text(text) = value else { return Err("give \"auto\" or an address".into()) };
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let addr = text.parse().map(Self::Addr).or_else(|_| text.parse().map(Self::Ip));
        addr.map_err(|_| format!("{text:?}: give \"auto\", IP or IP:PORT"))
    }
}
