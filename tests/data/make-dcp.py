#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the folders of torch-dcp/: needs torch with gloo.  Damaged ones are the good one with its metadata changed."""
import json, os, pathlib, pickle, shutil, tempfile, warnings

warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

HERE = pathlib.Path(__file__).parent / "torch-dcp"


def rank_of_two(rank, init, folder):
  from torch.distributed.device_mesh import init_device_mesh
  from torch.distributed.tensor import Replicate, Shard, distribute_tensor
  dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
  mesh = init_device_mesh("cpu", (2,))
  ramp = lambda *shape, dtype=torch.float32: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
  state = {"model": {"rows": distribute_tensor(ramp(5, 3), mesh, [Shard(0)]), "columns": distribute_tensor(ramp(3, 5, dtype=torch.bfloat16), mesh, [Shard(1)]),
                     "copied": distribute_tensor(ramp(4, dtype=torch.int64), mesh, [Replicate()]), "plain": ramp(2, 2)},
           "step": 7, "names": ["a", "b"]}
  dcp.save(state, checkpoint_id=folder)
  rows = {k: state["model"][k] for k in ("rows", "columns", "copied")}
  dcp.save(rows, storage_writer=dcp.HuggingFaceStorageWriter(path=folder.replace("two-ranks", "shards"), save_distributed=True))
  dist.destroy_process_group()


def two_ranks(folder):
  shutil.rmtree(folder, ignore_errors=True)
  with tempfile.NamedTemporaryFile() as f:
    torch.multiprocessing.spawn(rank_of_two, (f"file://{f.name}x", str(folder)), nprocs=2)


def changed(name, change):
  """The good folder with its metadata changed; change(metadata, folder)."""
  d = HERE / name
  shutil.rmtree(d, ignore_errors=True); shutil.copytree(HERE / "two-ranks", d)
  m = pickle.loads((d / ".metadata").read_bytes())
  change(m, d)
  if (d / ".metadata").exists(): (d / ".metadata").write_bytes(pickle.dumps(m, 4))


def shards(name, change):
  """The shards in safetensors with the offsets of the second changed."""
  d = HERE / name
  shutil.rmtree(d, ignore_errors=True); shutil.copytree(HERE / "shards", d)
  path = d / "shard-00002-model-00001-of-00001.safetensors"
  b = path.read_bytes(); n = int.from_bytes(b[:8], "little")
  header = json.loads(b[8:8 + n])
  info = json.loads(header["__metadata__"]["DCP_SHARDING_INFO"])
  change(info)
  header["__metadata__"]["DCP_SHARDING_INFO"] = json.dumps(info)
  text = json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, "little") + text + b[8 + n:])


def infos(m, name): return [v for k, v in m.storage_data.items() if k.fqn == name]


def main():
  HERE.mkdir(exist_ok=True)
  two_ranks(HERE / "two-ranks")
  shutil.rmtree(HERE / "objects", ignore_errors=True)
  dcp.save({"pair": (torch.arange(2.), {"deep": torch.ones(1), "n": 5}), "weight": torch.arange(3.), "sparse": (torch.eye(2).to_sparse(),)},
           checkpoint_id=HERE / "objects", no_dist=True)
  shutil.rmtree(HERE / "not-flat", ignore_errors=True)
  dcp.save({"model": {"a.weight": torch.ones(2, 2), "b": torch.zeros(3)}, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2), "step": 7}},
            "param_groups": [{"lr": 0.5, "params": [0]}]}}, checkpoint_id=HERE / "not-flat", planner=dcp.DefaultSavePlanner(flatten_state_dict=False), no_dist=True)
  rows = lambda m: m.state_dict_metadata["model.rows"]
  def no_place(m, d): [m.storage_data.pop(k) for k in list(m.storage_data) if k.fqn == "model.rows" and k.offset[0]]
  def overlap(m, d): infos(m, "model.rows")[1].__dict__.update(infos(m, "model.rows")[0].__dict__); c = rows(m).chunks; c[1] = c[0]
  shards("bad-shards-overlap", lambda i: i["rows"].update(saved_offsets=[2, 0]))
  shards("bad-shards-hole", lambda i: i["rows"].update(saved_offsets=[4, 0]))
  shards("bad-shards-huge", lambda i: i["rows"].update(saved_offsets=[2**63 - 1, 2**63 - 1]))
  shards("bad-shards-negative", lambda i: i["rows"].update(saved_offsets=[-1, 0]))
  shards("bad-shards-dimensions", lambda i: i["rows"].update(saved_offsets=[3]))
  shards("bad-shards-unknown", lambda i: i.pop("rows"))
  changed("check-extra-file", lambda m, d: shutil.copy(d / "__1_0.distcp", d / "__2_0.distcp"))
  changed("check-unknown", lambda m, d: m.state_dict_metadata.pop("step"))
  changed("check-overlap", lambda m, d: infos(m, "step")[0].__dict__.update(infos(m, "names")[0].__dict__))
  changed("bad-chunk-missing", lambda m, d: rows(m).chunks.pop())
  changed("bad-no-place", no_place)
  changed("bad-overlap", overlap)
  changed("bad-file-missing", lambda m, d: (d / "__1_0.distcp").unlink())
  changed("bad-no-metadata", lambda m, d: (d / ".metadata").unlink())
  changed("bad-one-rank", lambda m, d: [(d / n).unlink() for n in (".metadata", "__1_0.distcp")])
  changed("bad-path", lambda m, d: setattr(infos(m, "model.rows")[0], "relative_path", "../two-ranks/__0_0.distcp"))
  changed("bad-length", lambda m, d: setattr(infos(m, "model.rows")[0], "length", 1 << 40))
  changed("bad-offset", lambda m, d: setattr(infos(m, "model.rows")[0], "offset", 3))
  changed("bad-shape", lambda m, d: setattr(rows(m).chunks[0], "sizes", torch.Size((2, 3))))
  changed("bad-outside", lambda m, d: setattr(rows(m), "size", torch.Size((4, 3))))
  changed("bad-size-huge", lambda m, d: setattr(rows(m), "size", torch.Size((2**62, 2**62))))
  changed("bad-dtype", lambda m, d: setattr(rows(m).properties, "dtype", torch.int32))
  changed("bad-transform", lambda m, d: setattr(infos(m, "model.rows")[0], "transform_descriptors", ["stream.zstd"]))
  changed("bad-record", lambda m, d: m.__dict__.pop("storage_data"))


if __name__ == "__main__":
  main()
