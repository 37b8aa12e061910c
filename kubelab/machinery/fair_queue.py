"""Seats that flows take turns at: nobody waits behind another flow's flood, unless both were dealt the same queues.

    flow ─► a hand of queues ─► the shortest of them ─► each turn of the loop: the queues take turns at the free seats

Invariant: no level holds more seats than its share; a flow waits in at most `hand size` of its level's queues.
Models:    shuffle sharding and fair queuing in k8s.io/apiserver/pkg/util/flowcontrol
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque

Limits = tuple[int, int, int, int]  # shares, queues, hand size, queue length


class Level:
    """The seats and queues of one priority level."""

    def __init__(self, name: str, uid: str, seats: int, limits: Limits) -> None:
        self.name, self.uid, self.seats = name, uid, seats
        _, self.queues, self.hand_size, self.queue_length = limits
        self.taken = 0
        self._returned = 0  # seats whose requests ended in this turn of the loop
        self._queues: dict[int, deque[asyncio.Future[None]]] = {}  # those with somebody in them
        self._turn: deque[int] = deque()  # whose turn it is, each waiting queue once

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def crowded(self) -> bool:
        """Say whether somebody waits: who comes now does not jump the queue."""
        return bool(self._turn)

    def hand(self, flow: str) -> tuple[int, ...]:
        """Deal a flow its queues: with few flows, hardly any two are dealt the same hand."""
        value = int.from_bytes(hashlib.blake2b(flow.encode(), digest_size=16).digest(), "big")
        cards, dealt = list(range(self.queues)), []
        for _ in range(min(self.hand_size, self.queues)):
            value, index = divmod(value, len(cards))
            dealt.append(cards.pop(index))
        return tuple(dealt)

    def enqueue(self, hand: tuple[int, ...]) -> tuple[asyncio.Future[None], int] | None:
        """Wait in the shortest queue of a hand; return the place and its number. None when there is no room."""
        if not hand:
            return None
        number = min(hand, key=lambda n: len(self._queues.get(n, ())))
        queue = self._queues.get(number)
        if queue is None:
            queue = self._queues[number] = deque()
            self._turn.append(number)
        elif len(queue) >= self.queue_length:
            return None
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        return place, len(queue)

    def leave(self) -> None:
        """Give a seat back at the end of this turn of the loop."""
        if not self._returned:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._returned += 1

    def _next_turn(self) -> None:
        self.taken -= self._returned
        self._returned = 0
        while self.taken < self.seats and self._turn:
            number = self._turn.popleft()
            queue = self._queues[number]
            place = queue.popleft()
            if queue:
                self._turn.append(number)
            else:
                del self._queues[number]
            if not place.done():
                self.taken += 1
                place.set_result(None)
