"""A model for where the platform is not: a folder with one ONNX graph and a runner of one file.

The runner needs numpy and onnxruntime. Nothing else of the platform may be imported by it.
"""
