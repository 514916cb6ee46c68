"""What the networks have in common: parts of a module's parameters that are one array of initdiag each, and what is recorded of them."""

import torch

NETWORKS = {}


def network(*names):
    def add(function):
        for name in names:
            NETWORKS[name] = function
        return function

    return add


def squeezed(shape):
    return [length for length in shape if length != 1]


class Part:
    """One array of initdiag within a parameter: all of it, some rows, or those of one item of a stack of matrices; `transposed` where a
    matrix has its axes swapped."""

    def __init__(self, parameter, rows=slice(None), transposed=False, item=None):
        self.parameter, self.rows, self.transposed, self.item = parameter, rows, transposed, item

    @property
    def matrix(self):
        """What a product is taken with."""
        return self.parameter if self.item is None else self.parameter[self.item]

    def of(self, tensor):
        return (tensor.mT if self.transposed else tensor)[self.rows]

    def began(self):
        """Mean and variance of what the library has drawn."""
        drawn = self.of(self.matrix).detach()
        return [drawn.mean().item(), variance(drawn)]

    def fill(self, array):
        with torch.no_grad():
            whole = self.matrix.mT if self.transposed else self.matrix
            shape = whole[self.rows].shape
            # A 1×1 convolution may be a linear layer, and a vector lie along several axes.
            fits = squeezed(shape) == squeezed(array.shape) or (array.dim() == 1 and shape.numel() == array.numel())
            assert fits, (shape, array.shape)
            whole[self.rows] = array.reshape(shape)


def mean_square(t):
    return t.square().mean().item()


def variance(t):
    """In two passes: `var` of PyTorch goes through the entries one by one and loses four digits in large tensors."""
    t = t.detach()
    return mean_square(t - t.mean())


def moments(z, gradient, weight_gradients, activation=None):
    """A line of the golden file; without an activation the layer's output is that."""
    weights = torch.cat([gradient.flatten() for gradient in weight_gradients])
    return [variance(z), variance(z if activation is None else activation), mean_square(gradient), mean_square(weights)]


class Model:
    """A module, its parts in the order of initdiag's arrays, and how it is called.

    `zeros` are parameters that initdiag has no counterpart of, and that add nothing as zeros; `fixed` are those that are not learnt. `tied`
    are layers whose weights are those of an embedding.
    """

    def __init__(self, module, parts, run=None, zeros=(), tied=None, fixed=()):
        self.module, self.parts, self.run = module, list(parts), run or module
        self.zeros, self.tied, self.fixed = list(zeros), tied or {}, list(fixed)

    def check(self):
        """Nothing is left as it began."""
        for zero in self.zeros:
            torch.nn.init.zeros_(zero)
        filled = {id(part.parameter) for part in self.parts} | {id(other) for other in self.zeros + self.fixed}
        left = [name for name, parameter in self.module.named_parameters() if id(parameter) not in filled]
        assert not left, left

    def activations(self, paths, calls):
        """Outputs of activations, by the path of the layer whose they are."""
        return dict(zip(paths, calls.activations, strict=True))

    def record(self, path, parts, calls):
        if path in self.tied:
            return self.of_product(Part(self.tied[path]), calls.of(self.tied[path], "linear"))
        name = path.replace("/", ".")
        part = parts[name + ".weight"]
        tables = [part] + [parts[place] for place in [name + ".positions"] if place in parts]
        if calls.of(part.matrix, "embedding"):
            return self.of_tables([calls.of(table.matrix, "embedding") for table in tables])
        return self.of_product(part, calls.of(part.matrix))

    def of_product(self, part, found):
        (call,) = found
        channels = lambda t: t.movedim(call.axis, 0)[part.rows]
        return moments(channels(call.out), channels(call.out.grad), [part.of(call.weight.grad)])

    def of_tables(self, found):
        """An embedding: the sum of the rows of all tables."""
        found = [call for (call,) in found]
        z = sum(call.out for call in found)
        return moments(z, found[0].out.grad, [call.weight.grad for call in found])
