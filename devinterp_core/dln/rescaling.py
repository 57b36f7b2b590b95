r"""The rescaling symmetry of ReLU networks, and a sampler that respects it by a change of coordinates.

Scaling the weights into a hidden layer by $s > 0$ and the weights out of it by $1/s$ leaves the function unchanged, so
$\lambda$ too. The *estimate* is unchanged only if the sampler's noise and localiser are scaled with the weights; they
are isotropic in the coordinates the sampler sees. `CoScaled` hands it the coordinates $z = w / s$, in which all the
rescaled networks are the same point.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call


def redundant_relu_network(
    inputs: int, hidden: int, outputs: int, *, seed: int, copied_units: tuple[int, ...] = (1, 2, 3, 4, 5, 8)
) -> nn.Sequential:
    """A random ReLU network `inputs`-`hidden`-`outputs` whose `copied_units` are copies of hidden unit 0.

    Weights are truncated normal with standard deviation 0.88 / sqrt(fan-in), biases standard normal. The copies (of
    incoming weights, bias and outgoing weights) make the point singular: mass can be moved between the copies.

    Reference: Lau et al. (2025), rescaling experiment of the published code.
    """
    if not all(0 < unit < hidden for unit in copied_units):
        raise ValueError(f"copied_units {copied_units} must lie in 1 to {hidden - 1}")
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    with torch.no_grad():
        for layer in (network[0], network[2]):
            std = layer.in_features**-0.5
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            layer.bias.normal_(generator=generator)
        for unit in copied_units:
            network[0].weight[unit] = network[0].weight[0]
            network[0].bias[unit] = network[0].bias[0]
            network[2].weight[:, unit] = network[2].weight[:, 0]
    return network


def layer_scales(scale: float) -> dict[str, float]:
    """Factor of each parameter of a `redundant_relu_network` when its hidden layer is scaled by `scale`.

    Example:
        >>> layer_scales(10.0)
        {'0.weight': 10.0, '0.bias': 10.0, '2.weight': 0.1, '2.bias': 1.0}
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    return {"0.weight": scale, "0.bias": scale, "2.weight": 1 / scale, "2.bias": 1.0}


def rescaled(network: nn.Sequential, scale: float) -> nn.Sequential:
    """A network of the same function with its hidden layer scaled by `scale` and its output weights by `1 / scale`."""
    factors, twin = layer_scales(scale), copy.deepcopy(network)
    twin.load_state_dict({name: value * factors[name] for name, value in network.state_dict().items()})
    return twin


class CoScaled(nn.Module):
    r"""A network in the coordinates $z = w / s$: parameters are $z$, the function is that of $w = s z$.

    A step of SGLD in $z$ with step size $\epsilon$ is a step in $w$ preconditioned by $s^2$, layer by layer, with the
    localiser scaled alike. The sampler itself needs no change.

    Args:
        network: the network whose parameters are $w$; not modified.
        scales: factor $s$ of each named parameter.
    """

    def __init__(self, network: nn.Module, scales: dict[str, float]):
        super().__init__()
        missing = set(dict(network.named_parameters())) ^ set(scales)
        if missing:
            raise ValueError(f"scales and parameters do not match in {sorted(missing)}")
        self._inner = (network,)  # in a tuple, so that the inner parameters are not registered a second time
        self._scales = dict(scales)
        self._names = list(scales)
        parameters = dict(network.named_parameters())
        self.coordinates = nn.ParameterList(parameters[name].detach() / scales[name] for name in self._names)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        weights = {name: self._scales[name] * z for name, z in zip(self._names, self.coordinates, strict=True)}
        return functional_call(self._inner[0], weights, inputs)
