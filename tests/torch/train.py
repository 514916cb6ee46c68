"""Full-batch training of lenet5 from a saved start: python train.py START TABLE RULE LOSS RATE DECAY EPOCHS.

Prints the cost before each step, as JSON.
"""
import json
import sys

import numpy
import torch
import torch.nn as nn
from safetensors.torch import load_file

start, table, rule, loss, rate, decay, epochs = sys.argv[1:]
rate, decay = float(rate), float(decay)
data = numpy.loadtxt(table, delimiter=",", dtype=numpy.float32)
x, y = torch.from_numpy(data[:, :-1]).reshape(-1, 1, 28, 28), torch.from_numpy(data[:, -1]).long()
net = nn.Sequential()
for name, layer in dict(
    conv1=nn.Conv2d(1, 6, 3), act1=nn.ReLU(), pool=nn.MaxPool2d(2), flatten=nn.Flatten(),
    linear1=nn.Linear(6 * 13 * 13, 128), act2=nn.ReLU(), head=nn.Linear(128, 10),
).items():
    net.add_module(name, layer)
net.load_state_dict(load_file(start))
optim = torch.optim
rules = {
    "sgd": lambda p: optim.SGD(p, rate, weight_decay=decay),
    "momentum": lambda p: optim.SGD(p, rate, momentum=0.9, weight_decay=decay),
    "nesterov": lambda p: optim.SGD(p, rate, momentum=0.9, nesterov=True, weight_decay=decay),
    "adam": lambda p: optim.Adam(p, rate, weight_decay=decay),
    "adamw": lambda p: optim.AdamW(p, rate, weight_decay=decay),
}
step = rules[rule](net.parameters())
if loss == "mse":
    cost = lambda out: nn.MSELoss()(out, nn.functional.one_hot(y, 10).float())
else:
    cost = lambda out: nn.CrossEntropyLoss()(out, y)
costs = []
for _ in range(int(epochs)):
    step.zero_grad()
    value = cost(net(x))
    value.backward()
    step.step()
    costs.append(value.item())
print(json.dumps(costs))
