#!/usr/bin/env python3
"""What `initdiag train` does, in PyTorch: a network from one start, Adam, cross-entropy, test accuracy after each epoch.

    training.py {mlp-mnist,lenet5} --data DIR [--epochs N] [--batch N] [--samples N] [--init he|xavier] [--start FILE]

Prints accuracies and the seconds of each epoch's steps and test. Data lie in memory as tensors, shuffled by index, the fastest that
PyTorch offers on a CPU. --start begins with the weights of `initdiag train --save-init`.
"""
import argparse
import gzip
import json
import os
import time

import numpy
import torch
import torch.nn as nn


def idx(directory, prefix):
    name = next(n for n in sorted(os.listdir(directory)) if n.startswith(prefix))
    path = os.path.join(directory, name)
    with (gzip.open if name.endswith(".gz") else open)(path, "rb") as file:
        data = file.read()
    rank = data[3]
    shape = numpy.frombuffer(data, ">u4", rank, 4)
    return numpy.frombuffer(data, numpy.uint8, -1, 4 + 4 * rank).reshape(shape)


def part(directory, prefix, count=None):
    images = idx(directory, prefix + "-images")[:count].astype(numpy.float32) / 255
    labels = idx(directory, prefix + "-labels")[:count].astype(numpy.int64)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


def network(name):
    if name == "mlp-mnist":
        layers = dict(flatten=nn.Flatten(), linear1=nn.Linear(784, 128), act=nn.ReLU(), head=nn.Linear(128, 10))
    else:
        layers = dict(
            conv1=nn.Conv2d(1, 6, 3), act1=nn.ReLU(), pool=nn.MaxPool2d(2), flatten=nn.Flatten(),
            linear1=nn.Linear(6 * 13 * 13, 128), act2=nn.ReLU(), head=nn.Linear(128, 10),
        )
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def begin(net, a):
    if a.start:
        from safetensors.torch import load_file

        net.load_state_dict(load_file(a.start))
        return
    draw = {"he": nn.init.kaiming_normal_, "xavier": nn.init.xavier_normal_}[a.init]
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            draw(module.weight)
            nn.init.zeros_(module.bias)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=["mlp-mnist", "lenet5"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--init", default="he", choices=["he", "xavier"])
    parser.add_argument("--start")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    x, y = part(a.data, "train", a.samples)
    x_test, y_test = part(a.data, "t10k")
    net = network(a.net)
    begin(net, a)
    rule = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    cost = nn.CrossEntropyLoss()
    result = {"seconds": [], "test_accuracy": []}
    for _ in range(a.epochs):
        start = time.perf_counter()
        order = torch.randperm(len(x))
        for places in order.split(a.batch):
            rule.zero_grad()
            cost(net(x[places]), y[places]).backward()
            rule.step()
        with torch.no_grad():
            hits = sum((net(p).argmax(1) == q).sum().item() for p, q in zip(x_test.split(1000), y_test.split(1000)))
        result["seconds"].append(time.perf_counter() - start)
        result["test_accuracy"].append(hits / len(x_test))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
