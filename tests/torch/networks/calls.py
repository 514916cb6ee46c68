"""Every product with weights that a module computes: what came out, and the weights as a leaf of that call alone."""

import torch
import torch.nn.functional as F

# Functions that multiply with weights, the place of the weights among their arguments, and the axis of the channels of what they make.
FUNCTIONS = [
    (F, "linear", 1, -1),
    (F, "conv2d", 1, 1),
    (F, "conv_transpose2d", 1, 1),
    (F, "embedding", 1, -1),
    (torch, "addmm", 2, -1),
]


class Call:
    def __init__(self, x, weight, out, axis):
        self.x, self.weight, self.out, self.axis = x, weight, out, axis


class Calls:
    """Within it, every call is kept, by function and by where its weights lie in memory."""

    def __init__(self):
        self.all, self.before = {}, []

    def __enter__(self):
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
