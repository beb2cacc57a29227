//! What one call of a graph is for: the next step of pictures that share it.

use std::ops::Range;

use crate::diffusion::conditioning::Conditioning;
use crate::diffusion::run::PictureRun;

/// Pictures with one batch key, and as many copies of each. In the graph's memory a picture's copies
/// lie side by side, picture after picture.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    /// The first: for what all of them have in common.
    pub(super) first: &'a PictureRun,
    pictures: &'a [&'a PictureRun],
    /// Which of each picture's copies, counted from the first that its step needs.
    offset: usize,
    /// How many of each picture's copies.
    pub(super) copies: usize,
}

/// One picture's part of a batch.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) picture: &'a PictureRun,
    /// Its place among the pictures.
    pub(super) place: usize,
    /// Its rows on the graph's batch axis.
    pub(super) rows: Range<usize>,
    /// Which of its copies they are.
    pub(super) copies: Range<usize>,
}

impl<'a> Batch<'a> {
    /// All copies that the pictures' next steps need; none of no pictures.
    pub(super) fn new(pictures: &'a [&'a PictureRun]) -> Option<Self> {
        let first = pictures.first()?;
        Some(Self { first, pictures, offset: 0, copies: first.copies().len() })
    }

    /// Some of them, where a graph can't take all at once.
    pub(super) fn some(self, offset: usize, copies: usize) -> Self {
        Self { offset, copies, ..self }
    }

    /// How many pictures.
    pub(super) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// The length of the graph's batch axis.
    pub(super) fn rows(&self) -> usize {
        self.len() * self.copies
    }

    pub(super) fn parts(self) -> impl Iterator<Item = Part<'a>> {
        self.pictures.iter().enumerate().map(move |(place, picture)| {
            let (row, first) = (place * self.copies, picture.copies().start + self.offset);
            let (rows, copies) = (row..row + self.copies, first..first + self.copies);
            Part { picture, place, rows, copies }
        })
    }

    /// Which of its copies the first picture begins with.
    pub(super) fn first_copy(&self) -> usize {
        self.first.copies().start + self.offset
    }

    pub(super) fn conditioning(&self) -> &'a Conditioning {
        &self.first.conditioning
    }
}
