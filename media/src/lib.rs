//! What a request produces: images and tensors, and their encoders.
