"""Little ONNX files: the mean colour of an image is its logits, so what it should answer is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper

CLASSES = ("red", "green", "blue")
PROPS = {
    "name": "colours.tiny",
    "sha256": "0" * 64,
    "classes": json.dumps(CLASSES),
    "image_size": "8",
    "advss_version": "0.1.0",
}


def graph(
    shape: Sequence[Any] = ("batch", 3, 8, 8),
    *,
    element: int = TensorProto.FLOAT,
    inputs: int = 1,
    outputs: int = 1,
    classes: Any = 3,
) -> ModelProto:
    """Images of a shape to the sums of their channels over 8x8; further inputs are added, further outputs repeated."""
    names = [f"images{number}" for number in range(inputs)]
    nodes = [
        helper.make_node("Sum", names, ["all"]),
        helper.make_node("GlobalAveragePool", ["all"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        *(helper.make_node("Mul", ["flat", "weights"], [f"logits{number}"]) for number in range(outputs)),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "colours",
            [helper.make_tensor_value_info(name, element, shape) for name in names],
            [
                helper.make_tensor_value_info(f"logits{number}", element, ["batch", classes])
                for number in range(outputs)
            ],
            [numpy_helper.from_array(np.array([10], dtype=helper.tensor_dtype_to_np_dtype(element)), "weights")],
        ),
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 20)],
    )


def write(path: Path, props: dict[str, str] | None = None, **shape: Any) -> Path:
    """A file with the given metadata; left out: what `advss export` would write."""
    model = graph(**shape)
    helper.set_model_props(model, PROPS if props is None else props)
    path.write_bytes(model.SerializeToString())
    return path


def with_weights_elsewhere(path: Path) -> Path:
    """Its weights are said to be in another file."""
    model = graph()
    (weights,) = model.graph.initializer
    external_data_helper.set_external_data(weights, "secret.bin")
    weights.ClearField("raw_data")
    (path.parent / "secret.bin").write_bytes(np.array([10], dtype=np.float32).tobytes())
    path.write_bytes(model.SerializeToString())
    return path


def others(
    path: Path,
    shape: Sequence[Any] = ("n", 3, 8, 8),
    element: int = TensorProto.FLOAT,
    ends: Mapping[str, str] | None = None,
    weights: Any = None,
) -> Path:
    """A file as others write it: the mean colour times `weights` (C,K) is z, and each output is an operator of z.

    The shape may have the channels last, and 8-bit images are divided by 255.
    """
    last = shape[3] in (1, 3)
    channels, ends = shape[3] if last else shape[1], ends or {"out": "Identity"}
    matrix = 10 * np.eye(channels) if weights is None else np.array(weights)
    constants = {
        "weights": matrix.astype(np.float32),
        "scale": np.float32(1 / 255 if element == TensorProto.UINT8 else 1),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["turned"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]),
        helper.make_node("GlobalAveragePool", ["turned"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["z"]),
        *(helper.make_node(kind, ["flat" if kind == "Neg" else "z"], [name]) for name, kind in ends.items()),
    ]
    made = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if kind == "ArgMax" else TensorProto.FLOAT, None)
        for name, kind in ends.items()
    ]
    graph = helper.make_graph(
        nodes,
        "others",
        [helper.make_tensor_value_info("images", element, shape)],
        made,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    path.write_bytes(model.SerializeToString())
    return path
