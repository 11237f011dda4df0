"""`metabonk serve cognitive` as a process: killed, drained, flooded, without disk, off its host."""

from __future__ import annotations

import base64
import contextlib
import json
import resource
import signal
import threading
import time
from pathlib import Path

import msgspec
import pytest
import zmq
from peers import HANG, Peer, jpeg, server, until

from metabonk.cli import main
from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log import journal
from metabonk.cognition.log.jsonlines import known_layout
from metabonk.cognition.log.rows import Log
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.protocol import keys
from metabonk.cognition.protocol import wire as w
from metabonk.records import GameState


def rows(folder: Path, sql: str) -> list[tuple]:
    with contextlib.closing(journal.open_readonly(folder)) as connection:
        return [tuple(row) for row in connection.execute(sql)]


def test_an_agent_is_served_from_hello_to_outcome(tmp_path: Path) -> None:
    with server(tmp_path) as s, Peer(s.endpoint) as peer:
        assert s.page("/healthz") == (200, "ok\n")
        assert s.page("/readyz") == (200, "ready\n")
        welcome = peer.hello(w.boot_id(), log=True)
        assert isinstance(welcome, w.Welcome)
        assert (welcome.backend, welcome.shared_clock) == ("rules", bool(w.boot_id()))
        now = time.monotonic_ns()
        shades = [jpeg(n) for n in (10, 20, 30)]
        frames = [
            w.FrameInfo(now - 60_000_000),
            w.FrameInfo(now),
            w.FrameInfo(now + 50_000_000, True),
        ]
        request = peer.request(captured_ns=now)
        request.frames = frames
        peer.send(request, shades)
        reply = peer.receive()
        assert isinstance(reply, w.Reply)
        assert (reply.status, reply.backend, reply.recorded) == ("ok", "rules", True)
        v.read(reply.answer)
        peer.send(w.Outcome(id=request.id, applied=True, seconds=4.0, reward=1.5, age_ms=40.0))
        assert peer.receive() == w.Ack(id=request.id, of="outcome")
        assert s.metric('requests_total{agent="omega-0"}') == 1
        assert s.metric('replies_total{agent="omega-0",status="ok"}') == 1
        assert s.metric("age_seconds_count") == 1
        assert s.metric("agents") == 1
        code, said = s.end()
        assert code == 0, said
    ((state, packed, reward),) = rows(tmp_path, "SELECT state, frames, reward FROM joined")
    assert GameState.unpack(situation.expand(state)).health == 50.0
    assert reward == 1.5
    kept = msgspec.msgpack.decode(packed)
    assert [row[1:] for row in kept] == [[-0.06, False], [0.0, False], [0.05, True]]
    store = FrameStore(tmp_path / "frames", quota=1 << 20)
    assert [store.get(row[0]) for row in kept] == shades
    store.close()


def test_a_kill_loses_nothing_and_agents_come_back_by_themselves(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/socket"
    told: dict[w.RequestId, dict] = {}
    outcomes: set[w.RequestId] = set()
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(server(tmp_path / "kept", bind=address))
        peers = [stack.enter_context(Peer(address, f"a{n}")) for n in range(4)]
        for peer in peers:
            peer.hello()
        for _ in range(3):
            for peer in peers:
                for _ in range(10):
                    reply = peer.ask(frames=1)
                    assert reply.id is not None
                    told[reply.id] = reply.answer
            lost = [peer.request() for peer in peers]
            s.kill()
            s = stack.enter_context(server(tmp_path / "kept", bind=address))
            for peer, request in zip(peers, lost, strict=True):
                welcome = peer.hello()
                assert isinstance(welcome, w.Welcome), welcome
                assert welcome.next_sequence == request.id.sequence
                peer.send(w.Query(id=request.id))
                unknown = peer.receive()
                assert isinstance(unknown, w.Reply)
                assert unknown.code == "unknown"
                peer.send(request)
                reply = peer.receive()
                assert isinstance(reply, w.Reply)
                assert (reply.status, reply.replayed) == ("ok", False)
                told[request.id] = reply.answer
        for id, answer in told.items():
            peer = next(p for p in peers if p.agent == id.agent)
            peer.send(w.Query(id=id))
            again = peer.receive()
            assert isinstance(again, w.Reply)
            assert (again.answer, again.replayed) == (answer, True)
            for _ in range(2):
                peer.send(w.Outcome(id=id, applied=True, seconds=1.0))
                assert peer.receive() == w.Ack(id=id, of="outcome")
            outcomes.add(id)
        s.end()
    found = rows(tmp_path / "kept", "SELECT agent, epoch, sequence FROM joined")
    assert {w.RequestId(*row) for row in found} == set(told) == outcomes
    assert len(found) == len(told)


def test_asked_to_end_it_answers_what_it_has(tmp_path: Path) -> None:
    with server(tmp_path, "--json") as s, Peer(s.endpoint) as peer:
        peer.hello()
        for _ in range(20):
            peer.ask()
        code, said = s.end()
    assert code == 0
    found = json.loads(said[said.index("{") :])
    assert found["replies"] == {"ok": 20}
    assert found["journal"]["decisions"] == 20
    assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(20,)]
    with server(tmp_path) as s:
        assert s.endpoint, "the address and the folder are free again"


def test_frames_are_kept_of_agents_that_log_alone(tmp_path: Path) -> None:
    with (
        server(tmp_path) as s,
        Peer(s.endpoint, "quiet") as quiet,
        Peer(s.endpoint, "logs") as logs,
    ):
        quiet.hello()
        logs.hello(log=True)
        for peer in (quiet, logs):
            assert peer.ask(frames=3).recorded
        s.end()
    found = dict(rows(tmp_path, "SELECT agent, length(frames) > 0 FROM decisions"))
    assert found == {"quiet": 0, "logs": 1}
    assert len(list((tmp_path / "frames").glob("??/*.jpg"))) == 1, "three times the same picture"


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """What the verb says where it cannot start, in one line."""
    with pytest.raises(SystemExit) as ended:
        main.run(["serve", "cognitive", "--directory", str(folder), *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return " ".join(said.split())


def test_two_servers_never_share_a_folder_or_an_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(tmp_path / "one") as s:
        said = refused(capsys, tmp_path / "one", "--bind", "tcp://127.0.0.1:*", "--http", "")
        assert "another process writes this journal" in said
        said = refused(capsys, tmp_path / "two", "--bind", s.endpoint, "--http", "")
        assert "is another broker there" in said
        with Peer(s.endpoint) as peer:
            assert isinstance(peer.hello(), w.Welcome)


def test_a_full_disk_is_shown_and_recovers(tmp_path: Path) -> None:
    with server(tmp_path, "--frames-mb", "0") as s, Peer(s.endpoint) as peer:
        peer.hello()
        peer.ask()
        used = max(path.stat().st_size for path in tmp_path.glob("decisions.sqlite*"))
        # No file of the process may grow past this: what a full disk does to it, and undoes.
        _, hard = resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (used, hard))
        replies = [peer.ask() for _ in range(100)]
        assert {r.status for r in replies} == {"ok"}
        unrecorded = [r for r in replies if not r.recorded]
        assert len(unrecorded) > 50
        last = unrecorded[-1].id
        assert last is not None
        status, text = s.page("/readyz")
        assert status == 200
        assert "decisions.sqlite" in text
        assert s.metric("unrecorded") == len(unrecorded)
        assert s.metric("journal_failing") == 1
        peer.send(w.Outcome(id=last, applied=True, seconds=1.0))
        assert peer.maybe(0.3) is None
        resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: s.metric("unrecorded") == 0)
        peer.send(w.Outcome(id=last, applied=True, seconds=1.0))
        assert peer.receive() == w.Ack(id=last, of="outcome")
        assert s.metric("journal_failing") == 0
        s.end()
    assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(101,)]
    assert rows(tmp_path, "SELECT count(*) FROM joined") == [(1,)]


def test_sixteen_agents_at_once_each_get_their_own(tmp_path: Path) -> None:
    answers: dict[str, list[w.Reply]] = {}

    def play(address: str, name: str) -> None:
        with Peer(address, name) as peer:
            peer.hello()
            answers[name] = [peer.ask(frames=3) for _ in range(15)]

    with server(tmp_path) as s:
        threads = [
            threading.Thread(target=play, args=(s.endpoint, f"omega-{n}")) for n in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        assert s.metric("unsent_total") == 0
        s.end()
    assert len(answers) == 16
    for name, replies in answers.items():
        assert [(r.id.agent, r.id.sequence) for r in replies if r.id] == [
            (name, n) for n in range(15)
        ]
        assert {r.status for r in replies} == {"ok"}


def test_other_machines_agents_need_their_key_and_their_name(tmp_path: Path) -> None:
    pairs = {n: keys.read_pair(keys.new(n, tmp_path)[0]) for n in ("broker", "omega-0", "evil")}
    allow = tmp_path / "allow.toml"
    allow.write_text(f'[agents]\n"omega-*" = "{pairs["omega-0"].public}"\n')
    secured = ("--key", str(tmp_path / "broker.key"), "--allow", str(allow))
    with server(tmp_path / "kept", *secured, bind="tcp://0.0.0.0:*") as s:
        address = s.endpoint.replace("0.0.0.0", "127.0.0.1")
        public = pairs["broker"].public
        with Peer(address, "omega-7", pair=pairs["omega-0"], server=public) as peer:
            assert isinstance(peer.hello(), w.Welcome)
            assert peer.ask(frames=9).status == "ok"
        with Peer(address, "alpha", pair=pairs["omega-0"], server=public) as peer:
            refused = peer.hello()
            assert isinstance(refused, w.Reply)
            assert refused.code == "denied"
        for pair in (pairs["evil"], None):
            with Peer(address, "omega-1", pair=pair, server=public) as peer:
                peer.send(w.Hello(agent="omega-1", epoch=1, secret=peer.secret))
                assert peer.maybe(0.3) is None
        assert s.metric("agents") == 1


def test_a_chosen_identity_is_not_whose_key_had_it(tmp_path: Path) -> None:
    """Who is gone leaves it to whoever takes it, with a key of another name."""
    pairs = {n: keys.read_pair(keys.new(n, tmp_path)[0]) for n in ("broker", "a", "b")}
    allow = tmp_path / "allow.toml"
    allow.write_text(f'[agents]\n"a" = "{pairs["a"].public}"\n"b" = "{pairs["b"].public}"\n')
    secured = ("--key", str(tmp_path / "broker.key"), "--allow", str(allow))
    public = pairs["broker"].public
    with server(tmp_path / "kept", *secured) as s:
        with Peer(s.endpoint, "a", identity="chosen", pair=pairs["a"], server=public) as peer:
            assert isinstance(peer.hello(), w.Welcome)
            id = peer.ask().id
        assert id is not None
        for said in (w.Query(id=id), w.Outcome(id=id, applied=True, seconds=1.0, reward=-1e6)):
            refused, end = None, time.monotonic() + HANG
            while refused is None:  # nobody else is let in until the one before is seen to be gone
                assert time.monotonic() < end
                with Peer(
                    s.endpoint, "a", identity="chosen", pair=pairs["b"], server=public
                ) as peer:
                    peer.send(said)
                    refused = peer.maybe(0.5)
            assert isinstance(refused, w.Reply)
            assert refused.code == "unbound"
        s.end()
    assert rows(tmp_path / "kept", "SELECT count(*) FROM outcomes") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--set", "broker.key=/nowhere/broker.key"), "nowhere"),
        (("--backend", "telepathy"), "telepathy"),
        (("--port", "5555", "--bind", "tcp://127.0.0.1:1"), "give one of them"),
        (("--http", "localhost"), "HOST:PORT"),
        (("--bind", "tcp://0.0.0.0:*"), "metabonk keys new"),
        (("--set", "broker.allow=allow.toml"), "allow.toml"),
        (("--set", "broker.drain=-1"), "broker.drain"),
        (("--backend", "openai", "--url", "http://127.0.0.1:9"), "127.0.0.1:9"),
    ],
)
def test_settings_that_cannot_be_are_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], match: str
) -> None:
    assert match in refused(capsys, tmp_path, "--http", "", *arguments)


def test_a_second_server_at_a_socket_leaves_the_first_one_its_agents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took the socket's file before it found the journal locked: the first ran on, alone."""
    bind = f"ipc://{tmp_path}/broker.sock"
    with server(tmp_path / "kept", bind=bind) as s:
        said = refused(capsys, tmp_path / "kept", "--http", "", "--bind", bind)
        assert f"{bind}: address already in use; is another broker there?" in said
        with Peer(s.endpoint) as peer:
            assert isinstance(peer.hello(), w.Welcome)
            assert peer.ask().status == "ok"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "example.org"])
@pytest.mark.parametrize("secured", [False, True])
def test_pages_are_this_machines_unless_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, secured: bool
) -> None:
    """Keys do not open them either: nobody is asked for one there."""
    words = ["--http", f"{host}:0", "--bind", "tcp://127.0.0.1:*", "--seconds", "1"]
    if secured:
        public = [keys.read_pair(keys.new(n, tmp_path)[0]).public for n in ("broker", "a")][1]
        allow = tmp_path / "allow.toml"
        allow.write_text(f'[agents]\n"a" = "{public}"\n')
        words += ["--key", str(tmp_path / "broker.key"), "--allow", str(allow)]
    said = refused(capsys, tmp_path / "kept", *words)
    assert f"--http {host}:0" in said
    assert "--set broker.http_open=true" in said


def test_pages_are_open_where_that_is_said(tmp_path: Path) -> None:
    with server(tmp_path, "--set", "broker.http_open=true", http="0.0.0.0:0") as s:
        assert s.url.startswith("http://0.0.0.0:")
        assert s.page("/healthz") == (200, "ok\n")


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    with server(tmp_path) as s:
        s.process.send_signal(signal.SIGINT)
        assert s.process.wait(HANG) == 0


def test_deployed_agents_of_version_1_are_served(tmp_path: Path) -> None:
    """As their client does it: its name as identity, one part, and one part expected back."""
    frames = [base64.b64encode(jpeg(n)).decode() for n in (1, 2, 3, 4, 5, 6, 7, 8, 5)]
    with server(tmp_path) as s, Peer(s.endpoint, identity="omega-0") as old:
        for turn in range(3):
            words = {
                "agent_id": "omega-0", "frames": frames, "timestamp": time.time(),
                "state": {"health": 0.2, "position": [4.0, 5.0], "enemies_nearby": 3, "level": 2},
            }  # fmt: skip
            old.socket.send(json.dumps(words).encode(), zmq.NOBLOCK)
            assert old.socket.poll(HANG * 1000)
            parts = old.socket.recv_multipart()
            assert len(parts) == 1, "an empty part would be taken for the answer"
            answer = json.loads(parts[0])
            assert answer["agent_id"] == "omega-0"
            assert answer["status"] == "ok"
            directive = answer["directive"]
            assert (directive["action"], directive["priority"]) == ("retreat", "critical"), turn
            assert "target" not in directive, "nobody said where the three are"
        old.socket.send(b'{"agent_id": "omega-0", "frames": ["junk"], "state": {}}')
        assert old.socket.poll(HANG * 1000)
        answer = json.loads(old.socket.recv())
        assert (answer["error"], answer["directive"]) == (True, {})
        assert s.metric("v1_total") == 3
        with Peer(s.endpoint, "omega-0") as new:
            refused = new.hello()
            assert isinstance(refused, w.Reply)
            assert refused.code == "taken", "nor does a newer protocol take over a name"
        s.end()
    assert rows(tmp_path, "SELECT count(*), max(protocol) FROM decisions") == [(3, 1)]


def test_what_version_1_says_is_kept_as_it_was_decided_by(tmp_path: Path) -> None:
    """How many are near, as the rules knew it; and pictures once it tells what came of decisions,
    by which version 1 alone can say that it logs."""
    with server(tmp_path) as s, Peer(s.endpoint, identity="omega-0") as old:
        for outcome in ({}, {"outcome": {"reward": 2.0}}, {"outcome": {"reward": 3.0}}):
            words = {
                "agent_id": "omega-0", "frames": [base64.b64encode(jpeg(1)).decode()],
                "state": {"health": 0.2, "position": [4.0, 5.0], "enemies_nearby": 3}, **outcome,
            }  # fmt: skip
            old.socket.send(json.dumps(words).encode())
            assert old.socket.poll(HANG * 1000)
            assert json.loads(old.socket.recv())["directive"]["action"] == "retreat"
        s.end()
    with Log(tmp_path) as log:
        found = sorted(log.rows(), key=lambda row: row.sequence)
    assert [len(row.frames) for row in found] == [0, 1]
    assert {(row.near, row.crowd, len(row.state.entities)) for row in found} == {(3, 3, 0)}
    for row in found:
        question = row.asked()
        again = Strategist().decide(question.packed, question.in_force, question.crowd)
        assert again.directive == row.directive
        assert Strategist().decide(row.packed).directive != row.directive, "the control"
        told = known_layout(row)
        assert told["action"] == {
            "action": "retreat", "duration_seconds": 4.0, "priority": "critical"
        }  # fmt: skip
        assert told["state"]["enemies_nearby"] == 3
