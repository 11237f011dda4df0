"""Our plugins into a game's folder: built against it, put there, kept up to date, taken out."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
from pathlib import Path

import pytest
from csharp import PLUGINS, ROOT, Peer, compile_for_dotnet, compiler, dotnet_folder
from typer.testing import CliRunner

from metabonk.cli.plugins import app
from metabonk.errors import GameError
from metabonk.games import plugin_build, plugin_folder, plugin_stamp
from metabonk.games.plugin_settings import merged

OURS = "BepInEx/plugins/MetaBonk"
CONFIG = "BepInEx/config/com.metabonk.bonklink.cfg"


@pytest.fixture
def game(tmp_path: Path) -> Path:
    folder = tmp_path / "Megabonk"
    for name in ("Megabonk.exe", "GameAssembly.dll", "BepInEx/core/BepInEx.Unity.IL2CPP.dll"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"MZ")
    (folder / "Megabonk_Data").mkdir()
    (folder / "BepInEx/interop").mkdir()
    return folder


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    folder.mkdir()
    for name in plugin_build.PARTS.values():
        (folder / name).write_bytes(b"MZ " + name.encode())
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def install(game: Path, built: Path, **options: object) -> plugin_folder.Report:
    return plugin_folder.install(game, built, plugin_build.defaults(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bonklink", "research"])
def test_the_settings_that_are_shipped_are_the_plugins_own(peer: Peer, name: str) -> None:
    plugin = {"bonklink": "BonkLink", "research": "ResearchPlugin"}[name]
    shipped = (PLUGINS / plugin / f"com.metabonk.{name}.cfg").read_bytes()
    assert peer.run("defaults", name) == shipped


def test_settings_are_read_by_the_plugin(peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "new" / "com.metabonk.bonklink.cfg"
    assert peer.run("options", path).decode() == "127.0.0.1 5555 Auto Jpeg False 60 250\n"
    assert path.read_text() == plugin_build.defaults()["com.metabonk.bonklink.cfg"]
    path.write_text(
        "\ufeff[link]\r\nPORT = 5561\r\nProtocol=V2\r\n# note\r\n[Capture]\r\n"
        "EnableInputSnapshot = True\r\nFrameFormat = raw_rgb\r\nFrameHz = 12.5\r\nNew = 1\r\n"
    )
    out = peer.run("options", path).decode().splitlines()
    assert out == ["127.0.0.1 5561 V2 Rgb True 12.5 250", "unknown [Capture] New"]
    for line, word in {
        "[Link]\nPort = 70000": "Port = 70000: a whole number 0..65535 is wanted",
        "[Link]\nProtocol = v3": "auto | v1 | v2 is wanted",
        "[Capture]\nEnableInputSnapshot = maybe": "true or false is wanted",
        "[Capture]\nFrameHz = NaN": "a number 0..240 is wanted",
        "what is this": "line 1",
    }.items():
        path.write_text(line)
        assert word in peer.fail("options", path)


def test_installing_is_whole_and_happens_once(game: Path, built: Path) -> None:
    report = install(game, built)
    assert {change.what for change in report.changes} == {"installed"}
    assert not report.backup
    names = {path.name for path in (game / OURS).iterdir()}
    assert names == {"BonkLink.dll", "Metabonk.Core.dll", "Metabonk.Game.dll"}
    assert (game / CONFIG).read_text() == plugin_build.defaults()[Path(CONFIG).name]
    before = tree(game)
    again = install(game, built)
    assert not again.changed
    assert {change.what for change in again.changes} == {"current"}
    assert tree(game) == before


def test_what_is_replaced_is_kept(game: Path, built: Path) -> None:
    install(game, built)
    (built / "BonkLink.dll").write_bytes(b"MZ newer")
    older = game / "BepInEx/plugins/BonkLink"
    older.mkdir()
    (older / "BonkLink.dll").write_bytes(b"MZ of before")
    before = tree(game)
    dry = install(game, built, dry=True)
    assert tree(game) == before
    report = install(game, built)
    assert [c.what for c in report.changes] == [c.what for c in dry.changes]
    assert {c.path: c.what for c in report.changes if c.what != "current"} == {
        "BepInEx/plugins/BonkLink": "removed",
        f"{OURS}/BonkLink.dll": "updated",
    }
    assert not older.exists()  # it would have been loaded a second time
    kept = tree(Path(report.backup))
    assert kept[f"{OURS}/BonkLink.dll"] == before[f"{OURS}/BonkLink.dll"]
    assert kept["BepInEx/plugins/BonkLink/BonkLink.dll"] == b"MZ of before"
    assert (game / OURS / "BonkLink.dll").read_bytes() == b"MZ newer"
    (built / "BonkLink.dll").write_bytes(b"MZ newest")
    assert install(game, built).backup != report.backup


def test_settings_of_the_owner_stay(game: Path, built: Path) -> None:
    path = game / CONFIG
    path.parent.mkdir(parents=True)
    mine = "## mine\n[Link]\nPort = 5570\n\n[Other]\nThing = 3\n"
    path.write_text(mine)
    report = install(game, built, settings={"capture.enableinputsnapshot": "true"})
    text = path.read_text()
    assert text.startswith("## mine\n[Link]\nPort = 5570\n")
    assert "Thing = 3" in text
    assert "EnableInputSnapshot = true" in text
    assert text.count("Port = ") == 1
    assert tree(Path(report.backup))[CONFIG] == mine.encode()
    assert not install(game, built).changed


def test_the_plugin_reads_merged_settings(peer: Peer, tmp_path: Path) -> None:
    defaults = plugin_build.defaults()["com.metabonk.bonklink.cfg"]
    wanted = {"Capture.FrameHz": "30", "Link.Protocol": "v1"}
    text, used = merged("[Link]\nPort = 5570\n[Capture]\nWidth = 100\n", defaults, wanted)
    assert used == set(wanted)
    (tmp_path / "a.cfg").write_text(text)
    out = peer.run("options", tmp_path / "a.cfg").decode()
    assert out == "127.0.0.1 5570 V1 Jpeg False 30 250\n"
    assert merged(text, defaults, {}) == (text, set())
    assert merged(text, defaults, wanted)[0] == text


def test_removing_leaves_the_game_as_it_was(game: Path, built: Path) -> None:
    before = tree(game)
    install(game, built, plugins=["BonkLink", "ResearchPlugin"])
    report = plugin_folder.remove(game)
    left = {k: v for k, v in tree(game).items() if "MetaBonk-backups" not in k}
    assert left == before
    assert f"{OURS}/ResearchPlugin.dll" in tree(Path(report.backup))
    assert not plugin_folder.remove(game).changed


@pytest.mark.parametrize(
    ("missing", "word"),
    [
        ("Megabonk.exe", "not the game's folder"),
        ("Megabonk_Data", "verify"),
        ("GameAssembly.dll", "verify"),
        ("BepInEx/core/BepInEx.Unity.IL2CPP.dll", "BepInEx 6 for IL2CPP"),
    ],
)
def test_a_folder_that_is_not_the_game_is_refused(
    game: Path, built: Path, missing: str, word: str
) -> None:
    path = game / missing
    path.rmdir() if path.is_dir() else path.unlink()
    before = tree(game)
    with pytest.raises(GameError, match=word):
        install(game, built)
    with pytest.raises(GameError, match=word):
        plugin_folder.remove(game)
    assert tree(game) == before


def test_nothing_is_half_installed(game: Path, built: Path) -> None:
    before = tree(game)
    with pytest.raises(GameError, match="no setting"):
        install(game, built, settings={"Capture.Wdith": "3"})
    with pytest.raises(GameError, match="line break"):
        install(game, built, settings={"Capture.Width": "3\n[Control]"})
    with pytest.raises(GameError, match="'Other' is none"):
        install(game, built, plugins=["Other"])
    (built / "BonkLink.dll").write_bytes(b"not one")
    with pytest.raises(GameError, match="no assembly"):
        install(game, built)
    (built / "Metabonk.Game.dll").unlink()
    with pytest.raises(GameError, match="build the plugins first"):
        install(game, built)
    assert tree(game) == before


def test_the_verb(game: Path, built: Path) -> None:
    runner = CliRunner()
    words = ["--game-dir", str(game), "--built", str(built), "--json"]
    done = runner.invoke(app, [*words, "--set", "Link.Port=5562"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["changed"]
    assert "Port = 5562" in (game / CONFIG).read_text()
    assert not json.loads(runner.invoke(app, words).stdout)["changed"]
    assert "nothing to do" in runner.invoke(app, words[:-1]).stdout
    assert runner.invoke(app, [*words, "--set", "Port=1"]).exit_code != 0
    assert json.loads(runner.invoke(app, [*words, "--remove"]).stdout)["changed"]


def test_the_script_builds_unless_it_is_told_what_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "scripts" / "update_plugins.py"
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("update_plugins", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.words(["--game-dir", "g"], False) == ["plugins", "--build", "--game-dir", "g"]
    assert script.words(["--game-dir", "g"], True) == ["plugins", "--game-dir", "g"]
    assert "--build" not in script.words(["--game-dir", "g", "--built=x"], False)


@pytest.fixture
def stubbed(game: Path) -> Path:
    """A game with our stand-ins where BepInEx would have put its classes; their assembly."""
    stubs = game / "BepInEx/interop/Assembly-CSharp.dll"
    compile_for_dotnet(stubs, list((PLUGINS / "Stubs").glob("*.cs")), [])
    folder = dotnet_folder()
    assert folder is not None
    (framework,) = folder.glob("shared/Microsoft.NETCore.App/*")
    (game / "dotnet").symlink_to(framework)
    return stubs


def test_the_plugins_are_built_against_a_games_folder(
    game: Path, stubbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert plugin_build.build(game, out, compiler="mcs") == plugin_build.Built("mcs", anew=True)
    assert plugin_build.defaults(out) == plugin_build.defaults()  # a folder to carry elsewhere
    report = install(game, out, plugins=["BonkLink", "ResearchPlugin"])
    assert f"{OURS}/ResearchPlugin.dll" in {change.path for change in report.changes}
    # The control: a game that has changed is no silent success, nor what was built before.
    stubbed.unlink()
    with pytest.raises(GameError, match="could not build"):
        plugin_build.build(game, out, compiler="mcs")


def test_building_and_installing_again_changes_nothing(
    game: Path, stubbed: Path, tmp_path: Path
) -> None:
    """Though no two builds of mono's compiler are the same."""
    runner = CliRunner()
    words = ["--game-dir", str(game), "--built", str(tmp_path / "out"), "--compiler", "mcs"]
    said = runner.invoke(app, [*words, "--build"])
    assert said.exit_code == 0, said.output
    assert "built by mcs" in " ".join(said.stdout.split())
    before = tree(game)
    again = runner.invoke(app, [*words, "--build"])
    assert "built already, from the same sources" in " ".join(again.stdout.split())
    assert "nothing to do" in again.stdout
    assert tree(game) == before
    assert not (game / "BepInEx/MetaBonk-backups").exists()


def test_what_a_build_depends_on_builds_anew(
    game: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler()  # which is asked for its version
    sources, out = tmp_path / "plugins", tmp_path / "out"
    shutil.copytree(PLUGINS, sources, ignore=shutil.ignore_patterns("build"))
    builds = itertools.count()

    def compiles(game: Path, out: Path, sources: Path) -> None:
        """In place of the compiler, which would take a minute here; no two builds are the same."""
        for name in plugin_build.PARTS.values():
            (out / name).write_bytes(b"MZ %d" % next(builds))

    monkeypatch.setattr(plugin_build, "_mcs", compiles)

    def built() -> bool:
        return plugin_build.build(game, out, sources=sources, compiler="mcs").anew

    assert built()
    assert not built()
    (sources / "Core" / "Faults.cs").open("a").write("// newer\n")
    assert [built(), built()] == [True, False]
    (sources / "BonkLink" / "More.cs").write_text("class More { }\n")
    assert [built(), built()] == [True, False]
    (game / "BepInEx/interop/More.dll").write_bytes(b"MZ")  # of a newer game
    assert [built(), built()] == [True, False]
    (out / "Metabonk.Core.dll").write_bytes(b"MZ of somebody else")
    assert [built(), built()] == [True, False]
    (out / "BonkLink.dll").unlink()
    assert [built(), built()] == [True, False]
    monkeypatch.setattr(plugin_build, "_MCS", [*plugin_build._MCS, "-checked"])
    assert [built(), built()] == [True, False]
    (out / plugin_stamp.NAME).write_text("[]")  # and nonsense is no stamp
    assert [built(), built()] == [True, False]
    settings = sources / "BonkLink" / "com.metabonk.bonklink.cfg"
    settings.write_text("[Link]\nPort = 5\n")  # which nobody compiles
    assert not built()
    assert plugin_build.defaults(out)[settings.name] == "[Link]\nPort = 5\n"


def test_building_needs_a_game_that_has_run(game: Path, tmp_path: Path) -> None:
    (game / "BepInEx/interop").rmdir()
    with pytest.raises(GameError, match="start the game once"):
        plugin_build.build(game, tmp_path / "out")
    (game / "BepInEx/interop").mkdir()
    with pytest.raises(GameError, match="there are auto"):
        plugin_build.build(game, tmp_path / "out", compiler="csc")
