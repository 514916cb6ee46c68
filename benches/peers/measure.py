#!/usr/bin/env python3
"""The default measurement (He or Xavier weights, ReLU) in PyTorch, NumPy or JAX, as a user of each would write it.

    measure.py {torch,numpy,jax} [--depth N] [--width N] [--batch N] [--trials N] [--init he|xavier]

Prints the median variances at the ends of the stack: activation at the last layer, gradient at the first.
"""
import argparse
import json
import statistics


def with_torch(a, std):
    import torch

    torch.manual_seed(0)
    for _ in range(a.trials):
        signal, seen = torch.randn(a.batch, a.width), []
        for _ in range(a.depth):
            weight = torch.nn.init.normal_(torch.empty(a.width, a.width), std=std).requires_grad_()
            before = signal @ weight.T
            before.retain_grad()
            signal = torch.relu(before)
            seen.append((before, signal, weight))
        signal.backward(torch.randn_like(signal))
        yield [[float(t.var(correction=0)) for t in (z, h, z.grad, w.grad)] for z, h, w in seen]


def with_numpy(a, std):
    import numpy as np

    random = np.random.default_rng(0)
    normal = lambda *shape: random.standard_normal(shape, dtype=np.float32)
    for _ in range(a.trials):
        signal, seen = normal(a.batch, a.width), []
        for _ in range(a.depth):
            weight = normal(a.width, a.width) * np.float32(std)
            before = signal @ weight.T
            seen.append((signal, weight, before))
            signal = np.maximum(before, 0)
        upstream, rows = normal(a.batch, a.width), []
        for inputs, weight, before in reversed(seen):
            gradient = upstream * (before > 0)
            upstream = gradient @ weight
            after = np.maximum(before, 0)
            rows.append([float(x.var()) for x in (before, after, gradient, gradient.T @ inputs)])
        yield rows[::-1]


def with_jax(a, std):
    import jax
    import jax.numpy as jnp

    def forward(shifts, signal, weights):
        seen = []
        for shift, weight in zip(shifts, weights):
            before = signal @ weight.T + shift
            signal = jnp.maximum(before, 0)
            seen.append((before.var(), signal.var()))
        return signal, seen

    @jax.jit
    def trial(key):
        keys = jax.random.split(key, a.depth + 2)
        weights = [std * jax.random.normal(k, (a.width, a.width)) for k in keys[2:]]
        signal = jax.random.normal(keys[0], (a.batch, a.width))
        shifts = [jnp.zeros((a.batch, a.width))] * a.depth
        cost = lambda s, w: (lambda out: ((out[0] * jax.random.normal(keys[1], out[0].shape)).sum(), out[1]))(forward(s, signal, w))
        (shift_grads, weight_grads), seen = jax.grad(cost, argnums=(0, 1), has_aux=True)(shifts, weights)
        return [(z, h, d.var(), w.var()) for (z, h), d, w in zip(seen, shift_grads, weight_grads)]

    for key in jax.random.split(jax.random.key(0), a.trials):
        yield [[float(x) for x in row] for row in trial(key)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("framework", choices=["torch", "numpy", "jax"])
    for name, default in (("depth", 50), ("width", 512), ("batch", 64), ("trials", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--init", choices=["xavier", "he"], default="xavier")
    a = parser.parse_args()
    std = ((1 if a.init == "xavier" else 2) / a.width) ** 0.5
    trials = list({"torch": with_torch, "numpy": with_numpy, "jax": with_jax}[a.framework](a, std))
    middle = lambda layer, place: statistics.median(t[layer][place] for t in trials)
    print(json.dumps({"framework": a.framework, "last_activation": middle(-1, 1), "first_gradient": middle(0, 2)}))


if __name__ == "__main__":
    main()
