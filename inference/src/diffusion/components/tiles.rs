//! Planes that are too large for a graph, cut into tiles that overlap, and put together again.
//!
//! As diffusers' `AutoencoderKL` does it: tiles start every `tile - overlap` cells, the last ones are
//! cut short by the edge, and where a tile overlaps the one above or at the left the two are mixed,
//! from all of the other's to all of its own. A graph with its size built in can't have short tiles;
//! there the last ones are moved inwards, and only what the others don't have is taken from them.

use std::ops::Range;

/// How planes are cut, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    /// A tile's side.
    pub(super) tile: usize,
    /// What neighbours have in common, less than a tile.
    pub(super) overlap: usize,
    /// Every tile has that side; no plane is smaller.
    pub(super) fixed: bool,
}

/// Planes to be cut, and what becomes of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes<'a> {
    /// [channels, rows · `read`, columns · `read`]
    pub(super) values: &'a [f32],
    /// Rows and columns in cells.
    pub(super) cells: [usize; 2],
    /// Elements of a cell's side among `values`.
    pub(super) read: usize,
    /// Elements of a cell's side in what is made.
    pub(super) write: usize,
    /// Channels of what is made.
    pub(super) channels: usize,
}

/// One side of a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    /// The cells that the graph sees.
    seen: Range<usize>,
    /// Those that are the tile's.
    own: Range<usize>,
    /// Those that end up in the whole; the rest is for mixing.
    kept: usize,
}

impl Grid {
    /// Runs `graph` on each tile, row by row, and gives the whole: [channels, rows · write,
    /// columns · write]. The graph is given planes and their rows and columns in cells.
    pub(super) fn run<E>(
        &self,
        planes: Planes<'_>,
        mut graph: impl FnMut(&[f32], [usize; 2]) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        let Planes { cells: [rows, columns], write, channels, .. } = planes;
        let mut whole = vec![0.0; channels * rows * write * columns * write];
        let mut above: Vec<Tile> = Vec::new();
        for down in self.spans(rows) {
            let mut row: Vec<Tile> = Vec::new();
            for (index, across) in self.spans(columns).into_iter().enumerate() {
                let seen = planes.cut(&down.seen, &across.seen);
                let made = graph(&seen, [down.seen.len(), across.seen.len()])?;
                let mut tile = Tile::of(&made, channels, &down, &across, write);
                if let Some(above) = above.get(index) {
                    tile.mix_top(above, self.overlap * write);
                }
                if let Some(left) = row.last() {
                    tile.mix_left(left, self.overlap * write);
                }
                let at = [down.own.start * write, across.own.start * write];
                let kept = [down.kept * write, across.kept * write];
                tile.put(&mut whole, [rows * write, columns * write], at, kept);
                row.push(tile);
            }
            above = row;
        }
        Ok(whole)
    }

    /// The tiles along a side of so many cells.
    fn spans(&self, length: usize) -> Vec<Span> {
        let stride = self.tile - self.overlap;
        let mut spans = Vec::with_capacity(length.div_ceil(stride));
        let mut start = 0;
        while start < length {
            let end = (start + self.tile).min(length);
            let last = start + stride >= length || (self.fixed && end == length);
            let first = if self.fixed { end.saturating_sub(self.tile) } else { start };
            let kept = if last { length - start } else { stride };
            spans.push(Span { seen: first..end, own: start..end, kept });
            if last {
                break;
            }
            start += stride;
        }
        spans
    }
}

impl Planes<'_> {
    fn cut(&self, down: &Range<usize>, across: &Range<usize>) -> Vec<f32> {
        let [rows, columns] = self.cells.map(|side| side * self.read);
        let [down, across] =
            [down, across].map(|range| range.start * self.read..range.end * self.read);
        let mut cut =
            Vec::with_capacity(self.values.len() / rows / columns * down.len() * across.len());
        for plane in self.values.chunks_exact(rows * columns) {
            for row in plane.chunks_exact(columns).take(down.end).skip(down.start) {
                cut.extend_from_slice(&row[across.clone()]);
            }
        }
        cut
    }
}

/// What a graph made of one tile: [channels, rows, columns].
struct Tile {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Tile {
    /// The tile's own part of what the graph made of all that it saw.
    fn of(made: &[f32], channels: usize, down: &Span, across: &Span, write: usize) -> Self {
        let cells = [down.seen.len(), across.seen.len()];
        let own = |span: &Span| span.own.start - span.seen.start..span.seen.len();
        let made = Planes { values: made, cells, read: write, write, channels };
        let values = made.cut(&own(down), &own(across));
        Self { values, rows: down.own.len() * write, columns: across.own.len() * write }
    }

    /// Mixes the first rows with the last ones of the tile above.
    fn mix_top(&mut self, above: &Self, extent: usize) {
        let extent = extent.min(self.rows).min(above.rows);
        let (size, size_above) = (self.rows * self.columns, above.rows * above.columns);
        let planes = self.values.chunks_exact_mut(size).zip(above.values.chunks_exact(size_above));
        for (plane, above_plane) in planes {
            let last = above_plane[(above.rows - extent) * above.columns..].chunks(above.columns);
            for ((place, row), last) in plane.chunks_mut(self.columns).enumerate().zip(last) {
                let share = place as f32 / extent as f32;
                mix(row, last, |_| share);
            }
        }
    }

    /// Mixes the first columns with the last ones of the tile at the left.
    fn mix_left(&mut self, left: &Self, extent: usize) {
        let extent = extent.min(self.columns).min(left.columns);
        let rows = self.values.chunks_exact_mut(self.columns);
        for (row, last) in rows.zip(left.values.chunks_exact(left.columns)) {
            let last = &last[left.columns - extent..];
            mix(&mut row[..extent], last, |place| place as f32 / extent as f32);
        }
    }

    /// Copies the first `kept` rows and columns into `whole`, of `size`, from `at` on.
    fn put(&self, whole: &mut [f32], size: [usize; 2], at: [usize; 2], kept: [usize; 2]) {
        let ([rows, columns], [down, across]) = (size, at);
        let planes = whole.chunks_exact_mut(rows * columns);
        for (plane, own) in planes.zip(self.values.chunks_exact(self.rows * self.columns)) {
            let into = plane.chunks_exact_mut(columns).skip(down).take(kept[0]);
            for (into, own) in into.zip(own.chunks_exact(self.columns)) {
                into[across..across + kept[1]].copy_from_slice(&own[..kept[1]]);
            }
        }
    }
}

/// `share` of each value of `to` with the rest of `from`.
fn mix(to: &mut [f32], from: &[f32], share: impl Fn(usize) -> f32) {
    for (place, (to, from)) in to.iter_mut().zip(from).enumerate() {
        let share = share(place);
        *to = from * (1.0 - share) + *to * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(tile: usize, overlap: usize, fixed: bool, length: usize) -> Vec<[usize; 4]> {
        let spans = Grid { tile, overlap, fixed }.spans(length);
        spans.iter().map(|s| [s.seen.start, s.own.start, s.own.end, s.kept]).collect()
    }

    #[test]
    fn tiles_lie_as_in_diffusers() {
        assert_eq!(spans(8, 2, false, 13), [[0, 0, 8, 6], [6, 6, 13, 6], [12, 12, 13, 1]]);
        assert_eq!(spans(8, 2, false, 6), [[0, 0, 6, 6]]);
        assert_eq!(spans(8, 2, false, 8), [[0, 0, 8, 6], [6, 6, 8, 2]]);
    }

    #[test]
    fn tiles_of_one_size_are_moved_inwards() {
        assert_eq!(spans(8, 2, true, 13), [[0, 0, 8, 6], [5, 6, 13, 7]]);
        assert_eq!(spans(8, 2, true, 8), [[0, 0, 8, 8]]);
        assert_eq!(spans(8, 2, true, 15), [[0, 0, 8, 6], [6, 6, 14, 6], [7, 12, 15, 3]]);
    }

    /// A graph that sees no further than each cell gives the same in tiles.
    #[test]
    fn what_tiles_make_is_put_in_its_place() {
        for fixed in [false, true] {
            for (cells, read, write) in [([13, 9], 1, 2), ([8, 21], 2, 1), ([16, 16], 1, 1)] {
                let [rows, columns] = cells;
                let size = rows * read * columns * read;
                let values: Vec<f32> = (0..2 * size).map(|value| value as f32).collect();
                let planes = Planes { values: &values, cells, read, write, channels: 2 };
                let graph = |seen: &[f32], cells| Ok::<_, ()>(scaled(seen, cells, read, write));
                let grid = Grid { tile: 8, overlap: 3, fixed };
                let made = grid.run(planes, graph).unwrap();
                let wanted = scaled(&values, cells, read, write);
                let off = made.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(made.len() == wanted.len() && off < 1e-3, "{cells:?}: {off}");
            }
        }
    }

    /// Each cell's first element, over the cell's square.
    fn scaled(values: &[f32], [rows, columns]: [usize; 2], read: usize, write: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for plane in values.chunks_exact(rows * read * columns * read) {
            for row in 0..rows * write {
                for column in 0..columns * write {
                    let [down, across] = [row, column].map(|place| place / write * read);
                    out.push(plane[down * columns * read + across]);
                }
            }
        }
        out
    }

    #[test]
    fn neighbours_are_mixed_from_all_of_one_to_all_of_the_other() {
        let zeros = [0.0; 12];
        let planes = Planes { values: &zeros, cells: [1, 12], read: 1, write: 1, channels: 1 };
        let mut number = -1.0;
        let grid = Grid { tile: 8, overlap: 4, fixed: false };
        let made = grid.run(planes, |seen, _| {
            number += 1.0;
            Ok::<_, ()>(vec![number; seen.len()])
        });
        let wanted = [0., 0., 0., 0., 0., 0.25, 0.5, 0.75, 1., 1.25, 1.5, 1.75];
        assert_eq!(made.unwrap(), wanted);
    }

    #[test]
    fn a_failing_tile_ends_it() {
        let planes = Planes { values: &[0.0; 64], cells: [8, 8], read: 1, write: 1, channels: 1 };
        let mut runs = 0;
        let made = Grid { tile: 4, overlap: 1, fixed: false }.run(planes, |seen, _| {
            runs += 1;
            if runs == 2 { Err("no") } else { Ok(seen.to_vec()) }
        });
        assert_eq!((made, runs), (Err("no"), 2));
    }
}
