"""Builds a face-landmarker bundle out of the models that the mediapipe 0.10.21 wheel carries.

MediaPipe's task wants one output of 478 points; the wheel's attention model has seven. Two operators are added to it,
a CONCATENATION of the outputs and a GATHER that puts them in order; not a weight is touched. Whatever the Python, the
result is the same bytes.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from msrs.errors import DependencyError
from msrs.faces.mesh_tables import LEFT_EYE, LIPS, RIGHT_EYE

DETECTOR = "mediapipe/modules/face_detection/face_detection_short_range.tflite"
LANDMARKS = "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"
MEMBER_SHA256 = {
    DETECTOR: "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    LANDMARKS: "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
}
MESH_POINTS = 468
PARTS = ("output_lips", "output_left_eye", "output_right_eye", "output_left_iris", "output_right_iris")
# An iris has no depth of its own: it takes that of a point on the eyelid.
IRIS_DEPTH = {"output_left_iris": 159, "output_right_iris": 386}


def build_bundle(wheel: str | Path) -> bytes:
    """The bundle as bytes. Args: wheel, path of a mediapipe 0.10.21 wheel of any platform.

    Raises: DependencyError where it is not one, or where mediapipe (for its flatbuffer schema) is not installed.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.read(name) for name in MEMBER_SHA256}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DependencyError(f"{wheel}: not a wheel of mediapipe 0.10.21 ({error}).") from None
    for name, expected in MEMBER_SHA256.items():
        found = hashlib.sha256(members[name]).hexdigest()
        if found != expected:
            raise DependencyError(f"{wheel}: {name} has SHA-256 {found}, expected {expected}: another version.")
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:  # MediaPipe maps the members: never compressed
        archive.writestr(zipfile.ZipInfo("face_detector.tflite"), members[DETECTOR])
        archive.writestr(zipfile.ZipInfo("face_landmarks_detector.tflite"), join_outputs(members[LANDMARKS]))
    return bundle.getvalue()


def point_order() -> np.ndarray:
    """For each of the 478 points the places of its x, y, z among the joined outputs. Returns: (478, 3) int32."""
    order = np.arange(3 * MESH_POINTS, dtype=np.int32).reshape(MESH_POINTS, 3)
    start = 3 * MESH_POINTS
    for table in (LIPS, LEFT_EYE, RIGHT_EYE):  # refined points have x and y alone; z stays the mesh's
        order[list(table), :2] = start + np.arange(2 * len(table)).reshape(-1, 2)
        start += 2 * len(table)
    rows = [order]
    for depth in IRIS_DEPTH.values():
        plane = start + np.arange(10, dtype=np.int32).reshape(5, 2)
        rows.append(np.concatenate([plane, np.full((5, 1), 3 * depth + 2, dtype=np.int32)], axis=1))
        start += 10
    return np.concatenate(rows)


def join_outputs(model: bytes) -> bytes:
    """The attention model with one output of 1434 numbers and one for presence instead of seven."""
    try:
        import flatbuffers
        from mediapipe.tasks.metadata import schema_py_generated as schema
    except ImportError as error:
        raise DependencyError(f"Building the face model needs it: pip install mediapipe==0.10.31 ({error}).") from None
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(model), 0))
    graph = tree.subgraphs[0]
    outputs = {_name(graph.tensors[i]): i for i in graph.outputs}
    sizes = {int(np.prod(graph.tensors[i].shape)): i for i in graph.outputs}
    order = point_order()

    joined = _add_tensor(schema, tree, (1, 1, 1, 3 * MESH_POINTS + 464), "all")
    options = schema.ConcatenationOptionsT()
    options.axis = 3
    inputs = [sizes[3 * MESH_POINTS], *(outputs[name] for name in PARTS)]
    _add_operator(schema, tree, schema.BuiltinOperator.CONCATENATION, inputs, joined, "ConcatenationOptions", options)

    index = _add_tensor(schema, tree, (order.size,), "order", order.reshape(-1))
    points = _add_tensor(schema, tree, (1, 1, 1, order.size), "Identity")
    options = schema.GatherOptionsT()
    options.axis = 3
    _add_operator(schema, tree, schema.BuiltinOperator.GATHER, [joined, index], points, "GatherOptions", options)

    graph.outputs = [points, sizes[1]]
    tree.signatureDefs = None
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _name(tensor: Any) -> str:
    return tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name


def _add_tensor(schema: Any, tree: Any, shape: tuple[int, ...], name: str, values: np.ndarray | None = None) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.name, tensor.buffer = list(shape), name, 0
    tensor.type = schema.TensorType.FLOAT32 if values is None else schema.TensorType.INT32
    if values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.astype("<i4").tobytes(), dtype=np.uint8)
        tree.buffers.append(buffer)
        tensor.buffer = len(tree.buffers) - 1
    tree.subgraphs[0].tensors.append(tensor)
    return len(tree.subgraphs[0].tensors) - 1


def _add_operator(schema: Any, tree: Any, code: int, inputs: list[int], output: int, kind: str, options: Any) -> None:
    operator = schema.OperatorT()
    operator.opcodeIndex = _operator_code(schema, tree, code)
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
    tree.subgraphs[0].operators.append(operator)


def _operator_code(schema: Any, tree: Any, code: int) -> int:
    for number, known in enumerate(tree.operatorCodes):
        if max(known.builtinCode, known.deprecatedBuiltinCode) == code:
            return number
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
    tree.operatorCodes.append(entry)
    return len(tree.operatorCodes) - 1
