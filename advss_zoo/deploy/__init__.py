"""Models where they are used: ONNX files, and the labels of images.

metadata: what an ONNX file of ours says of itself. export: a checkpoint as such a file. onnx_model: inference through
onnxruntime. predict: which images there are, and what is in them. These import no torch, apart from export and the two
bridges torch_model (a checkpoint for `predict`) and onnx_module (an ONNX file for `advss_zoo.evaluation`).
"""
