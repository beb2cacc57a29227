"""Makes ONNX folders of random weights, for tests and measurements."""
