"""Networks that no library has, written with PyTorch's own modules."""

import torch
import torch.nn.functional as F
from libraries import find, whole
from networks import Model, Part, moments, network
from torch import nn


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def sequential(*layers):
    module = nn.Sequential(*layers)
    return Model(module, whole(module))


@network("mlp-mnist", "mlp-digits")
def perceptron(net):
    side = net["input"]["shape"][1]
    return sequential(nn.Flatten(), nn.Linear(side * side, 128), nn.ReLU(), nn.Linear(128, 10))


@network("lenet5")
def lenet5(net):
    return sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 13 * 13, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


@network("lenet5-1998")
def lenet5_1998(net):
    act = lambda: Function(lambda x: 1.7159 * torch.tanh(2 / 3 * x))
    return sequential(
        nn.Conv2d(1, 6, 5),
        act(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        act(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        act(),
        nn.Flatten(),
        nn.Linear(120, 84),
        act(),
        nn.Linear(84, 10),
    )


@network("siren")
def siren(net):
    widths = [2, 256, 256, 256, 256]
    layers = []
    for one, next in zip(widths, widths[1:]):
        layers += [nn.Linear(one, next), Function(lambda x: torch.sin(30 * x))]
    return sequential(*layers, nn.Linear(256, 1))


@network("dcgan")
def dcgan(net):
    layers, channels = [], [100, 512, 256, 128, 64]
    for place, (one, next) in enumerate(zip(channels, channels[1:])):
        options = dict(stride=2, padding=1) if place else {}
        layers += [nn.ConvTranspose2d(one, next, 4, bias=False, **options), nn.BatchNorm2d(next), nn.ReLU()]
    return sequential(*layers, nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1, bias=False), nn.Tanh())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        twice = lambda one, next: nn.Sequential(
            nn.Conv2d(one, next, 3, padding=1), nn.ReLU(), nn.Conv2d(next, next, 3, padding=1), nn.ReLU()
        )
        self.down = nn.ModuleList(twice(one, next) for one, next in [(1, 64), (64, 128), (128, 256), (256, 512)])
        self.middle = twice(512, 1024)
        self.up = nn.ModuleList(
            nn.ModuleList([nn.ConvTranspose2d(2 * next, next, 2, stride=2), twice(2 * next, next)])
            for next in (512, 256, 128, 64)
        )
        self.head = nn.Conv2d(64, 2, 1)

    def forward(self, x):
        kept = []
        for block in self.down:
            kept.append(block(x))
            x = F.max_pool2d(kept[-1], 2)
        x = self.middle(x)
        for larger, block in self.up:
            x = block(torch.cat([kept.pop(), larger(x)], 1))
        return self.head(x)


@network("unet")
def unet(net):
    module = UNet()
    return Model(module, whole(module))


@network("cnn-10000")
def deep_convolution(net):
    layers, channels = [], 1
    for place in range(3 + find(net["layer"], "repeat")["times"]):
        layers += [nn.Conv2d(channels, 8, 3, padding=1, stride=2 if place in (1, 2) else 1), nn.Tanh()]
        channels = 8
    return sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


class Unrolled(Model):
    """Recurrent layers step by step, so that every step's products are seen; what comes out is held to PyTorch's own layers."""

    def record(self, path, parts, calls):
        if "/step" not in path:
            return super().record(path, parts, calls)
        layer, step = path.split("/step")
        driven, recurring = (
            calls.of(parts[f"{layer}.{name}_l0"].parameter)[int(step) - 1] for name in ("weight_ih", "weight_hh")
        )
        z = driven.out + recurring.out
        weights = [driven.weight.grad, recurring.weight.grad]
        state = self.states[layer][:, int(step) - 1]
        return moments(z, driven.out.grad, weights, state)


def unrolled(layer, x, step):
    """States of a recurrent layer at each step, from its pre-activations and what it keeps."""
    hidden = torch.zeros(len(x), layer.hidden_size)
    kept, states = hidden, []
    for now in x.unbind(1):
        driven = F.linear(now, layer.weight_ih_l0, layer.bias_ih_l0)
        hidden, kept = step(driven + F.linear(hidden, layer.weight_hh_l0, layer.bias_hh_l0), kept)
        states.append(hidden)
    states = torch.stack(states, 1)
    with torch.no_grad():
        assert torch.allclose(states, layer(x)[0], rtol=1e-12, atol=1e-12)
    return states


def lstm_step(z, cell):
    i, f, g, o = z.chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@network("lstm-lm")
def lstm(net):
    width, tokens = find(net["layer"], "embedding")["out"], net["input"]["tokens"]
    layers = [nn.LSTM(width, width, batch_first=True) for _ in range(2)]
    module = nn.ModuleList([nn.Embedding(tokens, width), *layers, nn.Linear(width, tokens)])

    def run(x):
        embedding, first, second, head = module
        model.states = {"lstm1": unrolled(first, embedding(x), lstm_step)}
        model.states["lstm2"] = unrolled(second, model.states["lstm1"], lstm_step)
        return head(model.states["lstm2"])

    model = Unrolled(module, whole(module), run)
    return model


@network("rnn-100")
def rnn(net):
    features = net["input"]["shape"][1]
    module = nn.ModuleList([nn.RNN(features, 128, batch_first=True), nn.Linear(128, 10)])

    def run(x):
        layer, head = module
        model.states = {"rnn1": unrolled(layer, x, lambda z, kept: (z.tanh(), kept))}
        return head(model.states["rnn1"][:, -1])

    model = Unrolled(module, whole(module), run)
    return model
