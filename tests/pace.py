# SPDX-License-Identifier: Apache-2.0
"""Limits on computing that hold on any machine: they are to catch work that grows with the
square of what is there, not a processor that is slow or shared."""
import time, zlib

USUAL = 0.06  # seconds that work() takes where the limits were chosen
MOST = 10     # a machine ten times as slow is not one to judge by


def work():
  """A fixed piece of what programs do: compressing, sorting, memory that is new."""
  begin = time.process_time()
  names = [f"{i * 2654435761 % 1000003:06x}" for i in range(60_000)]
  names.sort()
  zlib.compress("".join(names).encode(), 6)
  for i in range(4): bytearray(16 << 20)[::4096] = bytes(4096)
  return time.process_time() - begin


def too_slow(seconds, limit):
  """Did something that took so many seconds of processor time take too long?  The machine is only
  measured where it matters, right after what was slow."""
  return seconds > limit and seconds > limit * min(MOST, max(work() for _ in range(3)) / USUAL)
