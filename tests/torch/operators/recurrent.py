import math

import torch
import torch.nn.functional as F
from cases import table

CASES, case = table()
GATES = {
    torch.nn.RNN: [""],
    torch.nn.LSTM: ["input/", "forget/", "cell/", "output/"],
    torch.nn.GRU: ["reset/", "update/", "candidate/"],
}


def recurrent(kind, p, path, x, units, packed=False, **options):
    """PyTorch's own layer with our numbers; its states, and what it is at the end."""
    module = kind(x.shape[-1], units, batch_first=True, **options)
    gates = [""] if packed else GATES[kind]
    ways = ["forward", "reverse"] if module.bidirectional else [""]
    projection = module.proj_size
    state, weights = projection or units, {}
    for layer in range(module.num_layers):
        features = x.shape[-1] if layer == 0 else len(ways) * state
        for way in ways:
            number = f"layer{layer + 1}" if module.num_layers > 1 else ""
            own = "/".join(part for part in (path, number, way) if part)
            rows = units * (len(GATES[kind]) if packed else 1)
            end = f"_l{layer}" + ("_reverse" if way == "reverse" else "")
            of = lambda name, columns: torch.cat([p(f"{own}/{gate}{name}", rows, columns) for gate in gates])
            weights["weight_ih" + end] = of("weight", features)
            weights["weight_hh" + end] = of("recurrent", state)
            weights["bias_ih" + end] = of("bias", 1)[:, 0]
            weights["bias_hh" + end] = of("recurrent_bias", 1)[:, 0]
            if projection:
                weights["weight_hr" + end] = p(f"{own}/projection/weight", projection, units)
    out, end = torch.func.functional_call(module, weights, (x,))
    end = end[0] if kind is torch.nn.LSTM else end
    return out, torch.cat(list(end[-len(ways):]), dim=1)


def linear(p, path, x, units):
    return F.linear(x, p(f"{path}/weight", units, x.shape[-1]), p.vector(f"{path}/bias", units))


@case((4, 2))
def rnn_two_layers(p, x):
    return recurrent(torch.nn.RNN, p, "rnn1", x, 3, num_layers=2)[0]


@case((3, 2))
def rnn_both_directions_last(p, x):
    return recurrent(torch.nn.RNN, p, "rnn1", x, 3, bidirectional=True, nonlinearity="relu")[1]


@case((3, 2))
def lstm_two_layers_both_directions(p, x):
    return recurrent(torch.nn.LSTM, p, "lstm1", x, 2, num_layers=2, bidirectional=True)[0]


@case((4, 2))
def lstm_projected(p, x):
    return recurrent(torch.nn.LSTM, p, "lstm1", x, 3, proj_size=2)[0]


@case((3, 2))
def lstm_projected_two_layers_both_directions_last(p, x):
    options = {"proj_size": 1, "num_layers": 2, "bidirectional": True}
    return linear(p, "linear1", recurrent(torch.nn.LSTM, p, "lstm1", x, 2, **options)[1], 2)


@case((4, 2))
def lstm_packed(p, x):
    return recurrent(torch.nn.LSTM, p, "lstm1", x, 3, packed=True, proj_size=2)[0]


@case((3, 2))
def gru_two_layers_last(p, x):
    return recurrent(torch.nn.GRU, p, "gru1", x, 2, num_layers=2)[1]


@case((4, 2))
def gru_packed_both_directions(p, x):
    return recurrent(torch.nn.GRU, p, "gru1", x, 2, packed=True, bidirectional=True)[0]


@case((4, 3))
def reverse(p, x):
    return linear(p, "linear1", x, 2).flip(1)


@case((4, 3))
def select(p, x):
    first, last, third = x[:, 0], x[:, -1], x[:, 2]
    return linear(p, "linear1", torch.cat([first, last, third], dim=1), 2)


@case((4, 3))
def shift(p, x):
    later, earlier = torch.zeros_like(x), torch.zeros_like(x)
    later[:, 1:], earlier[:, :-2] = x[:, :-1], x[:, 2:]
    return linear(p, "linear1", torch.cat([later, earlier], dim=2), 2)


@case((4, 3))
def mixer(p, x):
    x = x + linear(p, "block1/linear2", torch.tanh(linear(p, "block1/linear1", x.mT, 5)), 4).mT
    return linear(p, "linear1", x, 2)


def graph(positions, edges, normalize="symmetric", loops=True):
    """The adjacency as a dense matrix."""
    a = torch.eye(positions) if loops else torch.zeros(positions, positions)
    for i, j in edges:
        a[i, j] = a[j, i] = 1.0
    degree = a.sum(1)
    inverse = torch.where(degree > 0, 1 / degree, torch.zeros(()))
    if normalize == "row":
        return inverse[:, None] * a
    return inverse.sqrt()[:, None] * a * inverse.sqrt() if normalize == "symmetric" else a


@case((5, 3))
def graph_convolution(p, x):
    first, second = graph(5, [(0, 1), (1, 2), (3, 1), (1, 0)]), graph(5, [(0, 4), (2, 3)])
    h = first @ F.linear(x, p("graph-conv1/weight", 4, 3)) + p.vector("graph-conv1/bias", 4)
    return second @ F.linear(torch.relu(h), p("graph-conv2/weight", 2, 4))


@case((4, 3))
def graph_means(p, x):
    a = graph(4, [(0, 1), (1, 2), (0, 2)], "row", loops=False)
    return a @ F.linear(x, p("graph-conv1/weight", 2, 3)) + p.vector("graph-conv1/bias", 2)


@case((4, 3))
def graph_sums(p, x):
    a = graph(4, [(0, 1), (1, 2), (2, 2)], "none")
    return a @ F.linear(x, p("graph-conv1/weight", 2, 3)) + p.vector("graph-conv1/bias", 2)


def state_space(p, path, x, state, rank):
    """Gu & Dao 2023, algorithm 2, with the discretization that their code has: exp(ΔA) and ΔB."""
    batch, length, features = x.shape
    made = F.linear(x, p(f"{path}/x_proj/weight", rank + 2 * state, features))
    low, b, c = made.split([rank, state, state], dim=2)
    delta = F.softplus(linear(p, f"{path}/dt_proj", low, features))
    a = -torch.arange(1.0, state + 1) * p(f"{path}/A_log/weight", features, state).exp()
    h, y = torch.zeros(batch, features, state), []
    for t in range(length):
        step = delta[:, t, :, None]
        h = (step * a).exp() * h + step * b[:, t, None, :] * x[:, t, :, None]
        y.append((h * c[:, t, None, :]).sum(2) + p(f"{path}/D/weight", features)[:, 0] * x[:, t])
    return torch.stack(y, dim=1)


@case((5, 4))
def selective_state_space(p, x):
    return state_space(p, "ssm1", x, 3, 2)


@case((3, 17))
def state_space_of_the_usual_rank(p, x):
    return state_space(p, "ssm1", x, 1, 2)[:, -1]


@case((4, 3))
def mamba_block(p, x):
    path = "block1/"
    h, gate = linear(p, path + "linear1", x, 8).chunk(2, dim=2)
    y = state_space(p, path + "y", F.silu(h), 2, 1) * F.silu(gate)
    return x + F.linear(y, p(path + "linear2/weight", 3, 4))
