"""What PyTorch makes of the networks of tests/operators: outputs, and gradients of ⟨output, read-out⟩.

    python tests/torch/operators/main.py tests/data/operators

A module beside this one holds a kind of operator: functions marked `@case`, each called with the parameters `p` and the input `x`.
`p(name, rows, columns)` is the parameter of that name as initdiag lays it out, rows × columns; `x` has PyTorch's layout, samples
first, in the shape that `case` names: (features,), (length, features) or (channels, height, width). The result has samples first too,
and channels last unless it is an image or a volume.
"""

import importlib
import json
import math
import pathlib
import sys

import torch

torch.set_default_dtype(torch.float64)
BATCH = 3


class Parameters:
    def __init__(self):
        self.all = {}

    def __call__(self, name, rows, columns=1):
        if name not in self.all:
            seed = sum(name.encode()) % 101
            i, j = torch.arange(rows)[:, None], torch.arange(columns)[None, :]
            values = 0.5 * torch.sin((seed + 3 * i + 7 * j + i * j).double())
            self.all[name] = values.requires_grad_()
        return self.all[name]

    def vector(self, name, length):
        return self(name, length)[:, 0]


def positions_first(t, image):
    """Samples × positions × channels."""
    if image:
        t = t.flatten(2).transpose(1, 2)
    return t if t.dim() == 3 else t[:, None, :] if t.dim() == 2 else t.flatten(1, -2)


def run(function, shape, volume_in, volume_out):
    size = math.prod(shape)
    i, j = torch.arange(size)[None, :], torch.arange(BATCH)[:, None]
    x = (torch.sin((3 * i + 7 * j + i * j).double()) * 1.1).reshape(BATCH, *shape).requires_grad_()
    p = Parameters()
    out = positions_first(function(p, x), volume_out)
    batch, positions, channels = out.shape
    s, n, c = torch.arange(batch)[:, None, None], torch.arange(positions)[:, None], torch.arange(channels)
    (out * torch.cos((2 * c + 5 * n + 11 * s).double())).sum().backward()
    flat = lambda t: t.detach().flatten().tolist()
    return {
        "output": flat(out),
        "input": flat(x.grad),
        "parameters": {name: flat(w.grad.T) for name, w in sorted(p.all.items())},
    }


def main(directory):
    here = pathlib.Path(__file__).parent
    sys.path.insert(0, str(here))
    for file in sorted(here.glob("*.py")):
        if file.stem in ("main", "cases"):
            continue
        cases = importlib.import_module(file.stem).CASES
        golden = {name: run(*case) for name, case in cases.items()}
        text = json.dumps(golden, indent=0, separators=(",", ":")).replace(",\n", ",")
        (pathlib.Path(directory) / f"{file.stem}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
