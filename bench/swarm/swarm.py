"""The swarm itself: broker, model server and agents as processes, with addresses of their own.

Knows the commands that start them and where their files are; does not know what is measured or what
goes wrong on purpose.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import agent as agents
from . import clip as clips
from .services import Service, answers, free_port

MODEL = "stand-in"
BACKEND = "openai"  # what answers from it are called


class Swarm:
    """Processes under one folder: journal, ledgers, logs. Use as a context; nothing survives it.

    latency: seconds that the model server takes per request; None: there is none and the embedded
    rules answer. broker_words: more words for `metabonk serve cognitive`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        latency: float | None = None,
        slots: int = 0,
        broker_words: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.journal, self.ledgers = folder / "journal", folder / "ledgers"
        self.clip = folder / "clip"
        port, http, model = free_port(), free_port(), free_port()
        self.url = f"tcp://127.0.0.1:{port}"
        self.http = f"http://127.0.0.1:{http}"
        self.model_url = f"http://127.0.0.1:{model}"
        self.model: Service | None = None
        if latency is not None:
            words = ["--port", str(model), "--latency", str(latency), "--model", MODEL]
            words += ["--most-running", str(slots)] if slots else []
            self.model = Service(
                "the model server",
                [sys.executable, "-m", "metabonk.cognition.servers.standin", *words],
                folder / "logs/model.log",
                answers(f"{self.model_url}/ready"),
            )
        self.ready = answers(f"{self.http}/readyz")
        start = "from metabonk.cli.main import run; run()"
        chain = self._chain() if latency is not None else []
        self.broker = Service(
            "the broker",
            [
                sys.executable, "-c", start, "serve", "cognitive", "--port", str(port),
                "--http", f"127.0.0.1:{http}", "--directory", str(self.journal), *chain,
                *broker_words,
            ],
            folder / "logs/broker.log",
            self.ready,
        )  # fmt: skip
        self.agents: list[Service] = []
        self._made = 0

    def _chain(self) -> list[str]:
        """The words that let the model server answer, and the rules where it does not. A broker
        that starts while the model server does waits for it."""
        return ["--backend", BACKEND, "--url", self.model_url, "--set", "backend.wait=30"]

    def settings(self, name: str, **more: object) -> agents.Settings:
        """What an agent of this swarm is told."""
        known = {"agent": name, "url": self.url, "clip": self.clip, "ledgers": self.ledgers}
        return msgspec.convert(
            {k: str(v) if isinstance(v, Path) else v for k, v in {**known, **more}.items()},
            agents.Settings,
        )

    def agent(self, settings: agents.Settings) -> Service:
        """An agent's process, not started yet."""
        command = [sys.executable, "-m", "metabonk.bench.swarm.agent"]
        command.append(msgspec.json.encode(settings).decode())
        self._made += 1
        log = self.folder / f"logs/{settings.agent}-{self._made}.log"
        return Service(settings.agent, command, log)

    def start(self, *, clip: bool = True) -> None:
        """Records the clip if there is none (agents need it), starts the model server and the
        broker, and waits until both are ready."""
        if clip and not (self.clip / clips.FRAMES).exists():
            clips.record(self.clip)
        if self.model is not None:
            self.model.start()
        self.broker.start()

    def close(self) -> None:
        """Kills everything; safe to call twice."""
        for service in (*self.agents, self.broker, *([self.model] if self.model else [])):
            service.close()

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
