"""cognition/agent/client.py: over real sockets, with a server that does what the test says."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from small_broker import ANSWER, HANG, Game, Server, serving, until

from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.agent.line import Keys
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import Hello, Reply, Request, RequestId
from metabonk.cognition.strips.strip import Strip, decode
from metabonk.cognition.vocabulary import Compass, Directive, Hold, Priority, Verb
from metabonk.errors import ConfigError
from metabonk.records import GAME_STATE, FieldGroup, GameState

QUICK = ClientSettings(every=0.2, patience=4.0, outcome_seconds=0.2, linger=1.0)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/c.sock"


def test_a_directive_comes_into_force_and_its_outcome_is_told(url: str) -> None:
    with serving(url) as server, Client("omega-0", url, QUICK) as client, Game(client) as game:
        assert client.directive() is None
        until(lambda: client.directive() is not None, "a directive")
        assert client.directive() == Directive(Verb.RETREAT, Compass(4), 4.0)
        game.reward = 2.5
        until(lambda: len(server.outcomes) >= 3, "outcomes")
        request, frames = server.requests[-1]
        assert request.id.agent == "omega-0"
        assert GameState.unpack(request.state).health == 100.0
        assert len(frames) == len(request.frames) > 1
        times = [frame.at_ns for frame in request.frames]
        assert times == sorted(times)
        assert times[-1] == request.captured_ns
        assert decode(frames[-1]).shape == (24, 32, 3)
        assert request.deadline_ns == request.captured_ns + 4_000_000_000
        counts = client.counts()
        assert counts["ok"] == counts["applied"] >= 3
    # Every request has exactly one outcome, also those under way at the end.
    assert set(server.outcomes) == {request.id for request, _ in server.requests}
    outcomes = [sent[0] for sent in server.outcomes.values()]
    assert sum(o.applied for o in outcomes) >= 3
    assert sum(o.reward for o in outcomes) > 0.0
    assert {o.status for o in outcomes} <= {"ok", "lost"}


@pytest.mark.parametrize("most", [0, 2])
def test_a_server_says_how_many_pictures_it_looks_at(url: str, most: int) -> None:
    with serving(url) as server:
        server.limits = wire.Limits(frames=most)
        with Client("omega-0", url, QUICK) as client, Game(client):
            until(lambda: len(server.requests) >= 4, "requests")
            assert {len(frames) for _, frames in server.requests} <= set(range(most + 1))
            assert (client.counts()["strip_encoded"] > 0) == (most > 0)
        if most:  # the newest ones are kept
            request, frames = server.requests[-1]
            assert len(frames) == most
            assert request.frames[-1].at_ns == request.captured_ns


def test_sequences_rise_and_one_request_is_under_way(url: str) -> None:
    waiting: list[Request] = []

    def slow(request: Request) -> Reply | None:
        waiting.append(request)
        return None

    with serving(url, slow) as server, Client("omega-0", url, QUICK) as client, Game(client):
        until(lambda: waiting, "a request")
        time.sleep(0.5)  # two more periods
        assert len(server.requests) == 1
        assert client.counts()["under_way"] == 1
        until(lambda: server.queries, "a query")
        assert server.queries[0].id == waiting[0].id
        client.wish("boss")
        until(lambda: len(server.requests) == 2, "the urgent one")
        assert server.requests[1][0].trigger == "boss"
        assert server.requests[1][0].id.sequence == waiting[0].id.sequence + 1


def test_danger_asks_at_once(url: str) -> None:
    rare = ClientSettings(every=3600.0, outcome_seconds=0.2)
    with serving(url) as server, Client("omega-0", url, rare) as client, Game(client) as game:
        until(lambda: client.connected and client.counts()["sights"] > 3, "sights")
        assert server.requests == []
        game.state.health = 20.0
        until(lambda: server.requests, "a request")
        request = server.requests[0][0]
        assert (request.trigger, request.critical) == ("health", True)
        assert GameState.unpack(request.state).health == 20.0
        game.state.menu = "LevelUp"
        until(lambda: len(server.requests) == 2, "the menu's request")
        assert server.requests[1][0].trigger == "menu"
        assert len(client.counts()) > 20


def test_what_an_urgent_request_overtook_is_no_failure_of_the_server(url: str) -> None:
    """The answer to the urgent one is on its way: nobody stands in for it meanwhile."""
    waiting: list[Request] = []

    def answers(request: Request) -> Reply | None:
        if not request.critical:
            waiting.append(request)
            return None
        server.tell(Reply(id=waiting[0].id, status="rejected", code="superseded"))
        time.sleep(0.3)
        return Reply(id=request.id, status="ok", answer=ANSWER)

    spoke: list[Sight] = []
    rare = ClientSettings(every=3600.0, patience=60.0, outcome_seconds=0.2)
    with (
        serving(url, answers) as server,
        Client("omega-0", url, rare, local=spoke.append) as client,
        Game(client) as game,
    ):
        until(lambda: client.connected and client.counts()["sights"] > 3, "sights")
        client.wish()
        until(lambda: waiting, "the calm one")
        spoke.clear()
        game.state.health = 20.0
        until(lambda: client.directive() is not None, "the urgent one's answer")
        assert [d.code for d in client.decisions] == ["superseded", ""]
        assert spoke == []


def test_a_client_that_is_stuck_costs_the_game_nothing(url: str) -> None:
    """The game's two doors go on whatever the client's thread is at: here, an endless encoding."""
    stuck, go = threading.Event(), threading.Event()

    def encode(**_: object) -> Strip:
        stuck.set()
        go.wait(HANG)
        return Strip()

    with serving(url), Client("omega-0", url, QUICK) as client:
        client.ring.strip = encode  # type: ignore[method-assign,assignment]
        with Game(client):
            assert stuck.wait(HANG)
        for number in range(20_000):
            client.show(Sight(b"", number))
            assert client.directive() is None
        go.set()
        until(lambda: client.counts()["ok"] >= 1, "what was stuck")


def test_a_server_that_comes_late_or_goes_is_no_ones_trouble(url: str) -> None:
    with Client("omega-0", url, QUICK) as client, Game(client):
        time.sleep(0.1)
        assert not client.connected
        assert client.counts()["requests"] == 0
        with serving(url) as server:
            until(lambda: client.counts()["ok"] >= 1, "a directive")
            assert len(server.hellos) == 1
        until(lambda: not client.connected, "the end of the connection")
        with serving(url) as server:
            until(lambda: client.counts()["connects"] >= 2 and server.requests, "another start")
            assert server.hellos[0].secret
            assert server.requests[0][0].id.sequence > 1
        assert client.counts()["disconnects"] >= 1


def test_outcomes_survive_a_server_that_does_not_answer(url: str) -> None:
    with Client("omega-0", url, QUICK) as client, Game(client):
        with serving(url) as server:
            server.acknowledges = False
            until(lambda: server.outcomes, "an outcome")
            unacknowledged = set(server.outcomes)
        with serving(url) as server:
            until(lambda: unacknowledged <= set(server.outcomes), "the outcomes once more")
        assert client.counts()["dropped"] == 0


def test_at_its_end_a_client_waits_for_a_server_that_comes_back(url: str) -> None:
    """By default long enough for one that was killed and started anew."""
    client = Client("omega-0", url, ClientSettings(every=0.2, outcome_seconds=0.2))
    with Game(client):
        client.start()
        with serving(url) as server:
            server.acknowledges = False
            until(lambda: len(server.outcomes) >= 2, "outcomes")
        client.end()
    time.sleep(2.0)  # of the restart
    assert client.counts()["waiting_outcomes"] >= 2
    with serving(url) as server:
        client.stop()
        assert client.counts()["waiting_outcomes"] == 0
        assert len(server.outcomes) == client.counts()["acknowledged"] >= 2


def test_nothing_late_or_foreign_is_applied(url: str) -> None:
    def wrong(request: Request) -> Reply:
        id = RequestId(request.id.agent, request.id.epoch - 1, request.id.sequence)
        return Reply(id=id, status="ok", answer=ANSWER)

    with serving(url, wrong), Client("omega-0", url, QUICK) as client, Game(client):
        until(lambda: client.counts()["late"] >= 1, "the foreign reply")
        assert client.directive() is None
        assert client.counts()["applied"] == 0

    old = ClientSettings(every=0.2, patience=0.1, outcome_seconds=0.2)

    def late(request: Request) -> Reply | None:
        time.sleep(0.2)
        return Server.ok(request)

    with serving(url, late), Client("omega-0", url, old) as client, Game(client):
        until(lambda: client.counts()["lost"] + client.counts()["stale"] >= 2, "late replies")
        assert client.directive() is None


def test_answers_that_are_none_are_errors_and_counted(url: str) -> None:
    def garbage(request: Request) -> Reply:
        return Reply(id=request.id, status="ok", answer={"action": "fly", "target": "moon"})

    with serving(url, garbage), Client("omega-0", url, QUICK) as client, Game(client):
        until(lambda: client.counts()["error"] >= 2, "errors")
        assert client.directive() is None
        assert "action" in client.decisions[-1].reason


def test_a_game_that_refuses_a_directive_is_believed(url: str) -> None:
    refused: list[Directive] = []

    def apply(directive: Directive, until_ns: int) -> bool:
        refused.append(directive)
        return False

    client = Client("omega-0", url, QUICK, apply=apply)
    with serving(url) as server, client, Game(client):
        until(lambda: refused and server.outcomes, "a directive")
        assert client.directive() is None
        assert client.counts()["not_taken"] >= 1
        assert not any(o.applied for sent in server.outcomes.values() for o in sent)


def test_local_rules_speak_while_the_server_does_not(url: str) -> None:
    held = Directive(Verb.EXPLORE, Hold(), 0.5)
    client = Client("omega-0", url, QUICK, local=lambda sight: held)
    with client, Game(client):
        yielding = Directive(Verb.EXPLORE, Hold(), 0.5, Priority.LOW)
        until(lambda: client.directive() == yielding, "the rules' directive")
        assert client.counts()["local"] >= 1
        with serving(url):
            until(lambda: client.counts()["applied"] >= 1, "the server's directive")
            spoken = client.counts()["local"]
            until(lambda: client.counts()["applied"] >= 3, "more of them")
            assert client.directive() == Directive(Verb.RETREAT, Compass(4), 4.0)
            assert client.counts()["local"] == spoken


def test_rules_that_refuse_a_state_are_no_fault(url: str) -> None:
    refused: list[Sight] = []

    def local(sight: Sight) -> Directive | None:
        refused.append(sight)
        return None

    with Client("omega-0", url, QUICK, local=local) as client, Game(client):
        until(lambda: len(refused) >= 2, "two refusals")
        assert client.directive() is None
        assert client.counts()["local"] == 0


def test_states_without_frames_and_without_sense(url: str) -> None:
    with serving(url) as server, Client("omega-0", url, QUICK) as client:
        client.show(Sight(b"no state", time.monotonic_ns()))
        until(lambda: client.counts()["unread"] == 1, "the refusal")
        client.wish()
        until(lambda: client.counts()["blind"] >= 1, "the wish without a sight")
        assert server.requests == []
        with Game(client, frames=False):
            until(lambda: server.requests, "a request")
        assert server.requests[0][1] == []


def test_a_menu_that_cannot_be_read_ends_no_client(url: str) -> None:
    """A state whose count of widgets is more than there is room for."""
    row = np.frombuffer(GameState(fields=FieldGroup.EVERYTHING, menu="Main").pack(), GAME_STATE)
    broken = row.copy()
    broken["widget_count"] = 65_535
    rare = ClientSettings(every=3600.0, menus=True)  # nobody is asked about the broken one
    with serving(url), Client("omega-0", url, rare) as client:

        def after(packed: bytes) -> dict[str, Any]:  # shown anew: only what is fresh is looked at
            client.show(Sight(packed, time.monotonic_ns()))
            return client.counts()

        until(lambda: after(broken.tobytes())["unread"] >= 1, "the refusal")
        until(lambda: after(row.tobytes())["menus"]["menus"] == 1, "a menu that can be read")
        client.check()


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 64), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
    ],
    ids=["RGBA", "float", "grey", "empty"],
)
def test_pixels_that_are_no_frame_end_no_client(url: str, pixels: Any, pictures: bool) -> None:
    """Of games that do not say whether a menu is open: then pixels are looked at. Without any that
    can be looked at there is no menu, and the policy's presses are let through."""
    packed = GameState(fields=FieldGroup.PROGRESS).pack()
    muted: list[bool] = []
    settings = ClientSettings(every=3600.0, menus=True, pictures=pictures)
    client = Client(
        "omega-0", url, settings, mute=muted.append,
        look=lambda: Sight(packed, time.monotonic_ns(), pixels),
    )  # fmt: skip
    with serving(url) as server, client:
        until(lambda: client.counts()["strip_unusable"] >= 3, "the counts")
        client.check()
        assert muted == [True, False]
        client.wish()
        until(lambda: server.requests, "a request of the state alone")
        assert server.requests[0][1] == []
        assert client.counts()["strip_frames"] == 0


def test_a_game_that_falls_silent_is_not_asked_about(url: str) -> None:
    with serving(url) as server, Client("omega-0", url, QUICK) as client:
        with Game(client):
            until(lambda: server.requests, "a request")
        time.sleep(1.2)
        asked = len(server.requests)
        until(lambda: client.counts()["blind"] >= 1, "a wish without a fresh sight")
        assert len(server.requests) == asked


def test_what_breaks_the_client_is_raised(url: str) -> None:
    def broken(sight: Sight) -> Directive:
        raise ZeroDivisionError("a fault in the rules")

    client = Client("omega-0", url, QUICK, local=broken)
    client.start()
    with Game(client), pytest.raises(ZeroDivisionError):
        until(lambda: client.check() or False, "the fault")
    with pytest.raises(ZeroDivisionError):
        client.stop()
    with pytest.raises(RuntimeError, match="started before"):
        client.start()


def test_a_refused_name_is_said(url: str) -> None:
    with serving(url) as server:
        server.welcomes = False
        with Client("omega-0", url, QUICK) as client:
            until(lambda: server.hellos, "a Hello")
            reply = Reply(id=None, status="error", code="taken", reason="omega-0: another has it")
            server._heard = lambda parts: reply  # type: ignore[method-assign,assignment]
            until(lambda: client.why, "the reason")
            assert client.why == "taken: omega-0: another has it"
            assert not client.connected


def test_curve_keeps_strangers_out() -> None:
    public, secret = (half.decode() for half in zmq.curve_keypair())
    own_public, own_secret = (half.decode() for half in zmq.curve_keypair())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.curve_server = True
    socket.curve_secretkey = secret.encode()
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    try:
        address = f"tcp://127.0.0.1:{port}"
        keys = Keys(public, own_public, own_secret)
        quick = ClientSettings(every=0.2, keys=keys, linger=0.0)
        with Client("omega-0", address, quick):
            assert socket.poll(HANG * 1e3)
            _, *parts = socket.recv_multipart()
            assert isinstance(wire.decode(parts)[0], Hello)
        while socket.poll(50):  # what it said at its end
            socket.recv_multipart()
        with Client("omega-1", address, ClientSettings(every=0.2, linger=0.0)) as client:
            assert not socket.poll(500)
            assert not client.connected
    finally:
        socket.close()
        context.term()


@pytest.mark.parametrize("enveloped", [True, False])
def test_deployed_servers_are_spoken_to_in_their_words(enveloped: bool, tmp_path: Path) -> None:
    url = f"ipc://{tmp_path}/v1.sock"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.bind(url)
    settings = ClientSettings(every=0.2, protocol="v1", linger=0.0)
    try:
        client = Client("omega-0", url, settings)
        with client, Game(client):
            for _ in range(2):
                assert socket.poll(HANG * 1e3)
                identity, empty, text = socket.recv_multipart()
                assert (identity, empty) == (b"omega-0", b"")
                asked = json.loads(text)
                assert asked["agent_id"] == "omega-0"
                assert 1 <= len(asked["frames"]) <= 9
                directive = {"action": "retreat", "target": [0, 0], "duration_seconds": 4.0,
                             "priority": "high"}  # fmt: skip
                reply = json.dumps({"agent_id": "omega-0", "directive": directive}).encode()
                socket.send_multipart([identity, b"", reply] if enveloped else [identity, reply])
            until(lambda: client.counts()["applied"] >= 2, "two directives")
            held = client.directive()
            assert held is not None
            assert (held.action, held.target) == (Verb.RETREAT, Hold())
    finally:
        socket.close()
        context.term()


@pytest.mark.parametrize(
    ("agent", "url", "settings", "message"),
    [
        ("", "tcp://localhost:5555", {}, "agent"),
        ("a b", "tcp://localhost:5555", {}, "agent"),
        ("a" * 65, "tcp://localhost:5555", {}, "agent"),
        ("a", "localhost:5555", {}, r"tcp://HOST:PORT"),
        ("a", "", {}, r"tcp://HOST:PORT"),
        (
            "a",
            "tcp://10.0.0.7:5555",
            {},
            r"on another machine.*cognition\.key and cognition\.server_key name the files",
        ),
        (
            "a",
            "tcp://localhost:5555",
            {"keys": Keys("x", "y", "z")},
            r"cognition\.key, cognition\.server_key: .* 40 characters",
        ),
        ("a", "tcp://localhost:5555", {"protocol": "v3"}, "v1 or v2"),
        (
            "a",
            "tcp://localhost:5555",
            {"protocol": "v1", "menus": True},
            r"cognition\.protocol = v1, menu\.enabled: .*cognition\.protocol=v2",
        ),
        ("a", "tcp://localhost:5555", {"quality": 0}, "quality"),
        ("a", "tcp://localhost:5555", {"goal": "x" * 501}, r"sima2\.goal: 501"),
        ("a", "tcp://localhost:5555", {"menu_goal": "x" * 501}, r"menu\.goal: 501"),
        ("a", "tcp://localhost:5555", {"every": 0.0}, "every"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    agent: str, url: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Client(agent, url, ClientSettings(**settings))


def test_a_program_ends_although_nobody_stopped_its_client(tmp_path: Path) -> None:
    import subprocess
    import sys

    text = (
        "from metabonk.cognition.agent.client import Client\n"
        f"Client('omega-0', 'ipc://{tmp_path}/x').start()\nraise SystemExit(7)"
    )
    ended = subprocess.run([sys.executable, "-c", text], timeout=60.0, check=False)
    assert ended.returncode == 7
