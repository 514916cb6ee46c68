import torch
import torch.nn.functional as F
from cases import table

CASES, case = table()


def linear(p, x, name, rows, bias=True):
    b = p.vector(f"{name}/bias", rows) if bias else None
    return F.linear(x, p(f"{name}/weight", rows, x.shape[-1]), b)


def pointwise(p, x, name, rows):
    """A 1 × 1 convolution."""
    return F.conv2d(x, p(f"{name}/weight", rows, x.shape[1])[:, :, None, None], p.vector(f"{name}/bias", rows))


def affine(p, name, channels):
    return p.vector(f"{name}/gain", channels), p.vector(f"{name}/shift", channels)


@case((3, 2, 4))
def batchnorm(p, x):
    x = F.batch_norm(x, None, None, *affine(p, "batchnorm1", 3), training=True)
    return pointwise(p, x, "conv1", 2)


@case((4, 6))
def layernorm(p, x):
    return linear(p, F.layer_norm(x, (6,), *affine(p, "layernorm1", 6)), "linear1", 3)


@case((4, 6))
def layernorm_plain(p, x):
    return linear(p, F.layer_norm(x, (6,), eps=1e-3), "linear1", 3)


@case((4, 6))
def rmsnorm(p, x):
    return linear(p, F.rms_norm(x, (6,), p.vector("rmsnorm1/gain", 6), eps=1e-6), "linear1", 3)


@case((6, 2, 3))
def groupnorm(p, x):
    return pointwise(p, F.group_norm(x, 3, *affine(p, "groupnorm1", 6)), "conv1", 2)


@case((3, 2, 3))
def instancenorm(p, x):
    return pointwise(p, F.instance_norm(x, weight=p.vector("instancenorm1/gain", 3)), "conv1", 2)


@case((3, 4))
def layerscale(p, x):
    return linear(p, linear(p, x, "linear1", 5) * p.vector("layerscale1/gain", 5), "linear2", 2)


@case((3, 4))
def rezero(p, x):
    return x + p.vector("block1/scale1/factor", 1) * linear(p, x, "block1/linear1", 4)


@case((5,))
def prelu(p, x):
    return linear(p, F.prelu(linear(p, x, "linear1", 4), p.vector("prelu1/slope", 1)), "linear2", 3)


@case((3, 2, 2))
def prelu_each(p, x):
    return F.prelu(pointwise(p, x, "conv1", 4), p.vector("prelu1/slope", 4))


@case((3, 4))
def positions_and_token(p, x):
    token = p.vector("class-token1/token", 4).expand(x.shape[0], 1, 4)
    x = torch.cat([token, x], 1) + p.vector("positions1/table", 16).reshape(4, 4)
    return linear(p, x, "linear1", 2)


@case((2, 4, 6), image_out=False)
def patches(p, x):
    # Columns are taps, and channels within them.
    w = p("conv1/weight", 3, 8).reshape(3, 2, 2, 2).permute(0, 3, 1, 2)
    x = F.conv2d(x, w, p.vector("conv1/bias", 3), stride=2)
    return linear(p, x.flatten(2).transpose(1, 2), "linear1", 2)


@case((4, 3, 2))
def squeeze_excite(p, x):
    mean = x.mean((2, 3))
    gate = torch.sigmoid(linear(p, F.silu(linear(p, mean, "squeeze-excite1/reduce", 2)), "squeeze-excite1/expand", 4))
    return pointwise(p, x * gate[:, :, None, None], "conv1", 2)


@case((3, 4))
def gate_of_positions(p, x):
    a = linear(p, x, "a", 4)
    return a * linear(p, a.flatten(1), "b", 4)[:, None, :]
