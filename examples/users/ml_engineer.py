"""An ML engineer: a network on arrays of one's own, beside float32, and what it learnt as a figure.

Ends within a minute with moons.png.
"""

import matplotlib.pyplot as plt
import numpy as np

from crossmesh import load_config, predict, train

random = np.random.default_rng(0)
label = random.integers(0, 2, 1200)  # two half moons, one within the other
angle = np.pi * (random.uniform(0, 1, 1200) + label)
x = np.stack([np.cos(angle) + label - 0.5, np.sin(angle) + 0.4 * label - 0.2], axis=1)
x += random.normal(0, 0.15, x.shape)

config = load_config(
    {
        "name": "moons",
        "data": {"source": "synthetic"},  # the arrays take its place
        "network": [
            {"kind": "linear", "outputs": 64, "activation": "tanh"},
            {"kind": "linear", "outputs": 2, "activation": "softmax"},
        ],
        "training": {"epochs": 10, "batch": 8, "learning_rate": 0.05, "baseline": True},
        "tile": {"cell": {"kind": "constant_step", "step": 0.0005}},
        "engine": {"kind": "local"},
    }
)
result = train(config, "runs/moons", data=(x[:1000], label[:1000], x[1000:], label[1000:]))

side = np.linspace(-2, 2, 80)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
share = predict("runs/moons", grid).outputs[:, 1].reshape(80, 80)
plt.imshow(share, origin="lower", extent=(-2, 2, -2, 2), cmap="RdBu")
plt.scatter(*x[1000:].T, c=label[1000:], cmap="RdBu", edgecolors="black", s=12)
plt.title(f"analog {result.test_accuracy:.1%}, float32 {result.baseline_test_accuracy:.1%}")
plt.savefig("moons.png")
