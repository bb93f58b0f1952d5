"""Classes that are mistaken for one another, for asymmetric label noise.

MNIST's and CIFAR-10's are those of Patrini et al., 2017 (section 5); of CIFAR-100 a class becomes the next one of its superclass, in a circle.
"""

from __future__ import annotations

DIGITS = {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}
CIFAR10 = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}  # truck, bird, deer, cat, dog: automobile, airplane, horse, dog, cat
SUPERCLASSES = [  # of CIFAR-100's fine classes 0 to 99
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13,
    15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
]  # fmt: skip


def _next_of_superclass() -> dict[int, int]:
    to = {}
    for group in range(20):
        members = [fine for fine, coarse in enumerate(SUPERCLASSES) if coarse == group]
        to |= dict(zip(members, members[1:] + members[:1]))
    return to


SIMILAR = {"digits": DIGITS, "mnist": DIGITS, "cifar10": CIFAR10, "cifar100": _next_of_superclass()}
