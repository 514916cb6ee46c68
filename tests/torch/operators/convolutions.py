import math

import torch
import torch.nn.functional as F
from cases import table

CASES, case = table()


def kernel(p, name, first, second, *size):
    """The weight first × second × size of a matrix first × (tap, second)."""
    w = p(f"{name}/weight", first, math.prod(size) * second)
    w = w.reshape(first, math.prod(size), second).transpose(1, 2)
    return w.reshape(first, second, *size).contiguous()


def bias(p, name, length):
    return p.vector(f"{name}/bias", length)


def linear(p, name, x, features, out):
    return F.linear(x, p(f"{name}/weight", out, features), bias(p, name, out))


@case((7, 3))
def conv1d(p, x):
    x = F.conv1d(x.mT, kernel(p, "conv1", 4, 3, 3), bias(p, "conv1", 4), stride=2, padding=1)
    return F.conv1d(x.tanh(), kernel(p, "conv2", 2, 2, 2), dilation=2, groups=2).mT


@case((6, 2))
def conv1d_causal(p, x):
    x = F.conv1d(F.pad(x.mT, (4, 0)), kernel(p, "conv1", 3, 2, 3), bias(p, "conv1", 3), dilation=2)
    return F.conv1d(F.pad(x.tanh(), (1, 0)), kernel(p, "conv2", 2, 3, 2), bias(p, "conv2", 2), stride=2).mT


@case((6, 1))
def conv1d_of_one_feature(p, x):
    x = F.conv1d(x.mT, kernel(p, "conv1", 2, 1, 5), bias(p, "conv1", 2), padding="same")
    return F.avg_pool1d(x.tanh(), 2, stride=1).mT


@case((4, 5, 4))
def conv2d(p, x):
    w, b = kernel(p, "conv1", 2, 2, 3, 2), bias(p, "conv1", 2)
    return F.conv2d(x, w, b, stride=(1, 2), padding=(1, 0), dilation=(2, 1), groups=2)


@case((2, 3, 4, 2), image_out=False)
def conv3d(p, x):
    x = F.conv3d(x, kernel(p, "conv1", 4, 2, 2, 3, 2), bias(p, "conv1", 4), stride=(1, 2, 1), padding=(1, 1, 0))
    x = F.conv3d(x.tanh(), kernel(p, "conv2", 2, 2, 3, 1, 1), padding="same", groups=2)
    x = x.flatten(2).mT.flatten(1)
    return linear(p, "linear1", x, 16, 2)


@case((2, 3, 2, 2))
def norms_and_pools_of_volumes(p, x):
    x = F.max_pool3d(x, (2, 1, 2), stride=1, padding=(1, 0, 0))
    gain, shift = (p.vector(f"layernorm1/{kind}", 2)[:, None, None, None] for kind in ("gain", "shift"))
    x = F.layer_norm(x, x.shape[1:]) * gain + shift
    x = F.conv3d(x, kernel(p, "conv1", 4, 2, 1, 1, 1), bias(p, "conv1", 4))
    x = F.group_norm(x, 2, p.vector("groupnorm1/gain", 4), p.vector("groupnorm1/shift", 4)).tanh()
    x = F.batch_norm(x, None, None, p.vector("batchnorm1/gain", 4), p.vector("batchnorm1/shift", 4), training=True)
    x = F.interpolate(x, scale_factor=(1, 2, 1), mode="nearest")
    return F.avg_pool3d(x, (2, 3, 1))


@case((4, 3))
def conv_transpose1d(p, x):
    w, b = kernel(p, "conv-transpose1", 3, 2, 3), bias(p, "conv-transpose1", 2)
    x = F.conv_transpose1d(x.mT, w, b, stride=2, padding=1, output_padding=1)
    w = kernel(p, "conv-transpose2", 2, 1, 2)
    return F.conv_transpose1d(x.tanh(), w, dilation=3, output_padding=2, groups=2).mT


@case((4, 2, 3))
def conv_transpose2d(p, x):
    w, b = kernel(p, "conv-transpose1", 4, 3, 3, 2), bias(p, "conv-transpose1", 6)
    x = F.conv_transpose2d(x, w, b, stride=2, padding=(1, 0), output_padding=(1, 0), groups=2)
    return F.conv_transpose2d(x.tanh(), kernel(p, "conv-transpose2", 6, 2, 1, 1), bias(p, "conv-transpose2", 2))


@case((2, 2, 1, 2))
def conv_transpose3d(p, x):
    w, b = kernel(p, "conv-transpose1", 2, 2, 2, 2, 2), bias(p, "conv-transpose1", 2)
    return F.conv_transpose3d(x, w, b, stride=(2, 1, 1), padding=(0, 0, 1))


def standardized(w, eps):
    variance, mean = torch.var_mean(w, (1, 2, 3), correction=0, keepdim=True)
    return (w - mean) / (variance + eps).sqrt()


@case((2, 3, 3))
def conv2d_standardized(p, x):
    x = F.conv2d(x, standardized(kernel(p, "conv1", 4, 2, 2, 2), 1e-5), bias(p, "conv1", 4))
    return F.conv2d(x.tanh(), standardized(kernel(p, "conv2", 2, 2, 2, 2), 0.1) / 8**0.5, groups=2)


@case((2, 3, 3))
def conv2d_standardized_with_gain(p, x):
    gain = lambda name, units: p.vector(f"{name}/gain", units)[:, None, None, None]
    w = gain("conv1", 4) * standardized(kernel(p, "conv1", 4, 2, 2, 2), 1e-5)
    x = F.conv2d(x, w, bias(p, "conv1", 4))
    w = gain("conv2", 2) * standardized(kernel(p, "conv2", 2, 2, 2, 2), 0.1) / 8**0.5
    return F.conv2d(x.tanh(), w, bias(p, "conv2", 2), groups=2)


@case((2, 6, 5))
def conv_same(p, x):
    # F.pad takes left, right, top, bottom.
    x = F.conv2d(F.pad(x, (1, 1, 0, 1)), kernel(p, "conv1", 3, 2, 3, 3), bias(p, "conv1", 3), stride=2)
    x = F.conv2d(x.tanh(), kernel(p, "conv2", 2, 3, 2, 4), padding="same")
    x = F.conv2d(F.pad(x.tanh(), (0, 1, 1, 2)), kernel(p, "conv3", 2, 2, 2, 2), stride=(1, 2), dilation=(3, 1))
    return F.conv2d(x.tanh(), kernel(p, "conv4", 2, 2, 1, 1), stride=2)


@case((3, 2))
def upsample_nearest(p, x):
    x = F.interpolate(linear(p, "linear1", x, 2, 2).mT, scale_factor=2, mode="nearest")
    return F.conv1d(x.tanh(), kernel(p, "conv1", 1, 2, 2), bias(p, "conv1", 1)).mT


@case((1, 3, 2))
def upsample_bilinear(p, x):
    x = F.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=False)
    return F.conv2d(x, kernel(p, "conv1", 1, 1, 2, 2), bias(p, "conv1", 1), stride=2)


@case((1, 4, 6))
def pixel_shuffles(p, x):
    x = F.conv2d(F.pixel_unshuffle(x, 2), kernel(p, "conv1", 18, 4, 1, 1), bias(p, "conv1", 18))
    x = F.pixel_shuffle(x.tanh(), 3)
    return F.conv2d(x, kernel(p, "conv2", 1, 2, 2, 2), bias(p, "conv2", 1), stride=2)


@case((6, 2))
def pools_of_sequences(p, x):
    x = F.max_pool1d(x.mT, 3, stride=2, padding=1).mT
    x = linear(p, "linear1", x, 2, 3).tanh()
    return linear(p, "linear2", x.mean(1), 3, 2)
