#!/usr/bin/env python3
"""Forward and backward through a network in PyTorch, with the variances that initdiag records.

    networks.py NAME [--batch N] [--trials N]

Prints the variances of the first and last layer's output, gradient and weight gradient, and the seconds that imports took. Networks are
those of torchvision, timm and transformers where they have them, each imported only for its own; resnet18 and gpt2 are written out in
plain PyTorch, which is faster to import.
"""
import time

START = time.perf_counter()

import argparse
import importlib
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


IMPORTS = [time.perf_counter() - START]


def library(name):
    """A library that a network needs beside torch."""
    start = time.perf_counter()
    module = importlib.import_module(name)
    IMPORTS.append(time.perf_counter() - start)
    return module


def image(channels=3, side=224):
    return lambda batch: torch.randn(batch, channels, side, side)


def tokens(count, length=128):
    return lambda batch: torch.randint(count, (batch, length))


def torchvision(name):
    def made():
        net = getattr(library("torchvision.models"), name)()
        if hasattr(net, "stochastic_depth_prob"):
            net.stochastic_depth_prob = 0.0
        return net, image()

    return made


def timm(name, side=224):
    def made():
        return library("timm").create_model(name), image(side=side)

    return made


class Called(nn.Module):
    """A network with a way of its own to call it."""

    def __init__(self, net, forward):
        super().__init__()
        self.net, self.forward = net, forward


def transformers(model, config, **sizes):
    def made():
        found = library("transformers")
        settings = getattr(found, config)(**sizes)
        net = getattr(found, model)(settings)

        def logits(ids):
            out = net(ids)
            return out.logits if hasattr(out, "logits") else out.last_hidden_state

        return Called(net, logits), tokens(settings.vocab_size)

    return made


def two_sides(model, config, sources, encoder, decoder, length):
    """An encoder of what `sources` draws and a decoder of so many tokens, by the names of their arguments."""

    def made():
        found = library("transformers")
        settings = getattr(found, config)()
        net = getattr(found, model)(settings)

        logits = lambda inputs: net(**dict(zip((encoder, decoder), inputs)), use_cache=False).logits
        draw = lambda batch: (sources(batch, settings), torch.randint(settings.vocab_size, (batch, length)))
        return Called(net, logits), draw

    return made


def gpt2(width, heads, blocks):
    return lambda: (Gpt2(width=width, heads=heads, blocks=blocks), tokens(50257))


def double(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )


class Unet(nn.Module):
    def __init__(self, channels=1, classes=2, width=64):
        super().__init__()
        sizes = [width * 2**k for k in range(5)]
        self.down = nn.ModuleList(double(a, b) for a, b in zip([channels, *sizes], sizes))
        pairs = list(zip(sizes[:0:-1], sizes[-2::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.join = nn.ModuleList(double(a, b) for a, b in pairs)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        kept = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if kept else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1]):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


class Dcgan(nn.Sequential):
    def __init__(self, latent=100, width=64):
        sizes = [8 * width, 4 * width, 2 * width, width]
        parts = [nn.ConvTranspose2d(latent, sizes[0], 4, 1, 0, bias=False)]
        for before, after in zip(sizes, [*sizes[1:], 3]):
            parts += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        super().__init__(*parts, nn.Tanh())


class Siren(nn.Module):
    def __init__(self, width=256, layers=4):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2 if k == 0 else width, width) for k in range(layers))
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sin(30 * layer(x))
        return self.head(x)


class Lstm(nn.Module):
    def __init__(self, count=10000, width=650):
        super().__init__()
        self.table, self.head = nn.Embedding(count, width), nn.Linear(width, count)
        self.cells = nn.ModuleList(nn.LSTMCell(width, width) for _ in range(2))

    def forward(self, ids):
        x = self.table(ids)
        for cell in self.cells:
            state, steps = None, []
            for time_step in x.unbind(1):
                state = cell(time_step, state)
                steps.append(state[0])
            x = torch.stack(steps, 1)
        return self.head(x)


class Rnn(nn.Module):
    def __init__(self, features, width, classes):
        super().__init__()
        self.cell, self.head = nn.RNNCell(features, width), nn.Linear(width, classes)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state)


def dense(*widths):
    parts = [part for a, b in zip(widths, widths[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
    return lambda: (nn.Sequential(*parts[:-1]), lambda batch: torch.randn(batch, widths[0]))


NETWORKS = {
    "mlp-mnist": dense(784, 128, 10),
    "vgg16": torchvision("vgg16"),
    "vgg16-bn": torchvision("vgg16_bn"),
    "resnet18": resnet18,
    "resnet34": torchvision("resnet34"),
    "resnet50": torchvision("resnet50"),
    "resnet101": torchvision("resnet101"),
    "densenet121": torchvision("densenet121"),
    "mobilenet-v2": torchvision("mobilenet_v2"),
    "efficientnet-b0": torchvision("efficientnet_b0"),
    "nfnet-f0": timm("dm_nfnet_f0", 192),
    "convnext-tiny": torchvision("convnext_tiny"),
    "unet": lambda: (Unet(), image(1, 128)),
    "dcgan": lambda: (Dcgan(), lambda batch: torch.randn(batch, 100, 1, 1)),
    "siren": lambda: (Siren(), lambda batch: torch.rand(batch, 2) * 2 - 1),
    "mlp-mixer": timm("mixer_b16_224"),
    "vit-b16": torchvision("vit_b_16"),
    "deit-s": timm("deit_small_patch16_224"),
    "bert-base": transformers("BertModel", "BertConfig"),
    "gpt2-small": gpt2(768, 12, 12),
    "gpt2-medium": gpt2(1024, 16, 24),
    "gpt2-large": gpt2(1280, 20, 36),
    "gpt2-xl": gpt2(1600, 25, 48),
    "pythia-160m": transformers(
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        vocab_size=50304,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
    ),
    "t5-small": two_sides(
        "T5ForConditionalGeneration",
        "T5Config",
        lambda batch, settings: torch.randint(settings.vocab_size, (batch, 128)),
        "input_ids",
        "decoder_input_ids",
        128,
    ),
    "whisper-tiny": two_sides(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        lambda batch, settings: torch.randn(batch, settings.num_mel_bins, 3000),
        "input_features",
        "decoder_input_ids",
        448,
    ),
    "lstm-lm": lambda: (Lstm(), tokens(10000, 35)),
    "rnn-100": lambda: (Rnn(32, 128, 10), lambda batch: torch.randn(batch, 100, 32)),
}

WEIGHTED = (nn.Linear, nn.Embedding, nn.LSTMCell, nn.RNNCell, nn.modules.conv._ConvNd)


def weight(module):
    return module.weight_hh if isinstance(module, nn.RNNCellBase) else module.weight


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("net", choices=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--trials", type=int, default=1)
    a = parser.parse_args()
    torch.manual_seed(0)
    for _ in range(a.trials):
        net, draw = NETWORKS[a.net]()
        net.train()
        seen = []

        def watch(module, _, output):
            output = output[0] if isinstance(output, tuple) else output
            # Tables that are not learnt have no gradient.
            if output.requires_grad:
                output.retain_grad()
                seen.append((module, output))

        for module in net.modules():
            if isinstance(module, WEIGHTED):
                module.register_forward_hook(watch)
        out = net(draw(a.batch))
        out.backward(torch.randn_like(out))
        rows = [
            [float(t.var(correction=0)) for t in (z.detach(), z.grad, weight(m).grad) if t is not None]
            for m, z in seen
        ]
    print(json.dumps({"first": rows[0], "last": rows[-1], "imports": sum(IMPORTS)}))


main()
