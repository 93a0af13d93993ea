#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of tflite/: needs tensorflow (its converter and its schema's classes).

converted.tflite is the converter's; the others are put together from the
schema, then damaged.
"""
import io, os, pathlib, struct, zipfile
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
  return S.ModelT(operatorCodes=[], subgraphs=[graph], buffers=[buffer(b) for b in [b""] + buffers],
                  **{"version": 3, "description": "made for a test", **more})


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


def csr(segments, indices):
  return S.DimensionMetadataT(format=1, arraySegmentsType=1, arraySegments=S.Int32VectorT(values=segments), arrayIndicesType=3,
                              arrayIndices=S.Uint8VectorT(values=indices))


def full(n): return S.DimensionMetadataT(format=0, denseSize=n)


def sparse(name, kind, shape, buffer, order, levels, blocks=None, quant=None):
  t = tensor(name, kind, shape, buffer, quant)
  t.sparsity = S.SparsityParametersT(traversalOrder=order, blockMap=blocks, dimMetadata=levels)
  return t


def sparse_tensors():
  """Rows; columns before rows; blocks of 2 x 2; a level of each kind; one that is too large."""
  rows = sparse("rows", T.FLOAT32, [3, 4], 1, [0, 1], [full(3), csr([0, 2, 2, 3], [0, 3, 1])])
  columns = sparse("columns", T.INT32, [2, 3], 2, [1, 0], [csr([0, 2], [0, 2]), full(2)])
  blocks = sparse("blocks", T.INT8, [4, 4], 3, [0, 1, 2, 3], [full(2), csr([0, 1, 2], [1, 0]), full(2), full(2)], [0, 1], quantization([0.5], [0]))
  both = sparse("both", T.INT16, [2, 2, 2], 4, [2, 0, 1], [csr([0, 1], [1]), csr([0, 2], [0, 1]), csr([0, 1, 2], [1, 0])])
  huge = sparse("huge", T.INT8, [2**31 - 1, 16], 5, [0, 1], [csr([0, 1], [0]), csr([0, 1], [0])])
  words = sparse("half", T.INT4, [4], 5, [0], [csr([0, 1], [0])])
  data = [np.array([1, 2, 3], "<f4"), np.array([1, 2, 3, 4], "<i4"), np.arange(1, 9, dtype="i1"), np.array([5, 6], "<i2"), np.array([7], "i1")]
  return model([IN, rows, columns, blocks, both, huge, words], [d.tobytes() for d in data])


def sparse_one(order=(0, 1), levels=None, blocks=None, data=b"\1\2\3"):
  levels = levels or [full(3), csr([0, 2, 2, 3], [0, 3, 1])]
  return packed(model([IN, sparse("w", T.INT8, [3, 4], 1, list(order), levels, blocks)], [data]))


def odd_scales():
  """Numbers of scales that fit no shape; the dimension of a bias is clear without."""
  return model([IN, tensor("scales", T.INT8, [2, 3], 1, quantization([1., 2.], [0, 0], 1)),
                tensor("axis", T.INT8, [2, 3], 1, quantization([1., 2.], [0, 0], 7)),
                tensor("zeros", T.INT8, [2, 3], 1, quantization([1.], [0, 0, 0])),
                tensor("bias", T.INT8, [6], 1, quantization([1., 2., 3., 4., 5., 6.], [0] * 6, 3))], [b"123456"])


def blockwise():
  def blocks(scales, zeros): return S.QuantizationParametersT(detailsType=2, details=S.BlockwiseQuantizationT(scales=scales, zeroPoints=zeros, blockSize=2),
                                                              quantizedDimension=0)
  custom = S.QuantizationParametersT(detailsType=1, details=S.CustomQuantizationT(custom=[1, 2]))
  return model([IN, tensor("w", T.INT4, [2, 4], 1, blocks(2, 3)), tensor("scales", T.FLOAT16, [2, 2], 2), tensor("zeros", T.INT32, [2, 2], 3),
                tensor("no zeros", T.INT8, [2, 4], 4, blocks(2, -1)), tensor("own", T.INT8, [8], 4, custom)],
               [b"\x21\x43\x65\x07", bytes(8), bytes(16), bytes(range(8))])


def external(name, offset, length, packing="unpacked", tail=b""):
  m = model([IN, tensor("near", T.FLOAT32, [2, 3], 1), tensor("far", T.FLOAT32, [2, 3], 0)], [SIX])
  m.subgraphs[0].tensors[2].externalBuffer = 0x80000001
  m.externalBufferGroups = [S.ExternalBufferGroupT(name="unused"), S.ExternalBufferGroupT(name=name)]
  m.externalBuffers = [S.ExternalBufferT(id=0x80000001, group=1, offset=offset, length=length, packing=packing)]
  return packed(m)


def with_files(whole):
  """Files that go with a model, in a zip behind it."""
  out = io.BytesIO(whole)
  out.seek(0, 2)
  with zipfile.ZipFile(out, "a") as z:
    for name, text in [("labels.txt", "cat\ndog\n"), ("vocab/words.txt", "a\nb\n")]: z.writestr(zipfile.ZipInfo(name), text)
  return out.getvalue()


def breaches():
  """Everything that `check` looks for and ls does not."""
  m = model([IN, tensor("w", T.INT8, [2, 3], 1, quantization([1., 2.], [0], 1)), tensor("both", T.FLOAT32, [2, 3], 2)], [b"123456", SIX],
            metadata=[S.MetadataT(name="x", buffer=9)], version=2)
  m.buffers[0] = buffer(b"1")
  m.buffers.append(S.BufferT(data=np.frombuffer(b"1234", np.uint8), offset=64, size=4))
  m.operatorCodes = [S.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32)]
  m.subgraphs[0].operators = [S.OperatorT(opcodeIndex=1, inputs=[0, 7, -1], outputs=[8], intermediates=[9])]
  m.subgraphs[0].tensors[2].externalBuffer = 1
  m.externalBufferGroups = [S.ExternalBufferGroupT(name="breaches.tflite")]
  m.externalBuffers = [S.ExternalBufferT(id=1, group=0, offset=0, length=24)]
  return packed(m)


def misaligned():
  """A buffer whose bytes begin at an odd place: the reference and the vector are moved by one."""
  raw = bytearray(packed(model([IN, tensor("w", T.INT8, [6], 1)], [b"123456"])))
  vector = raw.index(struct.pack("<I", 6) + b"123456")
  reference = next(i for i in range(0, len(raw) - 4, 4) if i + struct.unpack_from("<I", raw, i)[0] == vector)
  raw += b"\0" * (1 - len(raw) % 2) + b"\0" * 4  # an odd size, then the vector once more
  while len(raw) % 4 != 1: raw += b"\0"
  struct.pack_into("<I", raw, reference, len(raw) - reference)
  return bytes(raw) + struct.pack("<I", 6) + b"123456"


def folders():
  """Models with bytes in files beside them."""
  for name, data, files in [("external", external("sub/weights.bin", 8, 24), ["sub/weights.bin"]), ("external-longer", external("weights.bin", 8, 30), ["weights.bin"]),
                            ("external-packed", external("weights.bin", 8, 24, "zipped"), ["weights.bin"]),
                            ("bad-external-missing", external("weights.bin", 8, 24), []), ("bad-external-outside", external("../weights.bin", 8, 24), []),
                            ("bad-external-past", external("weights.bin", 20, 24), ["weights.bin"])]:
    folder = OUT / name
    folder.mkdir(exist_ok=True)
    (folder / "model.tflite").write_bytes(data)
    for f in files:
      (folder / f).parent.mkdir(exist_ok=True)
      (folder / f).write_bytes(bytes(8) + SIX + bytes(8))


def main():
  OUT.mkdir(exist_ok=True)
  folders()
  whole = packed(model([IN, tensor("w", T.FLOAT32, [2, 3], 1)], [SIX]))
  good = {"converted": converted(), "types": packed(types()), "quantised": packed(quantised()), "strings": packed(texts()),
          "subgraphs": packed(subgraphs()), "behind": behind(), "empty": packed(model([IN], [])), "named-by-content.bin": whole,
          "sparse": packed(sparse_tensors()), "sparse-index": sparse_one(levels=[full(3), csr([0, 2, 2, 3], [0, 4, 1])]),
          "sparse-segments": sparse_one(levels=[full(3), csr([0, 2, 1, 3], [0, 3, 1])]), "scales-odd": packed(odd_scales()),
          "blockwise": packed(blockwise()), "associated": with_files(whole), "breaches": breaches(), "misaligned": misaligned(),
          "tail": whole + b"PK\5\6 is no zip"}

  def one(*args, data=SIX, **kw): return packed(model([IN, tensor("w", *args, **kw)], [data]))
  f32 = T.FLOAT32
  bad_text = bytearray(strings([b"ab", b"c"]))
  bad_text[8:12] = struct.pack("<i", 1000)
  bad = {"magic-only": b"\x08\0\0\0TFL3", "root": b"\xff\xff\xff\x7fTFL3" + bytes(40), "cut": whole[:-40], "cut-behind": behind()[:-1],
         "shape": one(f32, [2, 4], 1), "shape-large": one(f32, [2**31 - 1] * 3, 1), "shape-negative": one(f32, [-1, 6], 1),
         "shape-dims": one(f32, [1] * 65, 1), "buffer": one(f32, [2, 3], 9),
         "strings": one(T.STRING, [2], 1, data=bytes(bad_text)), "strings-count": one(T.STRING, [3], 1, data=strings([b"ab"])),
         "strings-many": one(T.STRING, [2**30], 1, data=struct.pack("<ii", 2**30, 0)), "strings-short": one(T.STRING, [1], 1, data=b"\1"),
         "sparse-order": sparse_one(order=(0, 0)), "sparse-levels": sparse_one(order=(0, 1, 2)), "sparse-values": sparse_one(data=b"\1\2"),
         "sparse-ends": sparse_one(levels=[full(3), csr([0, 3], [0, 3, 1])]), "sparse-size": sparse_one(levels=[full(2), csr([0, 2, 3], [0, 3, 1])]),
         "sparse-blocks": sparse_one(order=(0, 1, 2), blocks=[1], levels=[full(3), csr([0, 1, 1, 1], [0]), full(3)]),
         "sparse-map": sparse_one(order=(0, 1, 2), blocks=[2], levels=[full(3), csr([0, 1, 1, 1], [0]), full(2)]),
         "sparse-kind": sparse_one(levels=[full(3), S.DimensionMetadataT(format=2)]),
         "sparse-type": sparse_one(levels=[full(3), S.DimensionMetadataT(format=1, arraySegmentsType=4, arrayIndicesType=1)]),
         "name-nul": one(f32, [2, 3], 1).replace(b"\1\0\0\0w\0", b"\1\0\0\0\0\0")}
  m = model([IN], [])
  m.signatureDefs = [S.SignatureDefT(inputs=[S.TensorMapT(name="in", tensorIndex=99)], outputs=[], signatureKey="s", subgraphIndex=0)]
  bad["signature-tensor"] = packed(m)
  m.signatureDefs[0].subgraphIndex = 5
  bad["signature-graph"] = packed(m)
  for name, data in good.items(): (OUT / (name if "." in name else name + ".tflite")).write_bytes(data)
  for name, data in bad.items(): (OUT / f"bad-{name}.tflite").write_bytes(data)


main()
