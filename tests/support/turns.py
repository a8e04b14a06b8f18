"""Lets several processes, played by threads, run one at a time, in an order and on a clock that the test decides."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

#: Says which of those that can go on does so, given their names and who ran last.
Choice = Callable[[Sequence[str], str], str]


class Turns:
    """One thread runs at a time, until it sleeps; time passes only while all sleep.

    Args:
        choose: says who goes on.
    """

    def __init__(self, choose: Choice) -> None:
        self.now = 0.0
        self._choose = choose
        self._ready: dict[str, float] = {}
        self._turns: dict[str, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)
        self._errors: list[BaseException] = []

    def sleep(self, seconds: float = 0.0) -> None:
        """Let the others run; called by a thread for itself. Zero seconds: they may, or it goes on."""
        name = threading.current_thread().name
        if name not in self._turns:  # the test itself
            return
        self._ready[name] = self.now + seconds
        self._back.release()
        self._turns[name].acquire()

    def run(self, parts: Mapping[str, Callable[[], None]]) -> None:
        """Run each part in a thread of its name until all have ended; raises the first error."""
        self._turns = {name: threading.Semaphore(0) for name in parts}
        self._ready = dict.fromkeys(parts, 0.0)
        threads = [threading.Thread(target=self._run, args=part, name=part[0], daemon=True) for part in parts.items()]
        for thread in threads:
            thread.start()
        last = ""
        while self._ready:
            self.now = max(self.now, min(self._ready.values()))
            able = sorted(name for name, at in self._ready.items() if at <= self.now)
            last = self._choose(able, last) if len(able) > 1 else able[0]
            self._turns[last].release()
            self._back.acquire()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, name: str, part: Callable[[], None]) -> None:
        self._turns[name].acquire()
        try:
            part()
        except BaseException as error:
            self._errors.append(error)
        finally:
            del self._ready[name]
            self._back.release()


def at_random(seed: int) -> Choice:
    """Choose at random, the same for the same seed."""
    drawn = random.Random(seed)
    return lambda able, last: drawn.choice(able)


def orders(switches: int, within: int) -> Iterator[Choice]:
    """Yield all orders in which the running part is interrupted at most so often while it could go on.

    Most faults of concurrent programs show with two such switches (Musuvathi and Qadeer, 2007).

    Args:
        switches: the most that there are.
        within: how many moments from the start on are considered.
    """
    for count in range(switches + 1):
        for moments in itertools.combinations(range(within), count):
            yield _interrupted_at(frozenset(moments))


def _interrupted_at(moments: frozenset[int]) -> Choice:
    seen = itertools.count()

    def choose(able: Sequence[str], last: str) -> str:
        stays = last if last in able else able[0]
        if next(seen) not in moments:
            return stays
        return able[(able.index(stays) + 1) % len(able)]

    return choose
