#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz target `pickle` into corpus/pickle.

A Python object with most of what can be pickled, in each protocol; where torch
is installed, also the pickles of small checkpoints.
"""
import argparse, collections, datetime, decimal, fractions, io, pathlib, pickle, pickletools, types, uuid, zipfile

OUT = pathlib.Path(__file__).parent / "corpus" / "pickle"
UTC = datetime.timezone.utc


class Plain:
    def __init__(self): self.x, self.y = 1, {"z": None}


class Dict(dict): pass


class List(list): pass


def data():
    cycle = [1]; cycle.append(cycle)
    mapping = Dict(a=1); mapping.attribute = cycle
    return {
        "scalars": [None, True, False, 0, -1, 255, 256, 65536, 2**31, -2**63, 2**64, -10**40, 1.5, -0.0, float("nan"), float("inf")],
        "strings": ["", "abc", "\u00fc\u20ac\U0001f600", "a\nb\\u0041", "\ud800"],
        "bytes": [b"", b"\0\xff", bytes(range(256)), bytearray(b"\x80")],
        "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {1, 2}, frozenset([3])],
        "keys": {1: 1, None: 2, (1, 2): 3, 2.5: 4, b"k": 5},
        "collections": [collections.OrderedDict(b=1, a=2), collections.defaultdict(list, k=[1]), collections.Counter("aab"),
                        collections.deque([1, 2], 3), collections.UserDict(u=1)],
        "library": [1 + 2j, decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"),
                    datetime.datetime(2020, 1, 2, 3, 4, 5, 6, UTC), datetime.date(1999, 12, 31), datetime.time(1, 2, 3),
                    datetime.timedelta(1, 2, 3), types.SimpleNamespace(a=1), argparse.Namespace(lr=0.1), slice(1, 2)],
        "objects": [Plain(), mapping, List([1, 2]), len, Plain().__init__],
        "cycle": cycle,
    }


def checkpoints():
    import numpy, torch
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 1, 4, 4)).sum().backward()
    optimizer.step()
    yield "state-dict", model.state_dict(), True
    yield "checkpoint", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "lr": numpy.float32(0.1),
                         "dtype": torch.bfloat16, "size": torch.Size([1, 2]), "rng": numpy.arange(3)}, True
    yield "module", model, True
    yield "legacy", model.state_dict(), False


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for protocol in range(6):
        (OUT / f"protocol-{protocol}").write_bytes(pickle.dumps(data(), protocol))
    (OUT / "optimized").write_bytes(pickletools.optimize(pickle.dumps(data(), 4)))
    # opcodes that today's Python does not write
    for name, text in (("dict", b"(dp0\nS'a\\x00'\np1\nI01\nsV\\u20ac\np2\nL5L\ns."), ("inst", b"(lp0\n(ia\nB\np1\n(dp2\nF1.5\nNsba."),
                       ("obj", b"(ca\nB\nK\x01o}b."), ("persid", b"(Pid\nVid\nQt."), ("ext", b"\x82\x01."),
                       ("buffer", b"\x97\x98."), ("pops", b"N(N0N1(0(N1\x322t."), ("binstring", b"(T\x01\0\0\0aU\x01\xffJ\1\2\3\4M\1\2r\xff\xff\xff\xffj\xff\xff\xff\xfft."),
                       ("newobj-ex", b"\x80\x04ca\nB\n)}Vk\nNs\x92."), ("reconstructor", b"ccopy_reg\n_reconstructor\n(ca\nB\nc__builtin__\ndict\n}tR}Nb.")):
        (OUT / f"old-{name}").write_bytes(text)
    try:
        import torch
    except ImportError:
        return
    for name, what, new in checkpoints():
        b = io.BytesIO()
        torch.save(what, b, _use_new_zipfile_serialization=new)
        if new:
            z = zipfile.ZipFile(b)
            (OUT / f"torch-{name}").write_bytes(z.read(next(n for n in z.namelist() if n.endswith("data.pkl"))))
        else:
            (OUT / f"torch-{name}").write_bytes(b.getvalue())


main()
