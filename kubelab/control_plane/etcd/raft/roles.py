"""The roles of a member and what makes it change them, as data from which a picture can be drawn.

                                      ┌──── majority would vote ───► candidate ── majority voted ──► leader
    follower ── time-out ──► pre-candidate ◄────── time-out ──────────┘                                │
        ▲ └──────────────────────────┴─────────────────┴───────── hears of a leader or a later term ───┘
        └── promoted ── learner

Invariant: `State.turn` is the only place that changes a role, and it knows only the arrows below.
Models:    Ongaro's dissertation, figure 3.3, with section 9.6 (pre-vote) and 4.2.1 (learners)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Role = Literal["follower", "pre-candidate", "candidate", "leader", "learner"]
Happening = Literal["asks around", "stands for election", "won", "lost", "follows", "lost touch", "removed",
                    "made a learner", "promoted"]

TRANSITIONS: Mapping[Role, Mapping[Happening, Role]] = {
    "follower": {
        "asks around": "pre-candidate",  # the election time-out passed: would a majority vote for me?
        "stands for election": "candidate",  # without pre-vote, or told by the leader to take over
        "follows": "follower",
        "removed": "follower",
        "made a learner": "learner",
    },
    "pre-candidate": {
        "asks around": "pre-candidate",
        "stands for election": "candidate",  # a majority would
        "lost": "follower",
        "follows": "follower",
        "removed": "follower",
    },
    "candidate": {
        "asks around": "pre-candidate",  # a split vote: the time-out passed again
        "stands for election": "candidate",
        "won": "leader",
        "lost": "follower",
        "follows": "follower",  # another leader of this term, or a later term
        "removed": "follower",
    },
    "leader": {
        "follows": "follower",  # a later term has begun
        "lost touch": "follower",  # no majority was heard for an election time-out (check quorum)
        "removed": "follower",
    },
    "learner": {
        "follows": "learner",
        "promoted": "follower",
        "removed": "follower",
    },
}
