"""What the modules of PyTorch, Keras and Flax draw when nobody says anything: statistics of every parameter.

    KERAS_BACKEND=jax python tests/torch/defaults.py tests/data/defaults.json

Each row has the name under which initdiag exports the parameter of the networks in tests/framework_defaults.rs, the number of its
entries, their mean and variance, and the smallest and the largest of them. Packed matrices are told apart by their parts.
"""

import json
import sys

import numpy as np

CHANNELS, UPPER, WIDTH, HEADS, TOKENS, OUT = 64, 32, 96, 4, 500, 40
CELLS = ("rnn", "lstm", "gru")


def of_torch():
    import torch

    torch.manual_seed(5)
    nn = torch.nn
    rows = {}

    def take(path, module):
        rows.update({f"{path}.{name}": p.detach().numpy() for name, p in module.named_parameters()})

    take("conv1", nn.Conv2d(3, CHANNELS, 5))
    take("depthwise", nn.Conv2d(CHANNELS, CHANNELS, 5, groups=CHANNELS))
    take("prelu1", nn.PReLU())
    take("batchnorm1", nn.BatchNorm2d(CHANNELS))
    take("conv-transpose1", nn.ConvTranspose2d(CHANNELS, UPPER, 3))
    take("head", nn.Linear(UPPER, OUT))
    take("embedding1", nn.Embedding(TOKENS, WIDTH))
    take("layernorm1", nn.LayerNorm(WIDTH))
    attention = nn.MultiheadAttention(WIDTH, HEADS)
    weight, bias = (p.detach().numpy() for p in (attention.in_proj_weight, attention.in_proj_bias))
    for part, w, b in zip(("query", "key", "value"), np.split(weight, 3), np.split(bias, 3)):
        rows[f"attention1.{part}.weight"], rows[f"attention1.{part}.bias"] = w, b
    take("attention1.out", attention.out_proj)
    for path, cell in zip(CELLS, (nn.RNN, nn.LSTM, nn.GRU)):
        take(f"{path}1", cell(WIDTH, WIDTH))
    return rows


def of_keras():
    import keras

    keras.utils.set_random_seed(5)
    layers, rows = keras.layers, {}

    def built(layer, shape, *more):
        layer(np.zeros((1, *shape), np.float32), *(np.zeros((1, *m), np.float32) for m in more))
        return [w.numpy() for w in layer.weights]

    def take(path, weights, names=("weight", "bias")):
        rows.update({f"{path}.{name}": w for name, w in zip(names, weights)})

    image = (12, 12, CHANNELS)
    take("conv1", built(layers.Conv2D(CHANNELS, 5), (12, 12, 3)))
    take("depthwise", built(layers.DepthwiseConv2D(5), image))
    take("prelu1", built(layers.PReLU(shared_axes=[1, 2]), image))
    take("batchnorm1", built(layers.BatchNormalization(), image))
    take("conv-transpose1", built(layers.Conv2DTranspose(UPPER, 3), image))
    take("head", built(layers.Dense(OUT), (UPPER,)))
    take("embedding1", built(layers.Embedding(TOKENS, WIDTH), (3,)))
    take("layernorm1", built(layers.LayerNormalization(), (3, WIDTH)))
    of_heads = built(layers.MultiHeadAttention(HEADS, WIDTH // HEADS), (3, WIDTH), (3, WIDTH))
    for part, pair in zip(("query", "key", "value", "out"), zip(of_heads[::2], of_heads[1::2])):
        take(f"attention1.{part}", pair)
    for path, cell in zip(CELLS, (layers.SimpleRNN, layers.LSTM, layers.GRU)):
        first, second, bias = built(cell(WIDTH), (3, WIDTH))
        take(f"{path}1", (first, second), ("weight_ih_l0", "weight_hh_l0"))
        # Keras has two biases for a GRU alone.
        both = bias if path == "gru" else (bias, 0 * bias)
        take(f"{path}1", both, ("bias_ih_l0", "bias_hh_l0"))
    return rows


def of_flax():
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    key, rows = jax.random.key(5), {}

    def built(module, *inputs):
        return module.init(key, *inputs)["params"]

    def take(path, parameters):
        names = {"kernel": "weight", "embedding": "weight", "scale": "weight", "negative_slope": "weight", "bias": "bias"}
        rows.update({f"{path}.{names[name]}": np.asarray(w) for name, w in parameters.items()})

    image, sequence = jnp.zeros((1, 12, 12, CHANNELS)), jnp.zeros((1, 3, WIDTH))
    take("conv1", built(nn.Conv(CHANNELS, (5, 5)), jnp.zeros((1, 12, 12, 3))))
    take("depthwise", built(nn.Conv(CHANNELS, (5, 5), feature_group_count=CHANNELS), image))
    take("prelu1", built(nn.PReLU(), image))
    take("batchnorm1", built(nn.BatchNorm(use_running_average=False), image))
    take("conv-transpose1", built(nn.ConvTranspose(UPPER, (3, 3)), image))
    take("head", built(nn.Dense(OUT), jnp.zeros((1, UPPER))))
    take("embedding1", built(nn.Embed(TOKENS, WIDTH), jnp.zeros((1, 3), int)))
    take("layernorm1", built(nn.LayerNorm(), sequence))
    for part, parameters in built(nn.MultiHeadDotProductAttention(HEADS), sequence).items():
        take(f"attention1.{part}", parameters)
    for path, cell in zip(CELLS, (nn.SimpleCell, nn.LSTMCell, nn.GRUCell)):
        gates = built(nn.RNN(cell(WIDTH)), sequence)["cell"]
        for side, name in (("i", "ih"), ("h", "hh")):
            own = [p for gate, p in sorted(gates.items()) if gate[0] == side]
            rows[f"{path}1.weight_{name}_l0"] = np.concatenate([np.asarray(p["kernel"]) for p in own])
            # Where Flax leaves a bias out it stands on the other side.
            zero = np.zeros(WIDTH)
            rows[f"{path}1.bias_{name}_l0"] = np.concatenate([np.asarray(p.get("bias", zero)) for p in own])
    return rows


def statistics(w):
    w = np.asarray(w, np.float64)
    return {"count": w.size, "mean": w.mean(), "variance": w.var(), "low": w.min(), "high": w.max()}


def main(path):
    frameworks = {"torch-default": of_torch, "keras-default": of_keras, "flax-default": of_flax}
    all_rows = {name: {row: statistics(w) for row, w in sorted(of().items())} for name, of in frameworks.items()}
    framework = lambda rows: ",\n".join(f"  {json.dumps(row)}: {json.dumps(of)}" for row, of in rows.items())
    text = ",\n".join(f" {json.dumps(name)}: {{\n{framework(rows)}\n }}" for name, rows in all_rows.items())
    with open(path, "w") as file:
        file.write(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1])
