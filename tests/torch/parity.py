#!/usr/bin/env python3
"""Runs a network of an architecture file in PyTorch with given weights, forward and back, in double precision.

    parity.py DIR

reads DIR/net.json (the architecture), x.npy (features × samples), read_out.npy (channels × positions·samples), and w1.npy,
b1.npy, … (the weights in the order of their streams); writes output.npy, gradient.npy (of the input, features × samples) and
records.npy: for each entry the variance of the pre-activation, the mean square of its gradient and of its weights' gradient;
NaN where PyTorch does not show it.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

here = Path(sys.argv[1])
net = json.loads((here / "net.json").read_text())
torch.set_default_dtype(torch.float64)
ACTS = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
}
default_act = net.get("act", "relu")
entries, streams = [], 0


def load(name):
    path = here / f"{name}.npy"
    return torch.from_numpy(np.load(path)) if path.exists() else None


def weights():
    """The next stream's matrix, a leaf that gets a gradient, and its biases."""
    global streams
    streams += 1
    return load(f"w{streams}").requires_grad_(), load(f"b{streams}")


def record(z, weight):
    z.retain_grad()
    entries.append((z, weight))
    return z


def pair(value, other=None):
    value = other if value is None else value
    return tuple(value) if isinstance(value, list) else (value, value)


def linear(x):
    w, b = weights()
    return record(F.linear(x, w, b), w)


def conv(x, s):
    w, b = weights()
    kernel, groups = pair(s["kernel"]), s.get("groups", 1)
    # Columns are (tap, channel).
    shaped = w.reshape(s["out"], *kernel, -1).permute(0, 3, 1, 2)
    padding = s.get("padding", 0)
    padding = padding if padding == "same" else pair(padding)
    options = dict(stride=pair(s.get("stride", 1)), dilation=pair(s.get("dilation", 1)), groups=groups)
    return record(F.conv2d(x, shaped, b, padding=padding, **options), w)


def pool(x, s, of):
    kernel = pair(s.get("kernel"), list(x.shape[2:]))
    return of(x, kernel, stride=pair(s.get("stride"), list(kernel)), padding=pair(s.get("padding", 0)))


def recurrent(x, s, kind, gates):
    hidden, features = s["out"], x.shape[2]
    drawn = [(*weights(), weights()[0]) for _ in range(gates)]
    options = {"nonlinearity": s.get("fn", default_act)} if kind is torch.nn.RNN else {}
    layer = kind(features, hidden, batch_first=True, **options)
    zero = torch.zeros(hidden)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.cat([w for w, _, _ in drawn]))
        layer.weight_hh_l0.copy_(torch.cat([u for _, _, u in drawn]))
        layer.bias_ih_l0.copy_(torch.cat([zero if b is None else b for _, b, _ in drawn]))
        layer.bias_hh_l0.zero_()
    entries.extend([None] * x.shape[1])
    out = layer(x)[0]
    return out[:, -1] if s.get("last") else out


def attention(x, s):
    heads = s["heads"]
    split = lambda y: y.unflatten(2, (heads, -1)).transpose(1, 2)
    q, k, v = (split(linear(x)) for _ in range(3))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=s.get("causal", False))
    return linear(mixed.transpose(1, 2).flatten(2))


def channels_first(x, of):
    return of(x) if x.dim() != 3 else of(x.transpose(1, 2)).transpose(1, 2)


class Scope:
    """Values that `from` names: those of a list of layers, and of the lists that it stands in."""

    def __init__(self, outer=None):
        self.values, self.outer = {}, outer

    def find(self, name):
        return self.values[name] if name in self.values else self.outer.find(name)

    def value(self, text):
        name, _, index = text.removesuffix("]").partition("[")
        return self.find(name)[int(index or 0)]


def positions_first(x):
    """Samples × positions × channels, and back."""
    if x.dim() == 2:
        return x.unsqueeze(1), lambda y: y.squeeze(1)
    if x.dim() == 3:
        return x, lambda y: y
    return x.flatten(2).transpose(1, 2), lambda y: y.transpose(1, 2).unflatten(2, x.shape[2:])


def matmul(a, b, s):
    heads = s.get("heads", 1)
    (a, back), (b, _) = positions_first(a), positions_first(b)
    a, b = (y.unflatten(2, (heads, -1)).transpose(1, 2) for y in (a, b))
    return back((a @ (b.mT if s.get("transposed") else b)).transpose(1, 2).flatten(2))


def softmax(x, s):
    x, back = positions_first(x)
    scores = x.unflatten(2, (s.get("heads", 1), -1))
    if s.get("causal"):
        hidden = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        scores = scores.masked_fill(hidden.unsqueeze(1), -torch.inf)
    return back(scores.softmax(3).flatten(2))


# Channels are the last axis of features and sequences, and the first of images.
channel_axis = lambda x: 1 if x.dim() == 4 else -1
JOINS = {
    "add": lambda xs: record(sum(xs[1:], xs[0]), None),
    "mul": lambda xs: xs[0] * xs[1],
    "concat": lambda xs: torch.cat(xs, channel_axis(xs[0])),
}


def layer(xs, s, scope):
    """Outputs of a layer, a list, from its inputs."""
    kind = s["type"]
    if kind in JOINS:
        return [JOINS[kind](xs)]
    if kind == "matmul":
        return [matmul(*xs, s)]
    if kind == "repeat":
        for _ in range(s["times"]):
            xs = run(xs, s["layers"], scope)
        return xs
    if kind == "parallel":
        return [JOINS[s["join"]]([run(xs, branch, Scope(scope))[0] for branch in s["branches"]])]
    (x,) = xs
    if kind == "residual":
        (branch,) = run(xs, s["layers"], Scope(scope))
        (around,) = run(xs, s.get("shortcut", []), Scope(scope))
        return [record(branch * s.get("scale", 1.0) + around, None)]
    if kind == "split":
        sizes = s.get("sizes") or x.shape[channel_axis(x)] // s["parts"]
        return list(x.split(sizes, channel_axis(x)))
    return [unary(x, s)]


def unary(x, s):
    kind = s["type"]
    if kind == "linear":
        return linear(x)
    if kind == "conv2d":
        return conv(x, s)
    if kind == "maxpool":
        return pool(x, s, F.max_pool2d)
    if kind == "avgpool":
        return pool(x, s, F.avg_pool2d)
    if kind == "flatten":
        # Channels vary fastest.
        return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)
    if kind == "act":
        return ACTS[s.get("fn", default_act)](x)
    if kind == "batchnorm":
        return channels_first(x, lambda y: F.batch_norm(y, None, None, training=True, eps=s["eps"]))
    if kind == "groupnorm":
        return channels_first(x, lambda y: F.group_norm(y, s["groups"], eps=s["eps"]))
    if kind in ("layernorm", "rmsnorm"):
        shape = x.shape[1:] if x.dim() == 4 else x.shape[-1:]
        return (F.layer_norm if kind == "layernorm" else F.rms_norm)(x, shape, eps=s["eps"])
    if kind == "rnn":
        return recurrent(x, s, torch.nn.RNN, 1)
    if kind == "lstm":
        return recurrent(x, s, torch.nn.LSTM, 4)
    if kind == "gru":
        return recurrent(x, s, torch.nn.GRU, 3)
    if kind == "attention":
        return attention(x, s)
    if kind == "softmax":
        return softmax(x, s)
    if kind == "scale":
        return x * s["by"]
    raise ValueError(kind)


def run(xs, layers, scope):
    for s in layers:
        if "from" in s:
            xs = [scope.value(name) for name in s["from"]]
        xs = layer(xs, s, scope)
        if "name" in s:
            scope.values[s["name"]] = xs
    return xs


inputs = torch.from_numpy(np.load(here / "x.npy")).T.contiguous().requires_grad_()
scope = Scope()
scope.values["input"] = [inputs.reshape(-1, *net["input"]["shape"])]
(out,) = run(scope.values["input"], net["layer"], scope)
read_out = torch.from_numpy(np.load(here / "read_out.npy"))
# Samples × channels × positions, as channels × (positions·samples).
if out.dim() == 4:
    flat = out.permute(0, 2, 3, 1).reshape(-1, out.shape[1])
else:
    flat = out.reshape(-1, out.shape[-1])
(flat.T * read_out).sum().backward()
records = []
for entry in entries:
    if entry is None:
        records.append([np.nan] * 3)
        continue
    z, w = entry
    records.append([
        float(z.detach().var(correction=0)),
        float(z.grad.square().mean()),
        np.nan if w is None else float(w.grad.square().mean()),
    ])
np.save(here / "output.npy", flat.detach().numpy().T)
np.save(here / "gradient.npy", inputs.grad.numpy().T)
np.save(here / "records.npy", np.array(records))
