#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of onnx/ and onnx-tensor/: needs onnx (1.20 or newer) and numpy.

What onnx would not write (damage, hostile paths) is put together from its
messages, or by hand.
"""
import pathlib
import numpy as np, onnx
from onnx import TensorProto as P, helper as H, numpy_helper as N

HERE = pathlib.Path(__file__).parent
OUT, LONE = HERE / "onnx", HERE / "onnx-tensor"
SIX = np.arange(6, dtype="<f4").reshape(2, 3)


def varint(n):
  out = b""
  while n > 127: out, n = out + bytes([n & 127 | 128]), n >> 7
  return out + bytes([n])


def field(number, data): return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name="w", kind=P.FLOAT, dims=(2, 3), **fields):
  t = P(name=name, data_type=kind, dims=dims)
  for k, v in fields.items():
    if isinstance(v, (bytes, int)): setattr(t, k, v)
    else: getattr(t, k).extend(v)
  return t


def external(name="w", dims=(2, 3), **entries):
  t = P(name=name, data_type=P.FLOAT, dims=dims, data_location=P.EXTERNAL)
  for k, v in entries.items(): t.external_data.add(key=k, value=str(v))
  return t


def model(tensors=(), nodes=None, inputs=None, **more):
  x = H.make_tensor_value_info("x", P.FLOAT, ["batch", 2, None])
  y = H.make_tensor_value_info("y", P.FLOAT, [])
  nodes = [H.make_node("Identity", ["x"], ["y"])] if nodes is None else nodes
  graph = H.make_graph(nodes, "a graph", [x] if inputs is None else inputs, [y], initializer=list(tensors))
  return H.make_model(graph, producer_name="test", producer_version="1", ir_version=10, opset_imports=[H.make_opsetid("", 21)], **more)


def constant(name, value): return H.make_node("Constant", [], [name], value=N.from_array(value, "inner"))


RAW = {"f32": (P.FLOAT, 4), "u8": (P.UINT8, 1), "i8": (P.INT8, 1), "u16": (P.UINT16, 2), "i16": (P.INT16, 2), "i32": (P.INT32, 4),
       "i64": (P.INT64, 8), "f16": (P.FLOAT16, 2), "f64": (P.DOUBLE, 8), "u32": (P.UINT32, 4), "u64": (P.UINT64, 8), "c64": (P.COMPLEX64, 8),
       "c128": (P.COMPLEX128, 16), "bf16": (P.BFLOAT16, 2), "f8e4m3": (P.FLOAT8E4M3FN, 1), "f8e4m3fnuz": (P.FLOAT8E4M3FNUZ, 1),
       "f8e5m2": (P.FLOAT8E5M2, 1), "f8e5m2fnuz": (P.FLOAT8E5M2FNUZ, 1), "f8e8m0": (P.FLOAT8E8M0, 1)}
SMALL = {"u4": (P.UINT4, 3, b"\x21\x03"), "i4": (P.INT4, 3, b"\xf1\x0e"), "f4": (P.FLOAT4E2M1, 3, b"\x21\x03"), "u2": (P.UINT2, 5, b"\xe4\x01"), "i2": (P.INT2, 5, b"\xe4\x01")}


def raw():
  all = [tensor(k, t, [2], raw_data=bytes(range(2 * n))) for k, (t, n) in RAW.items()]
  all += [tensor(k, t, [n], raw_data=data) for k, (t, n, data) in SMALL.items()]
  return model(all + [tensor("bool", P.BOOL, [2], raw_data=b"\0\1"), tensor("scalar", P.FLOAT, [], raw_data=b"\0\0\x80\x3f"), tensor("empty", P.FLOAT, [0, 3])])


def typed():
  return model([tensor("f32", P.FLOAT, [3], float_data=[1, 2, 0.5]), tensor("c64", P.COMPLEX64, [1], float_data=[1, -2]), tensor("f64", P.DOUBLE, [2], double_data=[1, 1e300]),
                tensor("c128", P.COMPLEX128, [1], double_data=[3, 4]), tensor("i64", P.INT64, [3], int64_data=[-1, 0, 2**62]), tensor("u64", P.UINT64, [2], uint64_data=[1, 2**64 - 1]),
                tensor("u32", P.UINT32, [2], uint64_data=[1, 2**32 - 1]), tensor("i32", P.INT32, [2], int32_data=[-2**31, 5]), tensor("i8", P.INT8, [3], int32_data=[-1, 0, 127]),
                tensor("u16", P.UINT16, [2], int32_data=[65535, 1]), tensor("f16", P.FLOAT16, [2], int32_data=[0x3c00, 0xc000]), tensor("bf16", P.BFLOAT16, [2], int32_data=[0x3f80, 0xbf80]),
                tensor("f8", P.FLOAT8E4M3FN, [2], int32_data=[0x38, 0xb8]), tensor("bool", P.BOOL, [3], int32_data=[1, 0, 1]), tensor("u4", P.UINT4, [3], int32_data=[0x21, 0x03]),
                tensor("i2", P.INT2, [5], int32_data=[0xe4, 0x01]), tensor("words", P.STRING, [2, 2], string_data=[b"one", b"", "ü".encode(), b"\xff"]), tensor("none", P.STRING, [0])])


def unpacked():
  """Values one by one, as writers of proto2 and old ones have them."""
  t = field(8, b"i") + b"\x08\x03\x10\x07" + b"\x38\x01\x38\x05" + b"\x38" + varint(2**64 - 1)
  u = field(8, b"f") + b"\x08\x02\x10\x01" + b"\x25\0\0\x80\x3f" + field(4, b"\0\0\0\x40")
  return b"\x08\x0a" + field(7, field(5, t) + field(5, u))


def nested():
  inner = H.make_graph([constant("inner_constant", SIX)], "then", [], [H.make_tensor_value_info("y", P.FLOAT, [])], initializer=[N.from_array(SIX, "inner")])
  other = H.make_graph([], "else", [], [], initializer=[N.from_array(SIX[:1], "inner")])
  m = model([N.from_array(SIX, "outer")], [H.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=other)])
  body = H.make_node("If", ["c"], ["z"], then_branch=H.make_graph([], "f", [], [], initializer=[N.from_array(SIX, "in_function")]))
  m.functions.append(H.make_function("here", "F", [], ["z"], [body], []))
  return m


def sparse():
  m = model([N.from_array(SIX, "dense")])
  s = H.make_sparse_tensor(N.from_array(np.array([1., 2.], "f4"), "sparse"), N.from_array(np.array([1, 5]), ""), [3, 4])
  m.graph.sparse_initializer.append(s)
  return m


def facts():
  m = model([N.from_array(SIX, "w")], inputs=[H.make_tensor_value_info("x", P.FLOAT, [1]), H.make_tensor_value_info("w", P.FLOAT, [2, 3]),
                                              H.make_tensor_sequence_value_info("s", P.FLOAT, None)], doc_string="what it is", domain="org.example", model_version=7)
  H.set_model_props(m, {"author": "nobody", "author2": "ü"})
  return m


def types():
  """Inputs of every kind of type."""
  T = H.make_tensor_type_proto(P.FLOAT, ["n", None])
  kinds = {"s": H.make_sequence_type_proto(T), "o": H.make_optional_type_proto(H.make_sequence_type_proto(T)), "sparse": H.make_sparse_tensor_type_proto(P.INT64, [2, "k"]),
           "m": H.make_map_type_proto(P.STRING, H.make_tensor_type_proto(P.FLOAT, [])), "any": H.make_tensor_type_proto(P.FLOAT, None)}
  return model([N.from_array(SIX, "w")], inputs=[H.make_value_info(k, v) for k, v in kinds.items()])


def lists():
  """Constants by every attribute, and tensors of other nodes: shown, as there is no initializer."""
  nodes = [H.make_node("Constant", [], ["floats"], value_floats=[1, -2.5]), H.make_node("Constant", [], ["ints"], value_ints=[1, -2, 3]),
           H.make_node("Constant", [], ["strings"], value_strings=["a", "", "ü"]), H.make_node("Constant", [], ["one"], value_float=1.), H.make_node("Constant", [], ["none"], value_floats=[1.]),
           H.make_node("ConstantOfShape", ["ints"], ["filled"], value=N.from_array(SIX[0, :1])), constant("c", SIX),
           H.make_node("TreeEnsembleRegressor", ["x"], ["y"], name="tree", domain="ai.onnx.ml", nodes_values_as_tensor=N.from_array(SIX[0]), nodes_modes=["LEAF"])]
  nodes[4].attribute[0].ClearField("floats")
  m = model(nodes=nodes)
  m.opset_import.append(H.make_opsetid("ai.onnx.ml", 5))
  packed = m.graph.node.add(op_type="Constant", output=["packed"])  # as a writer of proto3 has them
  packed.MergeFromString(field(5, field(1, b"value_ints") + field(8, b"\x01" + varint(2**64 - 1)) + b"\xa0\x01\x07"))
  packed = m.graph.node.add(op_type="Constant", output=["packed_floats"])
  packed.MergeFromString(field(5, field(1, b"value_floats") + field(7, SIX[0].tobytes()) + b"\xa0\x01\x06"))
  return m


def training():
  """What a training graph starts with, and names of the parameters of a quantised tensor."""
  m = model([N.from_array(SIX, "w"), N.from_array(SIX[0, 0], "w_scale")])
  info = m.training_info.add()
  info.initialization.CopyFrom(H.make_graph([], "start", [], [], initializer=[N.from_array(SIX[0], "rate")]))
  info.algorithm.CopyFrom(H.make_graph([], "step", [], [], initializer=[N.from_array(SIX, "momentum")]))
  m.graph.quantization_annotation.add(tensor_name="w").quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w_scale")
  return m


def unversioned():
  """As converters of long ago left it."""
  m = model([N.from_array(SIX, "w")])
  m.ClearField("ir_version")
  return m


def named_map():
  """A map from strings, of one tensor with a name of its own and one without."""
  return onnx.MapProto(name="m", key_type=P.STRING, string_keys=[b"a", b"b/c"], values=onnx.SequenceProto(elem_type=1, tensor_values=[N.from_array(SIX, "own"), N.from_array(SIX)]))


def bad_map():
  m = N.from_dict({1: SIX, 2: SIX}, "m")
  m.keys.append(3)
  return m


def mixed():
  """An optional of maps' sequences, a sparse one among them."""
  sparse = H.make_sparse_tensor(N.from_array(SIX[0], "v"), N.from_array(np.array([0, 2, 5]), "i"), [6])
  s = onnx.SequenceProto(name="s", elem_type=onnx.SequenceProto.SPARSE_TENSOR, sparse_tensor_values=[sparse])
  o = onnx.SequenceProto(name="outer", elem_type=onnx.SequenceProto.SEQUENCE, sequence_values=[s, N.from_list([SIX])])
  return onnx.OptionalProto(name="o", elem_type=onnx.OptionalProto.SEQUENCE, sequence_value=o)


def identity(a, b, **more): return H.make_node("Identity", [a], [b], **more)


def attribute(node, **fields):
  node.attribute.add(**fields)
  return node


def rules():
  """What onnx.checker refuses and reading the tensors does not need, a kind in each."""
  A = onnx.AttributeProto
  info = lambda name, **t: onnx.ValueInfoProto(name=name, type=onnx.TypeProto(**t))
  twice = model([N.from_array(SIX, n) for n in ["w", "w", ""]], [identity("x", "y"), identity("x", "y"), identity("later", "z"), identity("z", "w")])
  twice.graph.input.append(twice.graph.input[0])
  twice.graph.output.append(H.make_tensor_value_info("nowhere", P.FLOAT, []))
  nodes = model(nodes=[identity("x", "y"), onnx.NodeProto(name="n", input=["x"]), onnx.NodeProto(op_type="Op"), identity("x", "q", domain="not.imported")])
  nodes.graph.name = ""
  inner = H.make_graph([identity("x", "y"), identity("x", "fine"), identity("after", "b")], "inner", [], [onnx.ValueInfoProto(name="fine")], initializer=[N.from_array(SIX, "x2")])
  nodes.graph.node.extend([H.make_node("If", ["x"], ["i"], then_branch=inner, else_branch=inner), identity("fine", "after")])
  attributes = model([N.from_array(SIX, "w")], nodes=[attribute(identity("x", "y", name="n"), name="untyped", f=1), attribute(identity("x", "1"), name="other", type=A.FLOAT, i=1), attribute(identity("x", "2"), name="two", type=A.FLOAT, f=1, i=1),
                            attribute(identity("x", "3"), type=A.FLOAT, f=1), attribute(attribute(identity("x", "4"), name="a", type=A.INT, i=1), name="a", type=A.INT, i=1),
                            attribute(identity("x", "5"), name="unset", type=A.FLOATS), attribute(identity("x", "6"), name="t", type=A.TENSOR, t=tensor(raw_data=b"1"))])
  tensors = model([N.from_array(SIX, "w")])
  tensors.graph.initializer.extend([P(name="untyped", dims=[1], raw_data=b"1"), tensor("unknown", 99, [1], raw_data=b"1")])
  sparse = model()
  for dims, values, indices in (([], SIX[0], [0, 1, 2]), ([3, 0], SIX[0], [0, 1, 2]), ([6], SIX, [0, 1]), ([6], SIX[0], [0, 1]), ([6], SIX[0], [0., 1, 2])):
    s = sparse.graph.sparse_initializer.add(dims=dims)
    s.values.CopyFrom(N.from_array(values, f"s{len(sparse.graph.sparse_initializer)}"))
    s.indices.CopyFrom(N.from_array(np.array(indices), "i"))
  types = model(inputs=[onnx.ValueInfoProto(name="x"), info("empty"), info("shapeless", tensor_type={"elem_type": 1}), info("typeless", tensor_type={"shape": {}}), info("seq", sequence_type={}), info("map", map_type={"key_type": 1})])
  function = H.make_function("f", "F", ["a", "a"], ["b"], [identity("a", "b"), identity("c", "b"), identity("a", "d", domain="not.imported")], [H.make_opsetid("", 21)])
  functions = model(functions=[function, function, H.make_function("f", "", ["a"], ["b"], [], [])])
  old, older = model([N.from_array(SIX, "w")]), model()
  old.ir_version, older.ir_version = 3, 2
  none = model()
  none.ClearField("ir_version"), none.ClearField("opset_import")
  none.metadata_props.add(key="a"), none.metadata_props.add(key="a")
  imports = model()
  imports.ClearField("opset_import")
  return {"names": twice, "nodes": nodes, "attributes": attributes, "tensors": tensors, "sparse": sparse, "types": types, "functions": functions, "old": old, "older": older,
          "versions": none, "imports": imports, "many": model(nodes=[identity("x", "y")] * 200)}


def save(path, m): path.write_bytes(m if isinstance(m, bytes) else m.SerializeToString(deterministic=True))


def main():
  OUT.mkdir(exist_ok=True)
  LONE.mkdir(exist_ok=True)
  good = {"raw": raw(), "typed": typed(), "unpacked": unpacked(), "nested": nested(), "sparse": sparse(), "facts": facts(),
          "constants": model(nodes=[constant("c", SIX), constant("scalar", SIX[0, 0]), H.make_node("Identity", ["c"], ["y"])]),
          "names": model([N.from_array(SIX, n) for n in ["a/b", "same", "same", "", "ü"]]), "unknown-type": model([tensor(kind=99), N.from_array(SIX, "known")]),
          "both-empty": model([tensor(raw_data=SIX.tobytes(), int32_data=[])]), "named-by-content.bin": model([N.from_array(SIX, "w")]),
          "types": types(), "lists": lists(), "training": training(), "unversioned": unversioned()}
  for name, m in good.items(): save(OUT / (name if "." in name else name + ".onnx"), m)

  for name, m in rules().items(): save(OUT / f"check-{name}.onnx", m)

  folder = OUT / "external"
  (folder / "sub").mkdir(parents=True, exist_ok=True)
  (folder / "data.bin").write_bytes(b"before" + SIX.tobytes() + b"after")
  (folder / "sub/more.bin").write_bytes(SIX.tobytes())
  inner = H.make_graph([], "then", [], [], initializer=[external("inner", location="sub/more.bin", length=24)])
  save(folder / "model.onnx", model([external("w", location="data.bin", offset=6, length=24), external("to_end", (3,), location="./data.bin", offset=18), N.from_array(SIX, "here")],
                                    [H.make_node("If", ["x"], ["y"], then_branch=inner)]))

  deep = field(5, b"")
  for _ in range(1000): deep = field(1, field(5, field(6, deep)))
  bad = {"cut": model([N.from_array(SIX, "w")]).SerializeToString()[:-30], "deep": b"\x08\x0a" + field(7, deep),
         "raw-short": model([tensor(raw_data=SIX.tobytes()[:-1])]), "raw-long": model([tensor(raw_data=SIX.tobytes() + b"\0")]), "no-data": model([tensor()]),
         "two-fields": model([tensor(raw_data=SIX.tobytes(), float_data=[1])]), "wrong-field": model([tensor(kind=P.INT64, int32_data=[1] * 6)]),
         "typed-short": model([tensor(float_data=[1] * 5)]), "varints-few": model([tensor(kind=P.INT64, dims=[1000], int64_data=[1] * 6)]),
         "varints-lie": model([tensor(kind=P.INT64, dims=[2**60], int64_data=[1] * 6)]),
         "strings-few": model([tensor("w", P.STRING, [3], string_data=[b"a"])]), "strings-raw": model([tensor("w", P.STRING, [1], raw_data=b"a")]),
         "dims-negative": model([tensor(dims=[-1, 6], raw_data=SIX.tobytes())]), "dims-many": model([tensor(dims=[1] * 65, raw_data=b"1234")]), "dims-large": model([tensor(dims=[2**62, 2**62])]),
         "raw-twice": b"\x08\x0a" + field(7, field(5, b"\x08\x01\x10\x02" + field(8, b"w") + field(9, b"1") + field(9, b"2"))),
         "wire": b"\x08\x0a" + field(7, field(5, b"\x08\x01\x10\x07" + field(8, b"w") + b"\x3d1234")),
         "list-wire": b"\x08\x0a" + field(7, field(1, field(2, b"c") + field(4, b"Constant") + field(5, field(1, b"value_floats") + b"\x38\x01"))),
         "dims-wire": b"\x08\x0a" + field(7, field(5, b"\x0d1234\x10\x07" + field(8, b"w"))),
         "name-nul": model([N.from_array(SIX, "a\0b")]), "input-unnamed": model(inputs=[H.make_tensor_value_info("", P.FLOAT, [])]),
         "missing": model([external(location="missing.bin")]), "no-location": model([external(offset=0)]),
         "absolute": model([external(location="/etc/passwd")]), "parent": model([external(location="../secret.bin")]), "inner-parent": model([external(location="sub/../../x.bin")]),
         "backslash": model([external(location="..\\x.bin")]), "drive": model([external(location="C:x.bin")]), "slashes": model([external(location="a//b")]),
         "offset-text": model([external(location="x", offset="0x10")]), "offset-negative": model([external(location="x", offset=-1)]), "length-large": model([external(location="x", length=2**64)])}
  for ext, way in {"pbtxt": "textproto", "json": "json", "onnxtxt": "onnxtxt"}.items():
    onnx.save_model(model([N.from_array(SIX, "w")], inputs=[]), OUT / f"bad-text.{ext}", format=way)
  for name, m in bad.items(): save(OUT / f"bad-{name}.onnx", m)
  beside = {"short": dict(location="data.bin", offset=6, length=24), "offset": dict(location="data.bin", offset=2**63), "length": dict(location="data.bin", length=23),
            "link": dict(location="link.bin"), "link-folder": dict(location="up/model.onnx")}
  for name, entries in beside.items():
    folder = OUT / f"bad-external-{name}"
    folder.mkdir(exist_ok=True)
    (folder / "data.bin").write_bytes(bytes(29))
    save(folder / "model.onnx", model([external(**entries)]))
  for link, to in {"bad-external-link/link.bin": "../external/data.bin", "bad-external-link-folder/up": "../external"}.items():
    (OUT / link).unlink(missing_ok=True)
    (OUT / link).symlink_to(to)

  lone = {"raw.pb": N.from_array(SIX, "x"), "unnamed.pb": N.from_array(SIX), "typed.pb": tensor("ids", P.INT64, [3], int64_data=[-1, 2, 3]), "strings.pb": tensor("s", P.STRING, [1], string_data=[b"a"]),
          "scalar.pb": N.from_array(np.array(1.5, "f4"), "s"), "bad-short.pb": tensor(raw_data=b"1234"), "bad-type.pb": tensor(kind=98, raw_data=b"1"), "bad-external.pb": external(location="x"),
          "bad-two-fields.pb": tensor(raw_data=SIX.tobytes(), float_data=[1])}
  two = [SIX, np.array([1, 2])]
  lone |= {"empty.pb": P(name="e", data_type=P.INT8, dims=[2, 0]), "sequence.pb": N.from_list(two, "seq"), "sequence-unnamed.pb": N.from_list(two), "nested.pb": N.from_list([two, two[:1]], "nested"),
           "optional.pb": N.from_optional(SIX, "perhaps"), "map.pb": N.from_dict({-1: SIX, 5: SIX[0]}, "m"), "map-strings.pb": named_map(), "bad-map.pb": bad_map(),
           "bad-sparse.pb": H.make_sparse_tensor(N.from_array(SIX[0], "v"), N.from_array(np.array([0, 2, 5]), "i"), [6]), "mixed.pb": mixed()}
  both = external("w", location="external/x.bin")
  both.raw_data = SIX.tobytes()
  lone["check-both.pb"] = both  # its file is there
  for name, t in lone.items(): save(LONE / name, t)
  (LONE / "external").mkdir(exist_ok=True)
  (LONE / "external/x.bin").write_bytes(SIX.tobytes())
  save(LONE / "external/x.pb", external(location="x.bin"))


main()
