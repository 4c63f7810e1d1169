"""TensorRT engines from the graphs of a bundle: one adapter for TensorRT 10, 11 and RTX."""
