"""Feed a million spoilt files to the readers: nothing but LmmgwasError may come out, and soon.

Usage: python scripts/fuzz/run.py [--executions N] [--processes N] [--seed S] [--only A,B]
                                  [--found DIR] [--record]

Any other exception is a crash, a second of work without an answer is a hang. The file of each
finding is kept in --found, with the traceback beside it. Inputs that bring out something new
(another error code, another sentence) are mutated further. The seed is said; the same seed and
number of processes give the same files. --record appends the counts to RECORD.md.
"""

import argparse
import contextlib
import gzip
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mutate import mutate
from targets import TARGETS, Target

from lmmgwas.errors import LmmgwasError

SECONDS = 1.0
"""Of processor time: more than any of these files can take, however busy the machine is."""

STUCK = 600.0
"""Without any news of a process: it hangs where Python cannot stop it."""

_MEMORY = 8 << 30
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_MOST_KEPT = 400
_ROUND = 500
_VARYING = re.compile(r"'[^']*'|[0-9]+|[^ -~]")
"""What of a sentence is of one file: quotations, numbers, letters that are not ASCII."""
_COUNT = re.compile(r"^\| [0-9-]+ \| ([0-9,]+) \|", re.MULTILINE)
_RECORD = Path(__file__).resolve().parent / "RECORD.md"


class Hang(BaseException):
    """The time is over. No reader may catch it."""


@dataclass
class Corpus:
    """Files of one target that are mutated, and what they brought out."""

    target: Target
    accepted: list[bytes]
    refused: list[bytes] = field(default_factory=list)
    outcomes: set[str] = field(default_factory=set)

    def next(self, rng: random.Random) -> bytes:
        """Return a mutated file; of packed ones half are unpacked, mutated and packed again."""
        data = rng.choice(self.refused if self.refused and rng.random() < 0.3 else self.accepted)
        others = self.accepted + self.refused
        if not (self.target.packed and rng.random() < 0.5):
            return mutate(data, others, rng)
        with contextlib.suppress(Exception):
            return gzip.compress(mutate(gzip.decompress(data), others, rng), mtime=0)
        return mutate(data, others, rng)

    def learn(self, data: bytes, outcome: str) -> None:
        """Keep what brought out something new, and now and then what was accepted."""
        kept = self.accepted if outcome == "accepted" else self.refused
        if len(kept) < _MOST_KEPT and (outcome not in self.outcomes or outcome == "accepted"):
            self.outcomes.add(outcome)
            kept.append(data)


@dataclass(frozen=True)
class News:
    """What a process has done since the last time."""

    process: int
    executions: Counter[str]
    accepted: Counter[str]
    findings: tuple[tuple[str, str, bytes, str], ...]  # target, what, file, traceback
    done: bool = False


def main() -> int:
    """Run the processes, gather what they find; return 1 where there is anything."""
    given = _arguments()
    chosen = [t for t in TARGETS if given.only is None or t.name in given.only.split(",")]
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, {given.processes} processes, {len(chosen)} readers", flush=True)
    context = multiprocessing.get_context("spawn")
    queue: Queue[News] = context.Queue()
    names = [target.name for target in chosen]
    share = -(-given.executions // given.processes)
    workers = [
        context.Process(target=work, args=(k, seed, share, names, queue), daemon=True)
        for k in range(given.processes)
    ]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    executions, accepted, findings = gather(workers, queue, Path(given.found))
    seconds = time.monotonic() - began
    print(f"\n{executions.total():,} executions in {seconds:,.0f} s")
    for name in names:
        print(f"  {name:<28} {executions[name]:>9,}  accepted {accepted[name]:>8,}")
    print(f"{len(findings)} findings" + "".join(f"\n  {finding}" for finding in findings))
    if given.record:
        _record(executions, seed, seconds, findings)
    return 1 if findings else 0


def gather(
    workers: list, queue: "Queue[News]", folder: Path
) -> tuple[Counter[str], Counter[str], list[str]]:
    """Take the news of all processes until they are done; keep each finding once."""
    executions: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    findings: dict[str, None] = {}
    running = set(range(len(workers)))
    heard = dict.fromkeys(running, time.monotonic() + STUCK)  # imports take their time
    while running:
        with contextlib.suppress(Exception):
            news = queue.get(timeout=5.0)
            heard[news.process] = time.monotonic()
            executions += news.executions
            accepted += news.accepted
            for target, what, data, trace in news.findings:
                if f"{target}: {what}" not in findings:
                    findings[f"{target}: {what}"] = None
                    _keep(folder, f"{len(findings):03d}-{target}", data, trace)
                    print(f"found: {target}: {what}", flush=True)
            if news.done:
                running.discard(news.process)
            print(f"\r{executions.total():>12,}", end="", flush=True)
        for k in sorted(running):
            if time.monotonic() - heard[k] > STUCK or not workers[k].is_alive():
                findings[f"process {k} was stuck or ended"] = None
                workers[k].kill()
                running.discard(k)
    return executions, accepted, list(findings)


def work(number: int, seed: int, share: int, names: list[str], queue: "Queue[News]") -> None:
    """Mutate and read; send the news every few thousand files."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGPROF, _too_long)
    rng = random.Random(f"{seed}-{number}")  # noqa: S311
    corpora = [Corpus(t, list(t.seeds)) for t in TARGETS if t.name in names]
    folder = Path(tempfile.mkdtemp(prefix="lmmgwas-fuzz-", dir=_in_memory()))
    try:
        for corpus in corpora:
            place = folder / corpus.target.name.replace(" ", "_")
            place.mkdir()
            for name, content in corpus.target.beside:
                (place / name).write_bytes(content)
            for data in corpus.target.seeds:  # compiles kernels, which takes longer than a second
                outcome, trace = execute(corpus, data, place, seconds=600.0)
                if outcome != "accepted":
                    raise RuntimeError(f"{corpus.target.name}: {outcome}: {trace}")
        left = share
        while left > 0:
            executions: Counter[str] = Counter()
            accepted: Counter[str] = Counter()
            findings = []
            for _ in range(min(left, _ROUND)):
                corpus = rng.choice(corpora)
                name = corpus.target.name
                data = corpus.next(rng)
                outcome, trace = execute(corpus, data, folder / name.replace(" ", "_"))
                executions[name] += 1
                accepted[name] += outcome == "accepted"
                if trace:
                    findings.append((name, outcome, data, trace))
                else:
                    corpus.learn(data, outcome)
            left -= _ROUND
            queue.put(News(number, executions, accepted, tuple(findings)))
        queue.put(News(number, Counter(), Counter(), (), done=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_memory() -> str | None:
    """A folder that costs no disk, None where there is none."""
    usable = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK)
    return str(_SHARED_MEMORY) if usable else None


def execute(corpus: Corpus, data: bytes, folder: Path, seconds: float = SECONDS) -> tuple[str, str]:
    """Read one file; return what came of it, and a traceback where it is a finding."""
    path = folder / corpus.target.file
    path.write_bytes(data)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            corpus.target.read(path)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
    except LmmgwasError as error:
        first = error.problems[0]
        return f"{first.code} {_VARYING.sub('', first.message)[:60]}", ""
    except Hang as error:
        return f"hang at {_frame(error)}", traceback.format_exc()
    except Exception as error:
        return f"{type(error).__name__} at {_frame(error)}: {error}"[:200], traceback.format_exc()
    return "accepted", ""


def _too_long(signum: int, frame: FrameType | None) -> NoReturn:
    raise Hang


def _frame(error: BaseException) -> str:
    """The last line of the package, or of this folder, that the traceback passes."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "lmmgwas" in f.filename]
    last = (ours or traceback.extract_tb(error.__traceback__))[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _keep(folder: Path, name: str, data: bytes, trace: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^A-Za-z0-9-]", "_", name)
    (folder / f"{safe}.bin").write_bytes(data)
    (folder / f"{safe}.txt").write_text(trace, encoding="utf-8")


def _record(executions: Counter[str], seed: int, seconds: float, findings: list[str]) -> None:
    """Append a line to the record; its second column is the sum of all runs so far."""
    text = _RECORD.read_text(encoding="utf-8")
    total = sum(int(c.replace(",", "")) for c in _COUNT.findall(text)) + executions.total()
    day = time.strftime("%Y-%m-%d")
    found = "; ".join(findings) or "none"
    line = f"| {day} | {executions.total():,} | {total:,} | {seed} | {seconds:.0f} s | {found} |\n"
    _RECORD.write_text(text + line, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", help="names of readers, between commas")
    parser.add_argument("--found", default="fuzz-findings", help="folder for what is found")
    parser.add_argument("--record", action="store_true", help="append the counts to RECORD.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
