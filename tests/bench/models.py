# SPDX-License-Identifier: Apache-2.0
"""models.py - the models that bench.py mounts, each by its format's own library where there is one.

A writer is given a path and the names and shapes of layers(); what it makes is
float32 throughout. Where a file is to be packed, the numbers have 13 bits of
noise less than they could, as weights that were bfloat16 once have.
"""
import io, json, os, random, struct, tarfile

MIB = 1 << 20
FULL = 8 * MIB  # of noise that is repeated


def layers(total):
  """Names and shapes of a language model's tensors of about `total` bytes in all."""
  width = 1024 if total > 200 * MIB else 256
  block = {"attn.qkv": (3 * width, width), "attn.out": (width, width), "mlp.up": (4 * width, width), "mlp.down": (width, 4 * width), "norm": (width,)}
  shapes = {"embed.weight": (8 * width, width)}
  i = 0
  while sum(elements(s) for s in shapes.values()) * 4 < total:
    shapes.update({f"layers.{i}.{k}.weight": s for k, s in block.items()})
    i += 1
  return shapes


def elements(shape):
  n = 1
  for d in shape: n *= d
  return n


def arrays(shapes, packable=False):
  """(name, array) in the order of names; all of them lie in one piece of noise."""
  import numpy as np
  most = max(elements(s) for s in shapes.values())
  noise = np.random.default_rng(1).standard_normal(most + 4096, dtype=np.float32)
  if packable: (noise.view(np.uint32))[:] &= 0xFFFFE000
  for i, (name, shape) in enumerate(sorted(shapes.items())):
    at = i * 61 % 4096
    yield name, noise[at:at + elements(shape)].reshape(shape)


def header_of(shapes):
  header, at = {}, 0
  for name, shape in sorted(shapes.items()):
    n = 4 * elements(shape)
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + n]}
    at += n
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)
  return struct.pack("<Q", len(text)) + text, at


def write_safetensors(path, shapes):
  head, size = header_of(shapes)
  with open(path, "wb") as f:
    f.write(head)
    noise = random.Random(1).randbytes(FULL)
    for i in range(0, size, len(noise)): f.write(noise[:size - i])


def write_bin(path, shapes):
  import torch
  torch.save({n: torch.rand(s) for n, s in shapes.items()}, path)


def write_many(folder, tensors=100_000, shards=160):
  folder.mkdir()
  index = {"metadata": {"total_size": tensors * 256}, "weight_map": {}}
  for s in range(shards):
    name = f"model-{s + 1:05}-of-{shards:05}.safetensors"
    mine = {f"model.layers.{i}.self_attn.q_proj.weight": (64,) for i in range(s, tensors, shards)}
    write_safetensors(folder / name, mine)
    index["weight_map"].update(dict.fromkeys(mine, name))
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  (folder / "config.json").write_text("{}\n")


def write_h5(path, shapes):
  import h5py
  with h5py.File(path, "w") as f:
    for name, a in arrays(shapes): f.create_dataset(name.replace(".", "/"), data=a)


def write_h5_packed(path, shapes):
  """In chunks of HDF5's own choice, shuffled and deflated."""
  import h5py
  with h5py.File(path, "w") as f:
    for name, a in arrays(shapes, packable=True):
      f.create_dataset(name.replace(".", "/"), data=a, chunks=True, shuffle=True, compression="gzip", compression_opts=1)


def keras_model(shapes):
  """A layer for each tensor, of one matrix."""
  import keras
  class One(keras.layers.Layer):
    def __init__(self, shape, **args):
      super().__init__(**args)
      self.shape_ = shape
    def build(self, _): self.kernel = self.add_weight(shape=self.shape_, initializer="glorot_uniform" if len(self.shape_) > 1 else "ones", name="kernel")
    def call(self, x): return x
    def get_config(self): return {**super().get_config(), "shape": self.shape_}
  x = inputs = keras.Input((1,))
  for name, shape in shapes.items(): x = One(shape, name=name.replace(".", "_"))(x)
  return keras.Model(inputs, x)


def write_keras(path, shapes):
  # The suffix says what Keras is to write.
  whole = path.with_name("making.keras")
  keras_model(shapes).save(whole)
  whole.rename(path)


def write_savedmodel(folder, shapes):
  import tensorflow as tf
  module = tf.Module()
  module.weights = {name: tf.Variable(a) for name, a in arrays(shapes)}
  scale = module.weights["layers.0.norm.weight"]
  module.first = tf.function(lambda x: x * scale, input_signature=[tf.TensorSpec(scale.shape)])
  tf.saved_model.save(module, str(folder), signatures={"serving_default": module.first})


def write_onnx(folder, shapes):
  import onnx
  from onnx import TensorProto as P, helper as H
  weights = [P(name=name, data_type=P.FLOAT, dims=a.shape, raw_data=a.tobytes()) for name, a in arrays(shapes)]
  value = lambda name: H.make_tensor_value_info(name, P.FLOAT, [1, *shapes["layers.0.norm.weight"]])
  node = H.make_node("Mul", ["x", "layers.0.norm.weight"], ["y"])
  model = H.make_model(H.make_graph([node], "main", [value("x")], [value("y")], initializer=weights))
  folder.mkdir()
  onnx.save_model(model, str(folder / "model.onnx"), save_as_external_data=True, location="model.onnx.data", size_threshold=0)


def gguf_writer(path):
  import gguf
  w = gguf.GGUFWriter(path, "llama")
  w.add_block_count(1)
  return w


def gguf_end(w):
  w.write_header_to_file()
  w.write_kv_data_to_file()
  w.write_tensors_to_file()
  w.close()


def write_gguf(path, shapes):
  w = gguf_writer(path)
  for name, a in arrays(shapes): w.add_tensor(name, a)
  gguf_end(w)


def write_gguf_q8(path, shapes):
  """Blocks of 32: a scale in float16 and 32 bytes."""
  import gguf, numpy as np
  w, kind = gguf_writer(path), gguf.GGMLQuantizationType.Q8_0
  block, size = gguf.GGML_QUANT_SIZES[kind]
  most = max(elements(s) for s in shapes.values()) // block
  noise = np.random.default_rng(1).integers(0, 256, (most, size), dtype=np.uint8)
  noise[:, :2] = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
  for name, shape in sorted(shapes.items()):
    if len(shape) < 2: w.add_tensor(name, np.ones(shape, np.float32))
    else: w.add_tensor(name, noise[:elements(shape) // block].reshape(shape[0], -1), raw_dtype=kind)
  gguf_end(w)


class Body(io.RawIOBase):
  """A safetensors file of arrays(), without ever being in memory."""
  def __init__(self, head, pieces):
    self.left, self.pieces = memoryview(head), pieces
  def readable(self): return True
  def readinto(self, buf):
    while not self.left:
      name, a = next(self.pieces, (None, None))
      if a is None: return 0
      self.left = memoryview(a).cast("B")
    n = min(len(buf), len(self.left))
    buf[:n], self.left = self.left[:n], self.left[n:]
    return n


def write_targz(path, shapes):
  head, size = header_of(shapes)
  with tarfile.open(path, "w:gz", compresslevel=1) as tar:
    member = tarfile.TarInfo("model.safetensors")
    member.size = len(head) + size
    tar.addfile(member, io.BufferedReader(Body(head, arrays(shapes, packable=True)), MIB))
