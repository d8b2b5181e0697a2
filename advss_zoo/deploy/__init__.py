"""ONNX files.

metadata: what a file of ours says of itself. export: a model as such a file. onnx_model: inference through onnxruntime,
without torch. onnx_module: an ONNX file as a `Model`.
"""
