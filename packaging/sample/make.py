#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train a small network for a few steps and save it as people do: shapes.pt.

A convolutional net that tells circles, squares and crosses (16 x 16 pixels,
drawn here) apart, AdamW, a schedule.  What torch.save() wrote is what is in
the repository; running this again gives the same numbers on the same version
of torch.
"""
import pathlib
import torch
from torch import nn


STEPS = 300


def draw(kind, generator):
  """One picture with noise: 0 a disc, 1 a square, 2 a cross."""
  y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
  cx, cy, r = (torch.rand(3, generator=generator) * torch.tensor([6.0, 6.0, 2.0])
               + torch.tensor([5.0, 5.0, 2.5])).tolist()
  dx, dy = (x - cx).abs(), (y - cy).abs()
  shape = (dx * dx + dy * dy <= r * r, (dx <= r) & (dy <= r),
           ((dx <= 1) | (dy <= 1)) & (dx <= r) & (dy <= r))[kind]
  return shape.float() + 0.1 * torch.randn(16, 16, generator=generator)


def batch(n, generator):
  kinds = torch.randint(3, (n,), generator=generator)
  return torch.stack([draw(k, generator) for k in kinds.tolist()])[:, None], kinds


class Net(nn.Module):
  def __init__(self):
    super().__init__()
    self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
    self.norm = nn.BatchNorm2d(8)
    self.conv2 = nn.Conv2d(8, 12, 3, padding=1)
    self.fc = nn.Linear(12 * 4 * 4, 3)

  def forward(self, x):
    x = nn.functional.max_pool2d(torch.relu(self.norm(self.conv1(x))), 2)
    x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
    return self.fc(x.flatten(1))


def main():
  torch.manual_seed(3)
  generator = torch.Generator().manual_seed(7)
  net = Net()
  optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
  for _ in range(STEPS):
    x, kinds = batch(64, generator)
    loss = nn.functional.cross_entropy(net(x), kinds)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
  net.eval()
  x, kinds = batch(512, generator)
  accuracy = (net(x).argmax(1) == kinds).float().mean().item()
  torch.save({"model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
              "step": STEPS, "loss": loss.item(), "accuracy": accuracy,
              "classes": ["disc", "square", "cross"], "image_size": (16, 16)},
             pathlib.Path(__file__).with_name("shapes.pt"))
  print(f"loss {loss.item():.4f}, accuracy {accuracy:.3f}")


main()
