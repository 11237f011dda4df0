"""The client against the real server: `metabonk serve cognitive` with its rules, killed and not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import zmq
from peers import server
from small_broker import HANG, Game, until

from metabonk.cognition.agent.client import Client, ClientSettings
from metabonk.cognition.agent.line import Keys
from metabonk.cognition.log import journal
from metabonk.cognition.protocol import keys
from metabonk.cognition.protocol.keys import read_pair, read_public
from metabonk.cognition.vocabulary import Directive, Verb
from metabonk.records import Entity, GameState

QUICK = ClientSettings(every=0.15, outcome_seconds=0.3, linger=HANG)
# A dozen enemies around a player who is nearly dead: there is only one thing to do.
SURROUNDED = [Entity(id=i + 1, position=(3.0, i - 6.0, 0.0), health=10.0) for i in range(12)]


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(journal.open_readonly(folder)) as connection:
        return [tuple(row) for row in connection.execute(sql)]


def danger(game: Game) -> None:
    game.state.health = 12.0
    game.state.entities = list(SURROUNDED)


def ends(counts: dict[str, Any]) -> int:
    names = ("ok", "fallback", "stale", "rejected", "error", "lost")
    return sum(int(counts[name]) for name in names)


def test_rules_answer_and_every_outcome_is_joined(tmp_path: Path) -> None:
    with server(tmp_path) as s:
        client = Client("omega-0", s.endpoint, QUICK)
        with client, Game(client) as game:
            danger(game)
            until(lambda: client.counts()["acknowledged"] >= 4, "outcomes in the journal")
            held = client.directive()
            assert isinstance(held, Directive)
            assert held.action is Verb.RETREAT
        counts = client.counts()
        assert counts["requests"] == ends(counts)
        assert counts["outcomes"] == counts["acknowledged"] == counts["requests"]
        s.end()
    decisions = rows(tmp_path, "SELECT agent, epoch, sequence FROM joined")
    assert len(decisions) == len(set(decisions)) == counts["requests"]


def test_pictures_that_nobody_looks_at_are_not_coded(tmp_path: Path) -> None:
    """Rules decide by states; only who reports outcomes has pictures worth keeping."""
    with server(tmp_path) as s:
        for logs in (False, True):
            settings = ClientSettings(every=0.15, outcomes=logs, linger=0.0)
            with Client("omega-0", s.endpoint, settings) as client, Game(client):
                until(lambda client=client: client.counts()["ok"] >= 2, "answers")
                assert (client.counts()["strip_encoded"] > 0) == logs


def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/c.sock"
    client = Client("omega-0", endpoint, QUICK)
    with client, Game(client) as game:
        danger(game)
        for life in range(3):
            with server(tmp_path / "j", bind=endpoint) as s:
                before = client.counts()["ok"]
                until(lambda before=before: client.counts()["ok"] >= before + 3, "decisions")
                if life < 2:
                    s.kill()
                else:
                    client.stop()
    counts = client.counts()
    assert counts["connects"] >= 3
    assert counts["requests"] == ends(counts)
    assert counts["dropped"] == counts["waiting_outcomes"] == 0
    assert counts["acknowledged"] == counts["outcomes"] == counts["requests"]
    told = rows(tmp_path / "j", "SELECT agent, epoch, sequence FROM outcomes")
    assert len(told) == len(set(told)) == counts["requests"]
    applied = {d.id.sequence for d in client.decisions if d.directive is not None}
    written = {sequence for (sequence,) in rows(tmp_path / "j", "SELECT sequence FROM joined")}
    assert applied <= written  # nothing was followed that is not written down


def test_keys_open_the_door(tmp_path: Path) -> None:
    for name in ("broker", "omega-0", "stranger"):
        keys.new(name, tmp_path)
    public = read_public(tmp_path / "omega-0.pub")
    (tmp_path / "allow.toml").write_text(f'[agents]\n"omega-*" = "{public}"\n')
    words = ("--key", str(tmp_path / "broker.key"), "--allow", str(tmp_path / "allow.toml"))

    def client(name: str, key: str) -> Client:
        pair = read_pair(tmp_path / f"{key}.key")
        found = Keys(read_public(tmp_path / "broker.pub"), pair.public, pair.secret)
        return Client(name, s.endpoint, ClientSettings(every=0.15, keys=found, linger=0.0))

    with server(tmp_path / "j", *words) as s:
        with client("omega-0", "omega-0") as known, Game(known):
            until(lambda: known.directive() is not None, "a directive")
        with client("alpha-0", "omega-0") as other:
            until(lambda: other.why, "the refusal")
            assert other.why.startswith("denied")
        with client("omega-1", "stranger") as stranger, Game(stranger):
            until(lambda: s.metric("denied_total") >= 1 or stranger.refusals, "the locked door")
            assert not stranger.connected


def test_the_v1_client_and_the_real_server_understand_each_other(tmp_path: Path) -> None:
    settings = ClientSettings(every=0.2, protocol="v1", linger=0.0)
    with server(tmp_path) as s:
        client = Client("omega-0", s.endpoint, settings)
        with client, Game(client) as game:
            danger(game)
            until(lambda: client.counts()["ok"] >= 2, "answers")
            assert client.counts()["error"] == client.counts()["unreadable"] == 0
            held = client.directive()
            assert isinstance(held, Directive)
            assert held.action is Verb.RETREAT, "a dozen are said to be near, and health is low"


def test_the_seeds_own_client_gets_its_answer(tmp_path: Path) -> None:
    """One part of JSON from a DEALER, and a reply that it can read as one part."""
    with server(tmp_path) as s:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.setsockopt_string(zmq.IDENTITY, "omega-7")
        socket.connect(s.endpoint)
        state = {"health": 0.2, "position": [1.0, 2.0], "enemies_nearby": 4, "level": 3}
        socket.send(json.dumps({"agent_id": "omega-7", "frames": [], "state": state,
                                "timestamp": 0.0}).encode())  # fmt: skip
        assert socket.poll(HANG * 1e3)
        reply = json.loads(socket.recv())
        assert reply["agent_id"] == "omega-7"
        assert set(reply) >= {"directive", "confidence", "inference_time_ms", "timestamp"}
        assert not reply.get("error")
        assert reply["directive"] == {
            "action": "retreat", "duration_seconds": 4.0, "priority": "critical"
        }  # fmt: skip
        socket.close()
        context.term()


def test_states_reach_the_journal_as_they_were(tmp_path: Path) -> None:
    from metabonk.cognition import situation

    with server(tmp_path) as s:
        client = Client("omega-0", s.endpoint, QUICK)
        with client, Game(client) as game:
            danger(game)
            until(lambda: client.counts()["ok"] >= 2, "decisions")
        s.end()
    states = [GameState.unpack(situation.expand(kept)) for (kept,) in
              rows(tmp_path, "SELECT state FROM joined")]  # fmt: skip
    assert 12.0 in [state.health for state in states]
