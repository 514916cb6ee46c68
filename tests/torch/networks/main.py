"""What PyTorch makes of a bundled network: of each weighted layer the variances of its pre-activation and its activation, the mean square
of its gradient, and that of its weights' gradient, in double precision.

    python tests/torch/networks/main.py NETWORK.safetensors GOLDEN.json

`tests/networks.rs` calls it with the weights that initdiag draws, an input and a read-out. A network is the class of torchvision, timm or
transformers where there is one (`libraries.py`), and else a module of its own (`written.py`): each file has functions marked `@network`,
called with the network's file, that return a `Model`.
"""

import json
import pathlib
import sys

import libraries
import torch
import written  # noqa: F401
from calls import Calls
from networks import NETWORKS, variance
from safetensors import safe_open

torch.set_default_dtype(torch.float64)


def positions_first(t):
    """Samples × positions × channels, from an output that is an image where it has four axes."""
    if t.dim() == 4:
        t = t.flatten(2).transpose(1, 2)
    return t if t.dim() == 3 else t[:, None, :]


def sample(given, array):
    return array.long() if "tokens" in given else array.reshape(-1, *given["shape"])


def main(source, target):
    with safe_open(source, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
        arrays = {name: file.get_tensor(name).double() for name in file.keys()}
    # What a library would compute in single precision, such as norms and rotations, is computed in double precision here.
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    net = about["network"]
    torch.manual_seed(0)
    model = NETWORKS[net["name"]](net)
    module = model.module.double().train()
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    # The n-th of initdiag's arrays is the n-th part of the model.
    parts = dict(zip(about["order"], model.parts, strict=True))
    # How a library draws them; what is written here has no laws of its own.
    is_library = NETWORKS[net["name"]].__module__ == libraries.__name__
    began = {name: part.began() for name, part in parts.items() if is_library}
    for name, part in parts.items():
        part.fill(arrays[name])
    model.check()
    given = net["input"] if about["inputs"] != ["input"] else {"input": net["input"]}
    inputs = [sample(given[name], arrays[f"input:{name}"]) for name in about["inputs"]]
    read_out = arrays["read_out"]
    with Calls(module) as calls:
        out = model.run(*inputs)
    cost = (positions_first(out) * read_out).sum()
    cost.backward()
    layers = {path: model.record(path, parts, calls) for path in about["layers"]}
    for path, out in model.activations(about["activations"], calls).items():
        if path in layers:
            layers[path][1] = variance(out)
    pathlib.Path(target).write_text(json.dumps({"cost": cost.item(), "layers": layers, "began": began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
