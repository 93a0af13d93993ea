#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of ort/ from those of onnx/: needs onnxruntime, onnx, numpy."""
import pathlib, struct, tempfile
import numpy as np, onnx, onnxruntime as R
from onnx import TensorProto as P, helper as H, numpy_helper as N

OUT = pathlib.Path(__file__).parent / "ort"
SIX = np.arange(6, dtype="<f4").reshape(2, 3)


def converted(m):
  """ONNX Runtime's own conversion, without optimizations."""
  with tempfile.TemporaryDirectory() as d:
    o = R.SessionOptions()
    o.optimized_model_filepath = f"{d}/x.ort"
    o.graph_optimization_level = R.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.add_session_config_entry("session.save_model_format", "ORT")
    R.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])
    return pathlib.Path(f"{d}/x.ort").read_bytes()


def model():
  w = {"f32": SIX, "i64": np.array([-1, 2]), "u8": np.array([1, 255], "u1"), "f64": np.array([0.5]), "bool": np.array([True, False]),
       "f16": np.array([1, -2], "f2"), "i32": np.array(7, "i4")}
  inits = [N.from_array(v, k) for k, v in w.items()] + [P(name="words", data_type=P.STRING, dims=[2], string_data=[b"one", "ü".encode()])]
  nodes = [H.make_node("MatMul", ["x", "f32"], ["y"])] + [H.make_node("Identity", [k], [f"out_{k}"]) for k in [*w, "words"] if k != "f32"]
  nodes += [H.make_node("If", ["c"], ["z"], then_branch=branch("then", SIX), else_branch=branch("else", SIX + 1))]
  outs = [H.make_tensor_value_info("y", P.FLOAT, ["batch", 3]), H.make_tensor_value_info("z", P.FLOAT, [2, 3])]
  outs += [H.make_tensor_value_info(f"out_{t.name}", t.data_type, t.dims) for t in inits[1:]]
  ins = [H.make_tensor_value_info("x", P.FLOAT, ["batch", 2]), H.make_tensor_value_info("c", P.BOOL, [])]
  m = H.make_model(H.make_graph(nodes, "g", ins, outs, initializer=inits), producer_name="test", ir_version=10, opset_imports=[H.make_opsetid("", 17)])
  H.set_model_props(m, {"author": "nobody"})
  return m


def branch(name, value):
  return H.make_graph([H.make_node("Identity", [f"w_{name}"], [f"{name}_out"])], name, [], [H.make_tensor_value_info(f"{name}_out", P.FLOAT, [2, 3])],
                      initializer=[N.from_array(value, f"w_{name}")])


def main():
  OUT.mkdir(exist_ok=True)
  data = converted(model())
  (OUT / "model.ort").write_bytes(data)
  (OUT / "bad-cut.ort").write_bytes(data[:len(data) // 2])
  (OUT / "bad-magic-only.ort").write_bytes(b"\x08\0\0\0ORTM")
  at = data.index(SIX.tobytes())
  (OUT / "bad-short.ort").write_bytes(data[:at - 4] + struct.pack("<I", 20) + data[at:])
  (OUT / "bad-long.ort").write_bytes(data[:at - 4] + struct.pack("<I", 2**31) + data[at:])
  (OUT / "bad-root.ort").write_bytes(b"\xff\xff\xff\x7f" + data[4:])


main()
