"""Has a two-layer student found its teacher's neurons? Measures of direction, mass, balance and optimality; closed forms, no samples.

w and -w are one direction. A neuron's mass is |a_j| ||w_j||; it is near a teacher where |cos| >= 0.98, within 11.5 degrees.
Shapes: K settings, S seeds, m neurons, r teachers, d dimension.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.teacher_recovery.relu_population import Teachers, atoms, certificate, correlation, directions, loss

NEAR = 0.98
RECOVERED = 0.01  # largest error of a teacher's weight
DIRECTIONS = 64  # random starts of the search for the certificate's maximum: on the sphere, and as many in the span
ASCENT_STEPS, FIRST_STEP = 50, 0.5


def measures(a: Tensor, w: Tensor, teachers: Teachers) -> dict[str, Tensor]:
    """By name, [K, S] each, of a student a [K, S, m], w [K, S, m, d].

    `loss` E (f - f*)^2 / 2; `total_mass`; `far_mass`, the share of it near no teacher; `weighted_cosine`, the mean of max_i |cos| weighted
    by mass; `recovery_error`, max_i |sum of a_j ||w_j|| near teacher i - a_i*|; `recovered_share`, of teachers whose error is at most 0.01;
    `balance` max_j |a_j^2 - ||w_j||^2|.
    """
    u, length = directions(w)
    signed = a * length
    mass, (cosine, nearest) = signed.abs(), cosines(u, teachers).max(-1)
    total, near = mass.sum(-1), cosine >= NEAR
    own = torch.nn.functional.one_hot(nearest, teachers.weights.shape[-1]) * near[..., None]
    error = ((own * signed[..., None]).sum(-2) - teachers.weights).abs()
    return {
        "loss": loss(a, w, teachers),
        "total_mass": total,
        "far_mass": (mass * ~near).sum(-1) / total,
        "weighted_cosine": (mass * cosine).sum(-1) / total,
        "recovery_error": error.max(-1).values,
        "recovered_share": (error <= RECOVERED).double().mean(-1),
        "balance": (a.square() - length.square()).abs().max(-1).values,
    }


def cosines(u: Tensor, teachers: Teachers) -> Tensor:
    """|cos| of unit rows u [..., m, d] and teachers, [..., m, r]."""
    return (u @ teachers.units.mT).abs()


def subspace_share(rows: Tensor, teachers: Teachers) -> Tensor:
    """Mean over rows [..., S, m, d] of the part of their length that lies in the teachers' span, [..., S]; sqrt(r / d) or so at random."""
    inside = (rows @ teachers.span().mT).norm(dim=-1)
    return (inside / rows.norm(dim=-1)).mean(-1)


def certificates(a: Tensor, w: Tensor, teachers: Teachers, lam: Tensor, seeds: list[int]) -> dict[str, Tensor]:
    """`max_certificate`, the largest |eta| that is found on the sphere, and `min_teacher_certificate`, the smallest sign(a_i*) eta(w_i*); [K, S].

    The search goes uphill from every atom and from random directions of the sphere and of the teachers' span.

    Args:
        lam: [K, S], positive.
    """
    z, mass = atoms(a, w, teachers)
    r = teachers.weights.shape[-1]
    starts = torch.cat([z, _random_directions(teachers, seeds).expand(*z.shape[:2], -1, -1)], -2)
    values = certificate(z[..., -r:, :], z, mass, lam) * teachers.weights.sign()
    return {
        "max_certificate": _climb(starts, z, mass, lam).amax(-1),
        "min_teacher_certificate": values.min(-1).values,
    }


def _climb(u: Tensor, z: Tensor, mass: Tensor, lam: Tensor) -> Tensor:
    """The largest |eta| that projected gradient ascent reaches from each u [K, S, n, d], with a step of its own that halves when it fails."""

    def at(u: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = (part / lam.reshape(*lam.shape, *(1,) * (part.dim() - 2)) for part in correlation(u, z, mass))
        return value.abs(), value.sign()[..., None] * slope

    (best, slope), step = at(u), torch.full_like(u[..., :1], FIRST_STEP)
    for _ in range(ASCENT_STEPS):
        tried = directions(u + step * slope)[0]
        value, uphill = at(tried)
        better = value > best
        best, up = torch.where(better, value, best), better[..., None]
        u, slope, step = (
            torch.where(up, tried, u),
            torch.where(up, uphill, slope),
            torch.where(up, 1.5 * step, step / 2),
        )
    return best


def _random_directions(teachers: Teachers, seeds: list[int]) -> Tensor:
    """Unit rows [S, 2 n, d]: n of the sphere, n of the teachers' span; the same for every method and time."""
    d, r = teachers.dim, teachers.weights.shape[-1]
    streams = [generator(seed, "noise", 0, 0, 0, 0) for seed in seeds]
    drawn = [(torch.randn(DIRECTIONS, d, generator=s), torch.randn(DIRECTIONS, r, generator=s)) for s in streams]
    sphere, span = (torch.stack(part).to(teachers.units) for part in zip(*drawn))
    return directions(torch.cat([sphere, span @ teachers.span()], -2))[0]


def certificate_circle(a: Tensor, w: Tensor, teachers: Teachers, lam: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Angles [points] from the first teacher, over half of the great circle through the first two (eta is even), and eta there [K, S, points]."""
    angles = torch.arange(points, dtype=a.dtype, device=a.device) * (math.pi / points)
    circle = torch.stack([angles.cos(), angles.sin()], -1) @ plane(teachers)
    z, mass = atoms(a, w, teachers)
    return angles, certificate(circle, z, mass, lam)


def plane(teachers: Teachers) -> Tensor:
    """Orthonormal rows [S, 2, d]: the first teacher, and the second's part orthogonal to it."""
    first, second = teachers.units[:, 0], teachers.units[:, 1]
    rest = second - (second * first).sum(-1, keepdim=True) * first
    return torch.stack([first, rest / rest.norm(dim=-1, keepdim=True)], -2)
