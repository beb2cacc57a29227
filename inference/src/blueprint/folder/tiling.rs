//! `vae_tiling`: from which size on a VAE works in tiles, as a folder or a worker's config says it.
//!
//! What doesn't depend on the model is checked here; the rest where the VAE is loaded.

use std::fmt;

use serde::Deserialize;

/// Tiles wider than this help nobody.
const MAX_TILE: u32 = 16_384;
/// More, and three tiles would meet.
const MAX_OVERLAP: f64 = 0.5;

/// How a VAE's decoder and encoder cut large pictures. What isn't given has its default where the
/// VAE is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaeTiling {
    /// Pictures of more pixels are cut.
    pub above: Option<TilingThreshold>,
    /// A tile's side in pixels.
    pub tile: Option<u32>,
    /// The share of a tile's side that it has in common with the next, above 0 to 0.5.
    pub overlap: Option<f64>,
}

/// Pictures of more pixels than this are cut: `1024x1024`, or `off` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum TilingThreshold {
    /// None is cut.
    Off,
    /// Pixels in a row, and rows.
    Size([u32; 2]),
}

/// A key of `vae_tiling` that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {value}: {message}")]
pub struct BadTiling {
    /// The key, such as `tile`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it, and the remedy.
    pub message: String,
}

impl BadTiling {
    pub(crate) fn new(key: &'static str, value: impl fmt::Display, message: String) -> Self {
        Self { key, value: value.to_string(), message }
    }
}

impl VaeTiling {
    /// These settings; what they leave out is as in `under`.
    #[must_use]
    pub fn over(self, under: Self) -> Self {
        Self {
            above: self.above.or(under.above),
            tile: self.tile.or(under.tile),
            overlap: self.overlap.or(under.overlap),
        }
    }

    /// Whether anything is said.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Checks what doesn't depend on the model.
    ///
    /// # Errors
    /// The first key that can't be used.
    pub fn check(&self) -> Result<(), BadTiling> {
        if let Some(tile) = self.tile.filter(|tile| !(1..=MAX_TILE).contains(tile)) {
            return Err(BadTiling::new("tile", tile, format!("give 1 to {MAX_TILE} pixels")));
        }
        if let Some(overlap) = self.overlap.filter(|share| !(*share > 0.0 && *share <= MAX_OVERLAP))
        {
            let message = format!("give a share above 0, up to {MAX_OVERLAP}");
            return Err(BadTiling::new("overlap", overlap, message));
        }
        match (self.above, self.tile) {
            (Some(above @ TilingThreshold::Size(_)), Some(tile))
                if above.pixels() < Some(square(tile)) =>
            {
                let message = format!(
                    "smaller than a tile of {tile}x{tile}; give {tile}x{tile} or more, or a \
                     smaller tile"
                );
                Err(BadTiling::new("above", above, message))
            }
            _ => Ok(()),
        }
    }
}

impl TilingThreshold {
    /// The number of pixels; none where nothing is cut.
    #[must_use]
    pub fn pixels(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Size([width, height]) => Some(u64::from(width) * u64::from(height)),
        }
    }
}

fn square(side: u32) -> u64 {
    u64::from(side) * u64::from(side)
}

impl TryFrom<String> for TilingThreshold {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let side = |text: &str| text.parse().ok().filter(|side: &u32| *side > 0);
        let sides = text
            .split_once('x')
            .and_then(|(width, height)| Some(Self::Size([side(width)?, side(height)?])));
        sides.ok_or_else(|| format!("above {text:?}: give WIDTHxHEIGHT, or \"off\""))
    }
}

impl fmt::Display for TilingThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Size([width, height]) => write!(f, "{width}x{height}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<VaeTiling, String> {
        let tiling: VaeTiling = serde_json::from_str(json).map_err(|error| error.to_string())?;
        tiling.check().map(|()| tiling).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_and_nonsense_is_refused_with_a_remedy() {
        let all = read(r#"{"above": "1024x768", "tile": 512, "overlap": 0.25}"#).unwrap();
        assert_eq!(all.above.and_then(TilingThreshold::pixels), Some(1024 * 768));
        assert_eq!(read(r#"{"above": "off"}"#).unwrap().above, Some(TilingThreshold::Off));
        for (json, message) in [
            (r#"{"above": "big"}"#, "above \"big\": give WIDTHxHEIGHT, or \"off\""),
            (r#"{"above": "0x8"}"#, "above \"0x8\": give"),
            (r#"{"tile": 0}"#, "tile 0: give 1 to 16384 pixels"),
            (r#"{"overlap": 0}"#, "overlap 0: give a share above 0, up to 0.5"),
            (r#"{"overlap": 0.6}"#, "overlap 0.6: give a share"),
            (
                r#"{"above": "256x256", "tile": 512}"#,
                "above 256x256: smaller than a tile of 512x512; give 512x512 or more",
            ),
            (r#"{"size": 512}"#, "unknown field `size`, expected one of `above`, `tile`"),
        ] {
            let refused = read(json).unwrap_err();
            assert!(refused.contains(message), "{refused}");
        }
    }

    #[test]
    fn a_worker_speaks_before_the_folder() {
        let worker = VaeTiling { tile: Some(256), ..VaeTiling::default() };
        let folder = VaeTiling {
            tile: Some(512),
            above: Some(TilingThreshold::Off),
            ..VaeTiling::default()
        };
        let both = worker.over(folder);
        assert_eq!(
            (both.tile, both.above, both.overlap),
            (Some(256), Some(TilingThreshold::Off), None)
        );
    }
}
