"""Every product with weights that a module computes: what came out, and the weights as a leaf of that call alone; and what comes out of
every activation."""

import torch
import torch.nn.functional as F

# Functions that multiply with weights, the place of the weights among their arguments, and the axis of the channels of what they make.
FUNCTIONS = [
    (F, "linear", 1, -1),
    (F, "conv1d", 1, 1),
    (F, "conv2d", 1, 1),
    (F, "conv_transpose2d", 1, 1),
    (F, "embedding", 1, -1),
    (torch, "addmm", 2, -1),
]


# Modules whose names end so are activations.
ACTIVATIONS = ("ReLU", "ReLU6", "GELU", "SiLU", "Tanh", "Sigmoid", "GELUActivation", "SiLUActivation", "Function")


class Call:
    def __init__(self, x, weight, out, axis):
        self.x, self.weight, self.out, self.axis = x, weight, out, axis


class Calls:
    """Within it, every call is kept, by function and by where its weights lie in memory, and the outputs of activations in their order."""

    def __init__(self, module):
        self.all, self.before = {}, []
        self.activations, self.inside = [], False
        for part in module.modules():
            if type(part).__name__.endswith(ACTIVATIONS):
                part.register_forward_pre_hook(lambda *_: setattr(self, "inside", True))
                part.register_forward_hook(lambda _, __, out: self.activated(out))

    def activated(self, out):
        self.inside = False
        self.activations.append(out.detach())

    def activation(self, function):
        """A module may call it without a module of its own."""

        def call(x, inplace=False, **options):
            out = function(x, **options)
            if not self.inside:
                self.activated(out)
            return out

        return call

    def __enter__(self):
        for name in ("relu", "gelu"):
            function = getattr(F, name)
            self.before.append((F, name, function))
            setattr(F, name, self.activation(function))
        for module, name, place, axis in FUNCTIONS:
            function = getattr(module, name)
            self.before.append((module, name, function))
            setattr(module, name, self.watched(function, name, place, axis))
        return self

    def __exit__(self, *_):
        for module, name, function in self.before:
            setattr(module, name, function)

    def watched(self, function, name, place, axis):
        def call(*arguments, **options):
            weight = arguments[place]
            own = weight.view_as(weight)
            out = function(*arguments[:place], own, *arguments[place + 1 :], **options)
            if own.requires_grad and torch.is_grad_enabled():
                own.retain_grad()
                out.retain_grad()
                kept = Call(arguments[1 - (place == 1)], own, out, axis)
                self.all.setdefault((name, weight.data_ptr()), []).append(kept)
            return out

        return call

    def of(self, weight, only=None):
        """The calls with these weights, of one function or of any."""
        names = [only] if only else [name for _, name, _, _ in FUNCTIONS]
        return [call for name in names for call in self.all.get((name, weight.data_ptr()), [])]
