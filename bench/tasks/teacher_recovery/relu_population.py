r"""Two-layer ReLU networks on Gaussian inputs without sampling: loss, gradients, dual certificate and the small-penalty constant.

x ~ N(0, I_d). ReLU without its mean and its linear part is s(w.x) = relu(w.x) - ||w|| / sqrt(2 pi) - w.x / 2 = |w.x| / 2 - ||w|| / sqrt(2 pi):
its Hermite series begins with order 2, and +w and -w are the same. A student sum_j a_j relu(w_j.x) + alpha + beta.x whose alpha and beta
are optimal, or a target from which both were removed, is a sum of such terms. For unit u and v with t = u.v (arc-cosine kernel of order 1,
Cho and Saul, 2009, less its orders 0 and 1)

    k(t) = E s(u.x) s(v.x) = (sqrt(1 - t^2) + t arcsin t - 1) / (2 pi),    k'(t) = arcsin(t) / (2 pi),    k(1) = 1/4 - 1/(2 pi).

Everything else is linear algebra: f - f* = sum_l m_l s(z_l.x) with signed masses m = (a_j ||w_j||, -a_i*) at unit atoms z = (u_j, v_i).

Shapes: [..., m, d] student rows, [..., r, d] teacher rows; leading dimensions are settings and seeds and broadcast. Float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.numerics import solve

TINY = 1e-300  # a row of length 0 has mass 0, whatever its direction


@dataclass(frozen=True)
class Teachers:
    """f*(x) = sum_i weights_i relu(units_i.x), one for each seed: units [S, r, d] of length 1, weights [S, r] of either sign."""

    units: Tensor
    weights: Tensor

    @property
    def dim(self) -> int:
        """d."""
        return self.units.shape[-1]

    def to(self, device: torch.device | str) -> Teachers:
        """On a device."""
        return Teachers(self.units.to(device), self.weights.to(device))

    def span(self) -> Tensor:
        """Orthonormal rows [S, r, d] of the teachers' span; the first two span the plane of the first two teachers."""
        return torch.linalg.qr(self.units.mT).Q.mT


def kernel(t: Tensor) -> Tensor:
    """k(t) = E s(u.x) s(v.x) of unit vectors with cosine t."""
    t = t.clamp(-1, 1)
    return ((1 - t * t).sqrt() + t * t.asin() - 1) / (2 * math.pi)


def kernel_slope(t: Tensor) -> Tensor:
    """k'(t) = arcsin(t) / (2 pi)."""
    return t.clamp(-1, 1).asin() / (2 * math.pi)


def directions(w: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows [..., m, d] and lengths [..., m]."""
    length = w.norm(dim=-1)
    return w / length.clamp_min(TINY)[..., None], length


def atoms(a: Tensor, w: Tensor, teachers: Teachers) -> tuple[Tensor, Tensor]:
    """f - f* as unit atoms z [..., m + r, d] and signed masses [..., m + r], students first."""
    u, length = directions(w)
    return _difference(u, a * length, teachers)


def _difference(u: Tensor, mass: Tensor, teachers: Teachers) -> tuple[Tensor, Tensor]:
    """Unit rows and signed masses of a student, with the teachers' and their masses' negatives appended."""
    r = teachers.weights.shape[-1]
    units, weights = teachers.units.expand(*u.shape[:-2], r, -1), teachers.weights.expand(*mass.shape[:-1], r)
    return torch.cat([u, units], -2), torch.cat([mass, -weights], -1)


def correlation(u: Tensor, z: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    r"""E[R s(u.x)] [..., n] of R = sum_l mass_l s(z_l.x), and its gradient by w at w = u [..., n, d].

    d/dw ||w|| k(w.z / ||w||) = k(t) u + k'(t) (z - t u), and k(t) - t k'(t) = (sqrt(1 - t^2) - 1) / (2 pi): with g = sum_l mass_l k'(t_l) z_l
    and c = sum_l mass_l (sqrt(1 - t_l^2) - 1) / (2 pi), the gradient is g + c u and the correlation u.g + c.

    Args:
        u: unit rows [..., n, d]. z, mass: atoms [..., l, d] and [..., l].
    """
    t = (u @ z.mT).clamp_(-1, 1)
    arc = t.asin()
    root = t.square_().neg_().add_(1).sqrt_()
    g = arc @ (z * (mass / (2 * math.pi))[..., None])
    c = ((root @ mass[..., None]) - mass.sum(-1)[..., None, None]) / (2 * math.pi)
    return ((u * g).sum(-1, keepdim=True) + c)[..., 0], g.add_(c * u)


def loss(a: Tensor, w: Tensor, teachers: Teachers) -> Tensor:
    """E (f - f*)^2 / 2 [...]."""
    z, mass = atoms(a, w, teachers)
    return ((kernel(z @ z.mT) @ mass[..., None])[..., 0] * mass).sum(-1) / 2


def gradients(a: Tensor, w: Tensor, teachers: Teachers) -> tuple[Tensor, Tensor]:
    """Of `loss`, by a [..., m] and w [..., m, d]: ||w_j|| E[R s(u_j.x)], and a_j times the gradient of E[R s(w.x)]."""
    u, length = directions(w)
    s, slope = correlation(u, *_difference(u, a * length, teachers))
    return length * s, a[..., None] * slope


def certificate(points: Tensor, z: Tensor, mass: Tensor, lam: Tensor) -> Tensor:
    """The dual certificate eta(u) = -E[(f - f*) s(u.x)] / lam [..., n] at unit points [..., n, d].

    At balance |a_j| = ||w_j|| the penalty (lam / 2)(||a||^2 + ||W||^2) is lam times the total variation of the measure of masses, so a
    minimiser is characterised by |eta| <= 1 everywhere, with eta = sign of the mass at its atoms.

    Args:
        lam: [...], broadcast over points.
    """
    return -(kernel(points @ z.mT) @ mass[..., None])[..., 0] / lam[..., None]


def small_penalty_constant(teachers: Teachers) -> Tensor:
    r"""lim loss / lam^2 as lam -> 0 at the regularised minimiser, [S].

    Near the teachers f - f* = sum_i delta_i . grad_w s(v_i.x) to first order, delta_i the change of a_i w_i, and the penalty changes by
    lam sum_i c_i.delta_i with c_i = sign(a_i*) v_i. Minimising delta^T M delta / 2 + lam c^T delta gives delta = -lam M^-1 c and the loss
    lam^2 c^T M^-1 c / 2. M [r d, r d] is the Gram matrix of grad_w s = sign(w.x) x / 2 - w / (||w|| sqrt(2 pi)) at the teachers:

        M_ii = I / 4 - v_i v_i^T / (2 pi),
        M_ij = (arcsin(t) I + (v_i v_j^T + v_j v_i^T - t (v_i v_i^T + v_j v_j^T)) / sqrt(1 - t^2) - v_i v_j^T) / (2 pi),    t = v_i.v_j.
    """
    v, (seeds, r, d) = teachers.units, teachers.units.shape
    t = (v @ v.mT).clamp(-1, 1)
    eye = torch.eye(d, dtype=v.dtype, device=v.device)
    outer = v[:, :, None, :, None] * v[:, None, :, None, :]  # [S, i, j, d, d]: v_i v_j^T
    own = torch.diagonal(outer, dim1=1, dim2=2).permute(0, 3, 1, 2)  # [S, i, d, d]
    same = torch.eye(r, dtype=torch.bool, device=v.device)
    root = torch.where(same, 1.0, (1 - t * t).sqrt())[..., None, None]
    cross = outer + outer.mT - t[..., None, None] * (own[:, :, None] + own[:, None, :])
    blocks = (t.asin()[..., None, None] * eye + cross / root - outer) / (2 * math.pi)
    blocks[:, same] = eye / 4 - own / (2 * math.pi)
    gram = blocks.permute(0, 1, 3, 2, 4).reshape(seeds, r * d, r * d)
    c = (teachers.weights.sign()[..., None] * v).reshape(seeds, r * d)
    return (c * solve(gram, c)).sum(-1) / 2
