//! Noise streams that equal torch's, number for number.
