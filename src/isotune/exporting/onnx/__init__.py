"""ONNX files: the graph in onnxruntime, and the metadata."""
