#!/usr/bin/env python3
"""Forward and backward through resnet18 or gpt2-small in PyTorch, with the variances that initdiag records.

    networks.py {resnet18,gpt2-small} [--batch N] [--trials N]

Prints the variances of the first and last layer's output, gradient and weight gradient.
"""
import argparse
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        down = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if same else down

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks, before = [], 64
    for after, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        blocks.append(Block(before, after, stride))
        before = after
    net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return net, lambda batch: torch.randn(batch, 3, 224, 224)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        q, k, v = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self.qkv(self.norm(x)).chunk(3, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, tokens=50257, width=768, heads=12, blocks=12, length=128):
        super().__init__()
        self.table, self.positions = nn.Embedding(tokens, width), nn.Embedding(length, width)
        parts = [part for _ in range(blocks) for part in (Attention(width, heads), Perceptron(width))]
        self.blocks, self.norm = nn.Sequential(*parts), nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.table.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scaled = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * blocks) if scaled else 1))

    def forward(self, ids):
        x = self.table(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def gpt2():
    return Gpt2(), lambda batch: torch.randint(50257, (batch, 128))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("net", choices=["resnet18", "gpt2-small"])
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--trials", type=int, default=1)
    a = parser.parse_args()
    torch.manual_seed(0)
    batch = a.batch or (8 if a.net == "resnet18" else 2)
    for _ in range(a.trials):
        net, draw = resnet18() if a.net == "resnet18" else gpt2()
        seen = []

        def watch(module, _, output):
            output.retain_grad()
            seen.append((module, output))

        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                module.register_forward_hook(watch)
        out = net(draw(batch))
        out.backward(torch.randn_like(out))
        rows = [[float(t.var(correction=0)) for t in (z.detach(), z.grad, m.weight.grad)] for m, z in seen]
    print(json.dumps({"first": rows[0], "last": rows[-1]}))


main()
