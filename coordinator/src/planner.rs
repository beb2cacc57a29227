//! Which worker gets an image.
