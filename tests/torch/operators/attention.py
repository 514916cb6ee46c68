import math

import torch
import torch.nn.functional as F
from cases import table

CASES, case = table()


def linear(p, name, x, units, bias=True):
    weight = p(f"{name}/weight", units, x.shape[-1])
    return F.linear(x, weight, p.vector(f"{name}/bias", units) if bias else None)


@case((2, 6))
def glu(p, x):
    return linear(p, "linear1", F.glu(x, dim=-1), 2)


@case((2, 3))
def geglu_packed(p, x):
    a, b = linear(p, "linear1", x, 4).chunk(2, dim=-1)
    return linear(p, "linear2", a * F.gelu(b), 2)


@case((2, 3))
def swiglu(p, x):
    gate, up = (linear(p, f"gated-mlp1/{part}", x, 4, False) for part in ("gate", "up"))
    return linear(p, "gated-mlp1/down", F.silu(gate) * up, 3, False)


@case((3,))
def gated_mlp_with_biases(p, x):
    gate, up = linear(p, "gated-mlp1/gate", x, 2, False), linear(p, "gated-mlp1/up", x, 2)
    return linear(p, "gated-mlp1/down", torch.tanh(gate) * up, 5)


def heads(t, count):
    """Samples × heads × positions × width."""
    return t.unflatten(-1, (count, -1)).transpose(1, 2)


def attention(p, x, count, kv=None, width=None, out=None, memory=None, bias=True, prepare=None, name="attention1", **kwargs):
    """Projections around PyTorch's own attention; `prepare` acts on queries and keys."""
    kv, width, memory = kv or count, width or x.shape[-1] // count, x if memory is None else memory
    q = heads(linear(p, f"{name}/query", x, count * width, bias), count)
    k, v = (heads(linear(p, f"{name}/{part}", memory, kv * width, bias), kv) for part in ("key", "value"))
    if prepare:
        q, k = prepare(q, k)
    mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True, **kwargs)
    return linear(p, f"{name}/out", mixed.transpose(1, 2).flatten(2), out or x.shape[-1], bias)


@case((3, 4))
def plain_attention(p, x):
    return attention(p, x, 2)


@case((3, 2))
def grouped_queries(p, x):
    return attention(p, x, 4, kv=2, width=2, out=3, is_causal=True)


@case((3, 4))
def multi_query(p, x):
    return attention(p, x, 2, kv=1, bias=False)


@case((3, 2))
def cross_attention(p, x):
    memory, x = linear(p, "memory", x, 3), linear(p, "x", x, 4)
    return attention(p, x, 2, kv=1, memory=memory)


def angles(length, width, base):
    """Su et al. 2021, eq. 15: m·θᵢ with θᵢ = base^(−2(i−1)/d)."""
    theta = base ** (-torch.arange(0, width, 2) / width)
    return torch.arange(length)[:, None] * theta


def rotate_half(x, base=10000.0):
    """Llama: x·cos + (−x₂, x₁)·sin, with angles repeated for both halves."""
    angle = angles(x.shape[-2], x.shape[-1], base).repeat(1, 2)
    first, second = x.chunk(2, dim=-1)
    return x * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()


def rotate_pairs(x, base=10000.0):
    """RoFormer: neighbors are a complex number, which is multiplied by e^{imθ}."""
    angle = angles(x.shape[-2], x.shape[-1], base)
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2)


@case((4, 3))
def rotary_half(p, x):
    return attention(p, x, 2, width=4, is_causal=True, prepare=lambda q, k: (rotate_half(q), rotate_half(k)))


@case((4, 3))
def rotary_pairs(p, x):
    return attention(p, x, 2, kv=1, width=4, prepare=lambda q, k: (rotate_pairs(q, 100.0), rotate_pairs(k, 100.0)))


@case((3, 2))
def rotary_partial(p, x):
    turn = lambda t: torch.cat([rotate_half(t[..., :4], 10.0), t[..., 4:]], dim=-1)
    return attention(p, x, 1, width=6, prepare=lambda q, k: (turn(q), turn(k)))


def distances(length):
    return (torch.arange(length)[:, None] - torch.arange(length)).abs().double()


def mask(length, seen):
    return torch.zeros(length, length).masked_fill(~seen, -torch.inf)


@case((3, 2))
def alibi(p, x):
    # Press et al. 2022 for 3 heads: those of 2, then the first of 4.
    slopes = torch.tensor([2.0**-4, 2.0**-8, 2.0**-2])
    bias = -slopes[:, None, None] * distances(3) + mask(3, torch.ones(3, 3).tril().bool())
    return attention(p, x, 3, width=1, attn_mask=bias)


@case((3, 4))
def alibi_both_ways(p, x):
    slopes = torch.tensor([2.0**-4, 2.0**-8])
    bias = -slopes[:, None, None] * distances(3) + mask(3, distances(3) <= 1)
    return attention(p, x, 2, attn_mask=bias)


@case((5, 2))
def causal_window(p, x):
    behind = torch.arange(5)[:, None] - torch.arange(5)
    return attention(p, x, 1, attn_mask=(behind >= 0) & (behind < 2))


@case((3, 2))
def soft_cap(p, x):
    q, k, v = (heads(linear(p, f"attention1/{part}", x, 2), 2) for part in ("query", "key", "value"))
    scores = 0.5 * torch.tanh(2.0 * q @ k.transpose(-1, -2) / 0.5)
    bias = -torch.tensor([2.0**-4, 2.0**-8])[:, None, None] * distances(3)
    mixed = (scores + bias).softmax(-1) @ v
    return linear(p, "attention1/out", mixed.transpose(1, 2).flatten(2), 2)


@case((3, 4))
def query_and_key_norms(p, x):
    norm = lambda q, k: (F.rms_norm(q, (2,), eps=0.01), F.layer_norm(k, (2,), eps=0.01))
    turn = lambda q, k: tuple(map(rotate_half, norm(q, k)))
    return attention(p, x, 2, prepare=turn, scale=1.0)


def experts(p, x, count, function, gated):
    """What each expert makes, samples × … × features × experts."""
    all = []
    for name in (f"moe1/expert{k + 1}" for k in range(count)):
        up = linear(p, f"{name}/up", x, 2, False)
        between = function(linear(p, f"{name}/gate", x, 2, False)) * up if gated else function(up)
        all.append(linear(p, f"{name}/down", between, x.shape[-1], False))
    return torch.stack(all, dim=-1)


def router(p, x, count):
    return linear(p, "moe1/router", x, count, False)


@case((2, 3))
def soft_mixture(p, x):
    return (experts(p, x, 2, F.silu, True) @ router(p, x, 2).softmax(-1)[..., None])[..., 0]


@case((2, 2))
def mixtral(p, x):
    logits = router(p, x, 4)
    kept, places = logits.topk(2, dim=-1)
    gates = torch.zeros_like(logits).scatter(-1, places, kept.softmax(-1))
    return (experts(p, x, 4, F.silu, True) @ gates[..., None])[..., 0]


@case((3,))
def plain_experts(p, x):
    shares = router(p, x, 3).softmax(-1)
    gates = shares * (shares == shares.amax(-1, keepdim=True))
    return (experts(p, x, 3, F.gelu, False) @ gates[..., None])[..., 0]


def relative_bucket(offset, both, buckets, distance):
    """Raffel et al. 2020: a bucket for each small distance, logarithmic ones beyond; keys ahead have the upper half."""
    first = 0
    if both:
        buckets //= 2
        first = buckets if offset > 0 else 0
        offset = abs(offset)
    else:
        offset = max(-offset, 0)
    exact = buckets // 2
    if offset < exact:
        return first + offset
    beyond = math.log(offset / exact) / math.log(distance / exact) * (buckets - exact)
    return first + min(exact + int(beyond), buckets - 1)


def relative(p, length, count, buckets, distance, both):
    """Heads × queries × keys."""
    table = p("attention1/positions", count, buckets)
    places = [[relative_bucket(k - q, both, buckets, distance) for k in range(length)] for q in range(length)]
    return table[:, torch.tensor(places)]


@case((6, 2))
def relative_positions(p, x):
    return attention(p, x, 2, bias=False, scale=1.0, attn_mask=relative(p, 6, 2, 6, 4, True))


@case((6, 2))
def causal_relative_positions(p, x):
    seen = mask(6, torch.ones(6, 6).tril().bool())
    return attention(p, x, 2, kv=1, attn_mask=relative(p, 6, 2, 4, 5, False) + seen)
