"""Classic mistakes in reflected replica exchange Langevin samplers, planted one at a time."""

from mistakes.samplers import images, lorenz, mixing, plane

MISTAKES = [*plane.MISTAKES, *mixing.MISTAKES, *lorenz.MISTAKES, *images.MISTAKES]
