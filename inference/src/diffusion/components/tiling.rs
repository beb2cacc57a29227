//! Whether a VAE's work is cut, and how large the tiles are.

use super::configs::VaeConfig;
use super::tiles::Grid;
use crate::blueprint::folder::{BadTiling, TilingThreshold, VaeTiling};
use crate::model::Error;

/// Pictures up to this many pixels are done in one piece if nothing is said: those of every family's
/// usual sizes, and about what a machine has memory for.
const WHOLE: u64 = 1024 * 1024;
/// A tile's side where the VAE's config says nothing of it.
const TILE: u32 = 512;
/// What diffusers has.
const OVERLAP: f64 = 0.25;
/// Cells of a tile's side, at least: a decoder sees nothing beyond the tile.
const MIN_CELLS: u32 = 16;

/// The settings for one VAE, lengths in latent cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Pictures of more cells are cut; none where nothing is.
    above: Option<usize>,
    tile: usize,
    overlap: usize,
    /// It was asked for.
    given: bool,
}

impl Tiling {
    /// The settings `asked` for, with the defaults for the VAE of `config`. `built_in` are a component
    /// and its rows and columns of cells for each graph that takes no other size.
    pub(super) fn resolve(
        asked: VaeTiling,
        config: &VaeConfig,
        built_in: &[(&'static str, [usize; 2])],
    ) -> Result<Self, Error> {
        asked.check()?;
        let cell = config.cell();
        let given = asked.is_given() && asked.above != Some(TilingThreshold::Off);
        let square = built_in.iter().map(|(_, [rows, columns])| *rows.min(columns)).min();
        let tile = match (asked.tile, square) {
            (Some(tile), _) => tile,
            (None, Some(cells)) => u32::try_from(cells).unwrap_or(0).saturating_mul(cell),
            (None, None) => {
                let own = config.sample_size().unwrap_or(TILE);
                (own - own % cell).max(MIN_CELLS * cell)
            }
        };
        if !tile.is_multiple_of(cell) {
            let below = (tile / cell * cell).max(MIN_CELLS * cell);
            let message = format!(
                "not a multiple of {cell}, the pixels of a latent cell; give {below} or {}",
                below + cell
            );
            return Err(BadTiling::new("tile", tile, message).into());
        }
        let smallest = MIN_CELLS * cell;
        if asked.tile.is_some_and(|tile| tile < smallest) {
            let message = format!("a decoder sees too little in it; give {smallest} or more");
            return Err(BadTiling::new("tile", tile, message).into());
        }
        for (component, [rows, columns]) in built_in.iter().filter(|_| given) {
            let [height, width] = [rows, columns].map(|side| side * cell as usize);
            if [height, width] != [tile as usize; 2] {
                let message = format!(
                    "{component} has {width}x{height} built in; give that size where it is square, or \
                     export it with open axes"
                );
                return Err(BadTiling::new("tile", tile, message).into());
            }
        }
        let share = asked.overlap.unwrap_or(OVERLAP);
        let tile = (tile / cell) as usize;
        let overlap = (tile as f64 * share) as usize;
        if overlap == 0 {
            let message = format!("less than one of the {tile} cells of a tile; give more");
            return Err(BadTiling::new("overlap", share, message).into());
        }
        let pixels = (tile * cell as usize).pow(2) as u64;
        let above = match asked.above {
            Some(above) if above.pixels().is_some_and(|area| area < pixels) => {
                let side = tile * cell as usize;
                let message = format!(
                    "smaller than a tile of {side}x{side}; give {side}x{side} or more, or a \
                     smaller tile"
                );
                return Err(BadTiling::new("above", above, message).into());
            }
            Some(above) => above.pixels(),
            None => Some(WHOLE.max(pixels)),
        };
        let cells = |area: u64| (area / u64::from(cell).pow(2)) as usize;
        Ok(Self { above: above.map(cells), tile, overlap, given })
    }

    /// How a picture of so many rows and columns of cells is cut, by a graph that takes tiles of
    /// one size only where it is `fixed`; none where it is done in one piece.
    pub(super) fn grid(&self, [rows, columns]: [usize; 2], fixed: bool) -> Option<Grid> {
        let Self { above, tile, overlap, given } = *self;
        let cut = match fixed {
            true => given && [rows, columns] != [tile; 2],
            false => above.is_some_and(|above| rows * columns > above),
        };
        cut.then_some(Grid { tile, overlap, fixed })
    }

    /// Whether graphs of a fixed size may make pictures of other sizes.
    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// Cells of a tile's side.
    pub(super) fn tile(&self) -> usize {
        self.tile
    }
}

impl From<BadTiling> for Error {
    fn from(bad: BadTiling) -> Self {
        Self::Model { place: format!("vae_tiling.{} {}", bad.key, bad.value), reason: bad.message }
    }
}
