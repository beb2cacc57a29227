//! A picture in memory.

use crate::Error;

/// An 8-bit RGB picture: rows from the top, pixels from the left, three bytes each, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// A picture of the given bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if `rgb` isn't `width * height * 3` bytes long.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, Error> {
        let image = Self { width, height, rgb };
        image.check()?;
        Ok(image)
    }

    /// Checks that the bytes fit the size; the fields are public, so encoders ask again.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let needed = self.width as usize * self.height as usize * 3;
        if self.rgb.len() == needed {
            return Ok(());
        }
        let shape = vec![self.height as usize, self.width as usize, 3];
        Err(Error::Shape { what: "a picture", shape, needed, got: self.rgb.len() })
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}
