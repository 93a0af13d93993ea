#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of tflite/: needs tensorflow (its converter and its schema's classes).

converted.tflite is the converter's; the others are put together from the
schema, then damaged.
"""
import os, pathlib, struct
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import flatbuffers, numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as S

OUT = pathlib.Path(__file__).parent / "tflite"
T = S.TensorType


def packed(model):
  b = flatbuffers.Builder(1024)
  b.Finish(model.Pack(b), b"TFL3")
  return bytes(b.Output())


def quantization(scale, zero, axis=0):
  return S.QuantizationParametersT(scale=scale, zeroPoint=zero, quantizedDimension=axis)


def tensor(name, kind, shape, buffer, quant=None):
  return S.TensorT(shape=shape, type=kind, buffer=buffer, name=name, quantization=quant)


def buffer(data):
  return S.BufferT(data=np.frombuffer(data, np.uint8) if data else None)


def strings(values):
  at, ends = 4 * (len(values) + 2), []
  for v in values: ends.append(at); at += len(v)
  return struct.pack(f"<{len(values) + 2}i", len(values), *ends, at) + b"".join(values)


def model(tensors, buffers, **more):
  graph = S.SubGraphT(tensors=tensors, inputs=[0], outputs=[0], operators=[], name="main")
  return S.ModelT(version=3, operatorCodes=[], subgraphs=[graph], buffers=[buffer(b) for b in [b""] + buffers],
                  **{"description": "made for a test", **more})


IN = tensor("x", T.FLOAT32, [1, 2], 0)
SIX = np.arange(6, dtype="<f4").tobytes()


def converted():
  class Net(tf.Module):
    def __init__(self):
      self.w = tf.Variable(tf.reshape(tf.range(6, dtype=tf.float32), [2, 3]), name="w")

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x): return {"y": tf.matmul(x, self.w) + [1., 2., 3.]}

  net = Net()
  c = tf.lite.TFLiteConverter.from_concrete_functions([net.__call__.get_concrete_function()], net)
  return c.convert()


def types():
  rows = [("f64", T.FLOAT64, 8), ("f32", T.FLOAT32, 4), ("f16", T.FLOAT16, 2), ("bf16", T.BFLOAT16, 2), ("i64", T.INT64, 8),
          ("i32", T.INT32, 4), ("i16", T.INT16, 2), ("i8", T.INT8, 1), ("u64", T.UINT64, 8), ("u32", T.UINT32, 4), ("u16", T.UINT16, 2),
          ("u8", T.UINT8, 1), ("bool", T.BOOL, 1), ("c64", T.COMPLEX64, 8), ("c128", T.COMPLEX128, 16)]
  buffers = [(b"\0\1" * n if n == 1 else bytes(range(2 * n))) for _, _, n in rows]
  tensors = [tensor(name, kind, [2], i + 1) for i, (name, kind, _) in enumerate(rows)]
  for name, kind, data in [("i4", T.INT4, b"\x21\x03"), ("u4", T.UINT4, b"\x21\x0f"), ("i2", T.INT2, b"\x1b")]:
    buffers.append(data)
    tensors.append(tensor(name, kind, [3], len(buffers)))
  tensors += [tensor("a/scalar", T.FLOAT32, [], len(buffers) + 1), tensor("resource", T.RESOURCE, [1], len(buffers) + 2)]
  return model([IN] + tensors, buffers + [SIX[4:8], b"\1"])


def quantised():
  bytes6 = bytes(range(250, 256))
  return model([IN, tensor("per_tensor", T.INT8, [2, 3], 1, quantization([0.5], [-3])),
                tensor("per_channel", T.INT8, [2, 3], 1, quantization([0.5, 0.25, 2.0], [0, 1, 2], 1)),
                tensor("one_zero", T.UINT8, [2, 3], 1, quantization([0.5, 0.25], [7], 0)),
                tensor("bias", T.INT32, [1], 2, quantization([1e-3], [0])),
                tensor("no_scale", T.INT8, [6], 1, quantization(None, None)),
                tensor("wide", T.INT16, [3], 1, quantization([0.125], [0])),
                tensor("half", T.INT4, [2, 2], 3, quantization([0.5, 4.0], [0, 0], 0))], [bytes6, b"\1\2\3\4", b"\x21\x43"])


def texts():
  return model([IN, tensor("words", T.STRING, [2, 2], 1), tensor("none", T.STRING, [0], 2)],
               [strings(["one".encode(), b"", "ü\n".encode(), b"\xff\0"]), strings([])])


def subgraphs():
  m = model([IN, tensor("w", T.FLOAT32, [2, 3], 1)], [SIX], metadata=[S.MetadataT(name="min_runtime_version", buffer=1)])
  m.subgraphs.append(S.SubGraphT(tensors=[tensor("w", T.FLOAT32, [6], 1), tensor("", T.FLOAT32, [3, 2], 1)], inputs=[], outputs=[-1, 1],
                                 operators=[], name="body"))
  a = S.TensorMapT(name="in", tensorIndex=0)
  m.signatureDefs = [S.SignatureDefT(inputs=[a], outputs=[S.TensorMapT(name="out", tensorIndex=1)], signatureKey="serving_default", subgraphIndex=0)]
  m.subgraphs[0].tensors[0].shapeSignature = [-1, 2]
  return m


def behind():
  """A buffer's bytes behind the flatbuffer, as in models past 2 GB."""
  m = model([IN, tensor("w", T.FLOAT32, [2, 3], 1)], [b""])
  m.buffers[1] = S.BufferT(data=None, offset=4096, size=24)
  return packed(m).ljust(4096, b"\0") + SIX


def main():
  OUT.mkdir(exist_ok=True)
  whole = packed(model([IN, tensor("w", T.FLOAT32, [2, 3], 1)], [SIX]))
  good = {"converted": converted(), "types": packed(types()), "quantised": packed(quantised()), "strings": packed(texts()),
          "subgraphs": packed(subgraphs()), "behind": behind(), "empty": packed(model([IN], [])), "named-by-content.bin": whole}

  def one(*args, data=SIX, **kw): return packed(model([IN, tensor("w", *args, **kw)], [data]))
  f32 = T.FLOAT32
  bad_text = bytearray(strings([b"ab", b"c"]))
  bad_text[8:12] = struct.pack("<i", 1000)
  bad = {"magic-only": b"\x08\0\0\0TFL3", "root": b"\xff\xff\xff\x7fTFL3" + bytes(40), "cut": whole[:-40], "cut-behind": behind()[:-1],
         "shape": one(f32, [2, 4], 1), "shape-large": one(f32, [2**31 - 1] * 3, 1), "shape-negative": one(f32, [-1, 6], 1),
         "shape-dims": one(f32, [1] * 65, 1), "buffer": one(f32, [2, 3], 9),
         "strings": one(T.STRING, [2], 1, data=bytes(bad_text)), "strings-count": one(T.STRING, [3], 1, data=strings([b"ab"])),
         "strings-many": one(T.STRING, [2**30], 1, data=struct.pack("<ii", 2**30, 0)), "strings-short": one(T.STRING, [1], 1, data=b"\1"),
         "scales": one(T.INT8, [2, 3], 1, data=b"123456", quant=quantization([1., 2.], [0, 0], 1)),
         "axis": one(T.INT8, [2, 3], 1, data=b"123456", quant=quantization([1., 2.], [0, 0], 7)),
         "zeros": one(T.INT8, [2, 3], 1, data=b"123456", quant=quantization([1.], [0, 0, 0])),
         "name-nul": one(f32, [2, 3], 1).replace(b"\1\0\0\0w\0", b"\1\0\0\0\0\0")}
  m = model([IN], [])
  m.signatureDefs = [S.SignatureDefT(inputs=[S.TensorMapT(name="in", tensorIndex=99)], outputs=[], signatureKey="s", subgraphIndex=0)]
  bad["signature-tensor"] = packed(m)
  m.signatureDefs[0].subgraphIndex = 5
  bad["signature-graph"] = packed(m)
  for name, data in good.items(): (OUT / (name if "." in name else name + ".tflite")).write_bytes(data)
  for name, data in bad.items(): (OUT / f"bad-{name}.tflite").write_bytes(data)


main()
