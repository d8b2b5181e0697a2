"""Models where they are used: ONNX files, and the labels of images.

metadata: what an ONNX file of ours says of itself. export: a checkpoint as such a file. onnx_model: inference through
onnxruntime. predict: which images there are, and what is in them. These import no torch before a checkpoint is opened,
apart from export and onnx_module (an ONNX file for `advss_zoo.evaluation`).
"""
