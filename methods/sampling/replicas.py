r"""Replica exchange SGHMC: P chains at rising temperatures that exchange their positions. Reflected in a box it is r2SGHMC.

Chain k has the temperature T / temperature_ratio^k and the step size lr / lr_ratio^k; chain 0, the coldest, is the network itself. At each step
all chains see the same minibatch; neighbours may exchange their positions, by the rule in methods/sampling/exchange.py; then all move.

Positions and buffers (BatchNorm's statistics) are exchanged, and with them this step's gradients. Momenta stay with their temperature and are
not rescaled: the law N(0, lr_k T_k) of the velocity that belongs to theta's own time does not depend on theta. The v that is stored is half a
kick older, that velocity is v - lr_k grad U(theta) / 2. To keep it, chain k is given
    v <- v + lr_k (grad U(new theta) - grad U(old theta)) / 2.
Without this, exchanges cool the chains, the more the more often they happen: a bias that smaller steps do not lift. The released code leaves v
as it is, and so does swap="released".

References: Deng et al., 2020, arXiv 2008.05367 (reSGLD); Zheng et al., 2024, arXiv 2405.07839, Algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from bench.seeding import generator
from methods.sampling.exchange import Pair, Past, Visit, metropolis, released
from methods.sampling.sghmc import SGHMC, Closure

if TYPE_CHECKING:
    from bench.types import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt

Swap = Literal["metropolis", "released"]
Pairs = Literal["even_odd", "all"]
LARGEST = 64  # number of chains


class ReplicaSGHMC(SGHMC):
    """P chains of SGHMC; the first is on the parameters themselves, the others start there too and live in the state.

    A chain with a NaN or infinite gradient stays where it is for that step, which is counted.

    Args: as SGHMC's, and
        buffers: tensors that a forward pass changes (`model.buffers()`); each chain has its own.
        chains: P.
        temperature_ratio: temperature of a chain over that of the next hotter one.
        lr_ratio: the same of step sizes.
        swap: the rule, see methods/sampling/exchange.py.
        pairs: even_odd: (0, 1), (2, 3), ... and (1, 2), (3, 4), ... in turn; all: one after another.
        swap_every: steps between attempts.
        correction_factor: F.
        variance: s^2 where it is known, 0 for exact energies; none: estimated.
    """

    _kept = (*SGHMC._kept, "_buffers", "_others", "_past", "_pairs")

    def __init__(
        self,
        params: Any,
        buffers: Iterable[Tensor] = (),
        num_examples: int = 1,
        seed: int = 0,
        total_steps: int | None = None,
        *,
        chains: PositiveInt = 4,
        temperature_ratio: Fraction = 0.2,
        lr_ratio: Fraction = 0.66,
        swap: Swap = "metropolis",
        pairs: Pairs = "even_odd",
        swap_every: PositiveInt = 1,
        correction_factor: PositiveFloat = 1.0,
        variance: NonNegativeFloat | None = None,
        **shared: Any,
    ) -> None:
        ladder = {"chains": chains, "temperature_ratio": temperature_ratio, "lr_ratio": lr_ratio}
        rule = {"swap": swap, "pairs": pairs, "swap_every": swap_every}  # type: dict[str, Any]
        rule |= {"correction_factor": correction_factor, "variance": variance}
        super().__init__(params, num_examples, seed, total_steps, ladder | rule, **shared)
        self._buffers = list(buffers)
        self._others = [[b.clone() for b in self._buffers] for _ in range(chains - 1)]  # of chains 1, 2, ...
        self._past = [Past() for _ in range(chains)]
        self._pairs = [Pair() for _ in range(chains - 1)]

    @property
    def swap_rates(self) -> list[float]:
        """Of each pair of neighbours, coldest first: exchanges made over those tried so far."""
        return [pair.made / max(1, pair.tried) for pair in self._pairs]

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One iteration of all chains, each of which calls the closure once; returns the coldest one's loss before the step."""
        losses, visits = zip(*(self._visit(chain, closure) for chain in range(self.param_groups[0]["chains"])))
        visits = list(visits)
        if self._pairs:
            self._exchange(visits)
        for p, gradient in zip(self._params(), visits[0].gradients):
            p.grad = gradient
        for chain, visit in enumerate(visits):
            self._advance(chain, visit)
        self._taken += 1
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        """As SGHMC's, with the other chains' buffers, what positions remember and what is known of pairs."""
        past, pairs = ([dict(vars(one)) for one in many] for many in (self._past, self._pairs))
        return {**super().state_dict(), "replicas": {"buffers": self._others, "past": past, "pairs": pairs}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        super().load_state_dict(state_dict)
        found = state_dict["replicas"]
        self._others = [[b.to(own.device).clone() for b, own in zip(bs, self._buffers)] for bs in found["buffers"]]
        self._past, self._pairs = [Past(**one) for one in found["past"]], [Pair(**one) for one in found["pairs"]]

    def _check(self, group: dict[str, Any], scheduled: bool = False) -> None:
        super()._check(group, scheduled)
        chains, ratio, lr_ratio = group["chains"], group["temperature_ratio"], group["lr_ratio"]
        if chains > LARGEST:
            raise ValueError(f"chains = {chains}: at most {LARGEST}")
        if chains > 1 and group["temperature"] == 0:
            raise ValueError(f"temperature = 0: chains = {chains} need a positive one")
        for name, low, value in (("temperature", ratio, group["temperature"]), ("lr", lr_ratio, group["lr"])):
            if not 0 < low <= 1 or math.log(max(value, 1e-300)) - (chains - 1) * math.log(low) > 700:
                raise ValueError(f"{name}_ratio = {low}: chains = {chains} reach no finite {name}")

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in self._moving(group)]

    def _points(self, chain: int, params: Any) -> list[Tensor]:
        return list(params) if chain == 0 else [self._slot(p, f"position{chain}", torch.clone) for p in params]

    def _temperature(self, chain: int) -> float:
        return super()._temperature(chain) / self.param_groups[0]["temperature_ratio"] ** chain

    def _rate(self, group: dict[str, Any], chain: int) -> float:
        return super()._rate(group, chain) / group["lr_ratio"] ** chain

    def _visit(self, chain: int, closure: Closure | None) -> tuple[Tensor, Visit]:
        """Loss [] and what is known of a chain on this minibatch; the network is the chain's for as long as it takes."""
        self._trade(chain)
        try:
            loss, gradients = self._evaluate(closure)
        finally:
            self._trade(chain)
        sound = self._bad(gradients, lambda: True) is False
        energy = self.num_examples * loss.item() if self._pairs else math.nan
        return loss, Visit(energy, energy + self._prior(chain), gradients, sound)

    def _trade(self, chain: int) -> None:
        """The network and a chain exchange parameters and buffers, by pointers."""
        if chain == 0:
            return
        params = self._params()
        for p, point in zip(params, self._points(chain, params)):
            self.state[p][f"position{chain}"], p.data = p.data, point
        others = self._others[chain - 1]
        for k, buffer in enumerate(self._buffers):
            others[k], buffer.data = buffer.data, others[k]

    def _prior(self, chain: int) -> float:
        total = 0.0
        for group in self.param_groups if self._pairs else ():
            params = self._moving(group)
            if params and group["weight_decay"]:
                norms = torch.stack(torch._foreach_norm(self._points(chain, params))).double()
                total += group["weight_decay"] * norms.square().sum().item() / 2
        return total

    def _advance(self, chain: int, visit: Visit) -> None:
        """Move the chain, and remember the way where the variance is estimated."""
        if not self._pairs or not self._estimates():
            if visit.sound:
                self._move(chain, visit.gradients)
            return
        params = self._params()
        points = self._points(chain, params)
        before = [x.clone() for x in points]
        if visit.sound:
            self._move(chain, visit.gradients)
        way = torch._foreach_sub(points, before)
        for p, one in zip(params, way):
            self.state[p][f"way{chain}"] = one
        self._past[chain] = Past(visit.energy, self._half_work(visit.gradients, way))  # type: ignore[arg-type]

    def _estimates(self) -> bool:
        group = self.param_groups[0]
        return group["swap"] == "metropolis" and group["variance"] is None

    def _half_work(self, gradients: list[Tensor], way: list[Tensor]) -> float:
        products = [product.double().sum() for product in torch._foreach_mul(gradients, way)]
        return self.num_examples * torch.stack(products).sum().item() / 2

    def _estimate(self, visits: list[Visit]) -> None:
        """Renew the estimates of s^2; steps with a NaN or an infinity tell nothing."""
        params, left = self._params(), []
        if any("way0" not in self.state.get(p, ()) for p in params):
            return
        for chain, visit in enumerate(visits):
            past, way = self._past[chain], [self.state[p][f"way{chain}"] for p in params]
            left.append(visit.energy - past.energy - past.work - self._half_work(visit.gradients, way))
        for k, pair in enumerate(self._pairs):
            pair.learn(left[k], left[k + 1])

    def _exchange(self, visits: list[Visit]) -> None:
        """Try to exchange neighbours."""
        group, count = self.param_groups[0], len(self._pairs)
        if self._estimates():
            self._estimate(visits)
        attempt, left = divmod(self._taken, group["swap_every"])
        if left:
            return
        uniform = torch.rand(count, generator=generator(self.seed, "noise", self._taken, 0, 1), dtype=torch.float64)
        chosen = range(count) if group["pairs"] == "all" or count == 1 else range(attempt % 2, count, 2)
        for k in chosen:
            self._pairs[k].tried += 1
            if self._accepts(k, visits[k], visits[k + 1], uniform[k].item()):
                self._pairs[k].made += 1
                self._swap(k, visits)

    def _accepts(self, k: int, cold: Visit, hot: Visit, uniform: float) -> bool:
        """Are the positions of chains k and k + 1 exchanged? A NaN never is."""
        group = self.param_groups[0]
        if not (cold.sound and hot.sound):
            return False
        if group["swap"] == "released":
            return released(cold, hot, group["correction_factor"])
        known, pair = group["variance"], self._pairs[k]
        if known is None and pair.steps == 0:
            return False
        variance = pair.variance if known is None else known
        delta = 1 / self._temperature(k) - 1 / self._temperature(k + 1)
        return metropolis(cold, hot, delta, variance, group["correction_factor"], uniform)

    def _swap(self, k: int, visits: list[Visit]) -> None:
        """Exchange the positions of chains k and k + 1, and what belongs to a position; velocities are brought to the new ones."""
        if self.param_groups[0]["swap"] == "metropolis":
            difference = torch._foreach_sub(self._slopes(k + 1, visits), self._slopes(k, visits))
            self._kick(k, difference, 0.5)  # type: ignore[arg-type]
            self._kick(k + 1, difference, -0.5)  # type: ignore[arg-type]
        names = (f"way{k}", f"way{k + 1}")
        if k == 0:
            self._trade(1)
        else:
            names += (f"position{k}", f"position{k + 1}")
            self._others[k - 1], self._others[k] = self._others[k], self._others[k - 1]
        for p in self._params():
            state = self.state[p]
            for one, other in zip(names[::2], names[1::2]):
                if one in state:
                    state[one], state[other] = state[other], state[one]
        for many in (visits, self._past):
            many[k], many[k + 1] = many[k + 1], many[k]  # type: ignore[assignment]

    def _slopes(self, chain: int, visits: list[Visit]) -> list[Tensor]:
        """grad U at a chain's position, by this minibatch."""
        slopes = torch._foreach_mul(visits[chain].gradients, self.num_examples)
        decays = [group["weight_decay"] for group in self.param_groups for _ in self._moving(group)]
        for slope, x, decay in zip(slopes, self._points(chain, self._params()), decays):
            slope.add_(x, alpha=decay)
        return slopes  # type: ignore[return-value]

    def _kick(self, chain: int, force: list[Tensor], share: float) -> None:
        """v <- v + share lr force."""
        first = 0
        for group in self.param_groups:
            params = self._moving(group)
            own, first = slice(first, first + len(params)), first + len(params)
            for v, f in zip(self._velocities(chain, params), force[own]):
                v.add_(f, alpha=share * self._rate(group, chain))
