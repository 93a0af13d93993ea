#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of ort/: needs onnxruntime, onnx, numpy, flatbuffers.

model.ort is ONNX Runtime's own conversion; checkpoints and broken models, which
the released package does not write, are put together table by table.
"""
import pathlib, struct, tempfile
import flatbuffers, numpy as np, onnx, onnxruntime as R
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


class num:
  """A number that a table has in one of its fields."""
  def __init__(self, size, value): self.size, self.value = size, value


def put(b, x):
  """x (a table is {field: x}, a list a vector, a string, an array of numbers) into the builder: its offset."""
  if isinstance(x, str): return b.CreateString(x)
  if isinstance(x, np.ndarray):
    b.StartVector(x.itemsize, x.size, 16 if x.dtype == np.uint8 else x.itemsize)
    b.head = b.head - x.nbytes
    b.Bytes[b.head:b.head + x.nbytes] = x.tobytes()
    return b.EndVector()
  if isinstance(x, list):
    offsets = [put(b, one) for one in x]
    b.StartVector(4, len(offsets), 4)
    for o in reversed(offsets): b.PrependUOffsetTRelative(o)
    return b.EndVector()
  made = {k: v if isinstance(v, num) else put(b, v) for k, v in x.items()}
  b.StartObject(max(x, default=0) + 1)
  for k, v in made.items():
    if not isinstance(v, num): b.PrependUOffsetTRelativeSlot(k, v, 0)
    else: {"1": b.PrependUint8Slot, "4": b.PrependInt32Slot, "8": b.PrependInt64Slot, "f": b.PrependFloat32Slot}[v.size](k, v.value, None)
  return b.EndObject()


def file(root, magic):
  b = flatbuffers.Builder(1024)
  b.Finish(put(b, root), magic)
  return bytes(b.Output())


def tensor(name, array, **more):
  t = {0: name, 2: np.array(array.shape, "<i8"), 3: num("4", {"f4": 1, "i8": 7}[array.dtype.str[1:]]), 4: np.frombuffer(array.tobytes(), "u1")}
  if "outside" in more: t.pop(4), t.update({6: num("8", more["outside"])})
  return t


def checkpoint(groups=(), nominal=False, **more):
  state = {0: [tensor("fc.weight", SIX, **more)], 1: [tensor("frozen", np.array([7]))], 2: num("1", nominal), 3: num("1", "outside" in more)}
  return file({0: num("4", 2), 1: state, 2: [group(g) for g in groups], 3: {0: [{0: "epoch", 1: num("8", 3)}], 1: [{0: "loss", 1: num("f", 0.5)}], 2: [{0: "note", 1: "as it was"}]}}, b"ODTC")


def group(name):
  states = [{0: "fc.weight", 1: [tensor("momentum0", SIX / 2), tensor("momentum1", SIX * 2)]}]
  return {0: name, 1: num("8", 12), 2: num("f", 0.25), 3: states}


def graph(**fields):
  """By name: what a sound graph has in those fields is replaced."""
  known = {"initializers": [tensor("w", SIX)], "values": [{0: n} for n in ["x", "w", "y"]], "nodes": [{5: "Add", 4: num("4", 0), 8: ["x", "w"], 9: ["y"]}], "max": num("4", 1), "inputs": ["x"], "outputs": ["y"]}
  return {{"initializers": 0, "values": 1, "nodes": 2, "max": 3, "inputs": 5, "outputs": 6}[k]: v for k, v in {**known, **fields}.items()}


def session(graph, model=None): return file({0: "5", 1: {0: num("8", 10), 1: [{0: "", 1: num("8", 21)}], 7: graph} if model is None else {**model, 7: graph}}, b"ORTM")


def rules():
  nodes = [{4: num("4", 0), 8: ["x"], 9: ["y"]}, {5: "Add", 4: num("4", 9), 8: ["x", "unknown"], 9: ["z"]},
           {5: "If", 4: num("4", 0), 10: [{7: graph(inputs=["nothing"])}, {12: [graph(outputs=["nothing"])]}]}]
  return {"nodes": session(graph(nodes=nodes)), "names": session(graph(initializers=[tensor("w", SIX), tensor("w", SIX), tensor("", SIX)], values=[{0: "x"}, {0: "x"}, {}], inputs=["q"])),
          "versions": file({1: {7: graph()}}, b"ORTM"), "many": session(graph(inputs=[f"x{i}" for i in range(150)])), "sound": session(graph())}


def typed():
  """A sequence of maps, and a sparse initializer."""
  floats = {1: num("1", 1), 2: {0: num("4", 1), 1: {0: [{0: {0: num("1", 2), 2: "n"}}, {0: {0: num("1", 1), 1: num("8", 3)}}, {}]}}}
  sequence = {1: num("1", 2), 2: {0: {1: num("1", 3), 2: {0: num("4", 8), 1: floats}}}}
  g = graph(values=[{0: "x", 2: sequence}, {0: "w"}, {0: "y", 2: floats}])
  return session({**g, 7: [{0: tensor("thin", SIX[0]), 1: tensor("", np.array([0, 1, 2])), 2: np.array([9], "<i8")}]})


def save_checkpoints():
  (OUT / "checkpoint").write_bytes(checkpoint(["group0"]))
  (OUT / "groups.ckpt").write_bytes(checkpoint(["a", "a", ""]))
  (OUT / "bad-nominal").write_bytes(checkpoint(nominal=True))
  (OUT / "bad-outside.ckpt").write_bytes(checkpoint(outside=4))
  (OUT / "typed.ort").write_bytes(typed())
  for folder, size in {"external": 28, "bad-external": 27}.items():
    (OUT / folder).mkdir(exist_ok=True)
    (OUT / folder / "checkpoint").write_bytes(checkpoint(["group0"], outside=4))
    (OUT / folder / "checkpoint.data").write_bytes((b"1234" + SIX.tobytes())[:size])
  for name, data in rules().items(): (OUT / f"check-{name}.ort").write_bytes(data)


def main():
  OUT.mkdir(exist_ok=True)
  save_checkpoints()
  data = converted(model())
  (OUT / "model.ort").write_bytes(data)
  (OUT / "bad-cut.ort").write_bytes(data[:len(data) // 2])
  (OUT / "bad-magic-only.ort").write_bytes(b"\x08\0\0\0ORTM")
  at = data.index(SIX.tobytes())
  (OUT / "bad-short.ort").write_bytes(data[:at - 4] + struct.pack("<I", 20) + data[at:])
  (OUT / "bad-long.ort").write_bytes(data[:at - 4] + struct.pack("<I", 2**31) + data[at:])
  (OUT / "bad-root.ort").write_bytes(b"\xff\xff\xff\x7f" + data[4:])


main()
