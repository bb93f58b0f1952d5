"""What the vote on images asks of a method: the two halves of the vote on sums, and how many values a coordinate takes on the wire.

Of a worker's half `encode` has `levels` (values of a coordinate of a message), `floats` (float32 numbers a tensor that a worker tells) and
`returned` (those of them that every worker is told the largest of). Of the server's half `levels(workers, voted)` is the same of an
answer and `floats` counts its numbers a tensor. Values are evenly spaced from -1 to 1, times the tensor's number where there is one.
"""

from __future__ import annotations

from bench.tasks.vote.protocol import Method, Server, Worker

__all__ = ["Method", "Server", "Worker"]
