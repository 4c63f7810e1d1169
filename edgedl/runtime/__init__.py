"""Runs bundles on a device, without torch and without onnx."""
