"""Trains the bundled emoji model from nothing but a font and a table of labels."""
