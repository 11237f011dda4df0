"""config.py: four sources, one order, and errors that say which key to fix and how."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk import config, machine
from metabonk.config import Config, flags_of, load
from metabonk.environment import KNOWN
from metabonk.errors import ConfigError

# Every variable that scripts and documents of the system's users set.
EXPECTED = re.findall(
    r"\w+",
    """
USE_BONKLINK BONKLINK_HOST BONKLINK_PORT BONKLINK_USE_PIPE BONKLINK_PIPE_NAME USE_RESEARCH_SHM
USE_VLM_MENU MENU_GOAL VLM_MENU_MODEL USE_CAUSAL CAUSAL_HORIZON_S USE_SIMA2 SIMA2_GOAL SIMA2_LOG
SIMA2_LOAD_CPQE SIMA2_PUSH_ROLLOUTS SIMA2_USE_SKILLS TRAIN_CPQE USE_DREAM_TRAINING DREAM_HORIZON
DREAM_STARTS DREAM_GAMMA DREAM_ACTOR_LR DREAM_ACTION_NOISE DREAM_DISTILL_COEF USE_ACTIVE_INFERENCE
LLM_AUTO_MERGE USE_LLM_SKILL_COMPOSER LLM_SKILL_SELECT_ALL USE_LLM_PBT_WEIGHTS SKILL_DB_PATH
LLM_BACKEND LLM_MODEL VIDEO_ROLLOUTS_PT_DIR COGNITIVE_SERVER_URL STRATEGY_FREQUENCY SYSTEM2_ENABLED
RL_LOGGING CPU CUDA
""",
)


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        "[ppo]\nclip = 0.3\ngamma = 0.5\nepochs = 9\n[game]\nname = 'gym/CartPole-v1'\n"
    )
    environ = {"METABONK_PPO_GAMMA": "0.6", "METABONK_PPO_EPOCHS": "8", "HOME": "/root"}
    loaded = load(file, environ=environ, flags={"ppo.epochs": 7, "run.seed": None})
    assert loaded.game.name == "gym/CartPole-v1"
    assert (loaded.ppo.clip, loaded.ppo.gamma, loaded.ppo.epochs) == (0.3, 0.6, 7)
    assert loaded.ppo.gae_lambda == Config().ppo.gae_lambda
    assert loaded.run.seed == 0


def test_presets_stand_in_for_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[ppo]\nclip = 0.3\n[game]\nname = 'a'\n")
    preset = {"ppo.clip": 0.7, "ppo.gamma": 0.7, "ppo.epochs": 7, "game.envs": 16}
    loaded = load(
        file,
        presets=lambda game: preset if game == "b" else {},
        environ={"METABONK_PPO_GAMMA": "0.4", "METABONK_GAME_NAME": "b"},
        flags={"ppo.epochs": 5},
    )
    found = (loaded.ppo.clip, loaded.ppo.gamma, loaded.ppo.epochs, loaded.game.envs)
    assert found == (0.3, 0.4, 5, 16)
    with pytest.raises(ConfigError, match="preset: there is no setting"):
        load(presets=lambda game: {"ppo.clp": 1}, environ={})


def test_text_takes_the_type_of_its_key() -> None:
    flags = {"game.pixels": "84x96", "run.video": "off", "run.record": "1", "ppo.anneal": "false"}
    loaded = load(environ={}, flags=flags)
    assert loaded.game.pixels == (84, 96)
    assert (loaded.run.video, loaded.run.record, loaded.ppo.anneal) == (False, True, False)
    assert load(environ={}, flags={"game.pixels": "[84, 96]"}).game.pixels == (84, 96)


def test_a_flag_that_was_not_given_leaves_what_set_assigns() -> None:
    named = {"run.steps": None, "run.seed": 7, "run.record": False}
    found = flags_of(["run.steps=500", "run.seed = 3", "game.name=arena"], named)
    assert found == {
        "run.steps": "500",
        "run.seed": 7,
        "run.record": False,
        "game.name": "arena",
    }
    with pytest.raises(ConfigError, match=r"--set ppo\.clip: write it as section\.key=value"):
        flags_of(["ppo.clip"], {})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ppo.clp": "1"}, r"no setting 'ppo.clp': did you mean 'ppo.clip'"),
        ({"clip": "1"}, r"did you mean 'ppo.clip'"),
        ({"qqqq": "1"}, r"`metabonk config` lists them all"),
        ({"ppo.clip": "-1"}, r"ppo.clip = '-1': must be a number > 0 \(How far"),
        ({"ppo.clip": "x"}, r"must be a number > 0"),
        ({"ppo.gamma": 1.5}, r"must be a number >= 0 and <= 1"),
        ({"run.seed": 0.5}, r"run.seed = '0.5': must be a whole number >= 0"),
        ({"model.name": "gru"}, r"must be one of mlp, conv, pilot, mamba"),
        ({"run.video": "maybe"}, r"must be true or false"),
        ({"game.pixels": "84"}, r"two whole numbers"),
        ({"game.pixels": "84x0"}, r"HEIGHTxWIDTH, or 0x0"),
        ({"ppo.burn_in": 64}, r"must be below ppo.horizon"),
        ({"world.burn_in": 64}, r"world\.burn_in = 64: must be below world\.sequence = 64"),
        ({"world.sequence": 8}, r"world\.burn_in = 8: must be below world\.sequence = 8"),
    ],
)
def test_errors_name_key_and_remedy(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(environ={}, flags=flags)


@pytest.mark.parametrize("value", ["inf", "nan", float("inf"), float("-inf"), float("nan")])
def test_numbers_that_no_file_could_hold_are_refused(value: object) -> None:
    """TOML that `to_toml` writes has to be read again, by whoever resumes the run."""
    with pytest.raises(ConfigError, match=r"run\.minutes = .*: must be a number >= 0"):
        load(flags={"run.minutes": value}, environ={})
    assert load(flags={"run.minutes": "1e300"}, environ={}).run.minutes == 1e300


def test_errors_name_the_source(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[ppo]\nclip = 'wide'\n")
    with pytest.raises(ConfigError, match=r"run\.toml: ppo\.clip"):
        load(file, environ={})
    with pytest.raises(ConfigError, match=r"METABONK_RUN_SEED: run\.seed = '-1'"):
        load(environ={"METABONK_RUN_SEED": "-1"})
    with pytest.raises(ConfigError, match="no such configuration file"):
        load(tmp_path / "missing.toml", environ={})
    file.write_text("clip = 3\n")
    with pytest.raises(ConfigError, match=r"outside a table"):
        load(file, environ={})
    file.write_text("[ppo\n")
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 1"):
        load(file, environ={})


@pytest.mark.parametrize("name", EXPECTED)
def test_every_name_in_use_is_known(name: str) -> None:
    if "METABONK_" + name in {s.variable for s in config.settings().values()}:
        return  # the key's own variable
    variable = {v.name: v for v in KNOWN}["METABONK_" + name]
    notices: list[str] = []
    load(environ={variable.name: variable.default}, notice=notices.append)
    if variable.key or variable.build:
        assert not notices
    else:
        assert notices == [f"{variable.name} is known but not built yet: it has no effect"]


def test_the_table_is_sound() -> None:
    names = [v.name for v in KNOWN]
    assert len(set(names)) == len(names)
    known = config.settings()
    for variable in KNOWN:
        assert variable.help.endswith(".")
        if variable.key:
            assert variable.key in known
    assert not {s.variable for s in known.values()} & set(names)


def test_other_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean METABONK_SIMA2_GOAL"):
        load(environ={"METABONK_SIMA2_GAOL": "x"})
    with pytest.raises(ConfigError, match="did you mean METABONK_PPO_LEARNING_RATE"):
        load(environ={"METABONK_PPO_LEARNINGRATE": "x"})
    load(environ={"MEGABONK_OTHER": "x", "PATH": "/bin"})


def test_a_name_without_effect_warns_by_default() -> None:
    with pytest.warns(UserWarning, match="METABONK_USE_CAUSAL is known but not built yet"):
        load(environ={"METABONK_USE_CAUSAL": "1"})


def test_every_key_has_a_variable_that_sets_it() -> None:
    for setting in config.settings().values():
        assert setting.help.endswith("."), setting.key
        text = config.as_text(setting.default)
        expected = Config()
        if setting.key in ("dream.enabled", "efe.enabled"):  # who asks for them asks for more
            expected.world.enabled = True
        assert load(environ={setting.variable: text}) == expected, setting.key


@given(
    st.builds(
        Config,
        ppo=st.builds(
            config.PPOConfig,
            learning_rate=st.floats(1e-12, 1e3),
            gamma=st.floats(0, 1),
            anneal=st.booleans(),
        ),
        game=st.builds(
            config.GameConfig, name=st.text(max_size=9), pixels=st.sampled_from([(0, 0), (84, 96)])
        ),
    )
)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Config) -> None:
    file = tmp_path_factory.mktemp("toml") / "config.toml"
    file.write_text(config.to_toml(value), encoding="utf-8")
    loaded = load(file, environ={})
    assert loaded == value
    assert msgspec.to_builtins(loaded) == msgspec.to_builtins(value)


def test_cpu_variable_caps_the_native_tier() -> None:
    if not machine.core_built():
        pytest.skip("the native core is not built")
    code = "from metabonk import config; print(config.cap_cpu())"
    environ = {**os.environ, "METABONK_CPU": "baseline"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "baseline"


def test_only_configuration_and_its_table_of_names_read_the_environment() -> None:
    root = Path(config.__file__).parent
    reads = re.compile(r"os\.environ|os\.getenv|\bgetenv\(")
    readers = {str(p.relative_to(root)) for p in root.rglob("*.py") if reads.search(p.read_text())}
    assert readers == {"config.py", "environment.py"}


def test_a_configuration_outweighs_the_variable_later() -> None:
    if not machine.core_built():
        pytest.skip("the native core is not built")
    code = (
        "from metabonk import config, games\n"
        "print(config.cap_cpu(config.load(flags={'native.cpu': 'baseline'})))\n"
        "games.make('arena')\n"
        "print(config.cap_cpu())"
    )
    environ = {**os.environ, "METABONK_CPU": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["baseline", "baseline"]


def test_to_ask_for_dreams_is_to_ask_for_a_world_model(tmp_path: Path) -> None:
    """By whatever name; unless the same source says otherwise, and no later one is asked again."""
    usual = Config()
    assert usual.dream.enabled
    assert usual.efe.enabled
    assert not usual.world.enabled  # so that nobody dreams who was not asked to
    file = tmp_path / "run.toml"
    for key in ("dream.enabled", "efe.enabled"):
        section = key.partition(".")[0]
        file.write_text(f"[{section}]\nenabled = true\n")
        alias = {"dream": "METABONK_USE_DREAM_TRAINING", "efe": "METABONK_USE_ACTIVE_INFERENCE"}
        for asked in (
            load(file, environ={}),
            load(environ={alias[section]: "1"}),
            load(environ={f"METABONK_{section.upper()}_ENABLED": "yes"}),
            load(environ={}, flags={key: True}),
            load(environ={}, presets=lambda _, key=key: {key: True}),
        ):
            assert asked.world.enabled
        off = load(environ={alias[section]: "0"}, flags={"world.enabled": True})
        assert off.world.enabled
        assert not getattr(off, section).enabled
        assert not load(environ={}, flags={key: False}).world.enabled
        assert not load(environ={}, flags={key: True, "world.enabled": False}).world.enabled
    file.write_text(config.to_toml(usual))  # what a run without a world model keeps of itself
    assert not load(file, environ={}).world.enabled
    assert load(file, environ={}, flags={"dream.enabled": True}).world.enabled
    refused = load(environ={"METABONK_DREAM_ENABLED": "1"}, flags={"world.enabled": False})
    assert not refused.world.enabled


@pytest.mark.parametrize(
    ("flags", "environ", "told"),
    [
        ({"world.start": "runs/dreams"}, {}, "world.start"),
        ({"efe.curiosity": 2.0}, {"METABONK_DREAM_HORIZON": "30"}, "dream.horizon, efe.curiosity"),
        ({"dream.horizon": 3}, {"METABONK_DREAM_HORIZON": "30"}, "dream.horizon"),
        ({"world.enabled": True, "dream.horizon": 3}, {}, ""),
        ({"world.intrinsic": 0.1, "dream.horizon": 3}, {}, ""),
        ({"dream.enabled": True, "dream.horizon": 3}, {}, ""),  # which asks for the model as well
        ({"world.enabled": False, "dream.horizon": 3}, {}, ""),  # nor is anything expected
        ({"dream.enabled": False, "dream.horizon": 3, "efe.starts": 9}, {}, "efe.starts"),
        ({"dream.recordings": "demos"}, {}, ""),  # another verb reads it
        ({"ppo.clip": 0.1}, {}, ""),
    ],
)
def test_settings_of_dreams_without_a_world_model_are_told(
    flags: dict[str, object], environ: dict[str, str], told: str, tmp_path: Path
) -> None:
    """To whoever trains; other verbs need no world model. What a game has by itself was not set."""
    notices: list[str] = []
    usual = {"world.deter": 64, "dream.starts": 9}
    load(flags=flags, environ=environ, presets=lambda _: usual, notice=notices.append)
    said = f"nothing reads {told} without a world model: --set world.enabled=1"
    assert notices == ([said] if told else [])
    load(flags=flags, environ=environ, notice=notices.append)
    kept = tmp_path / "run.toml"
    kept.write_text(config.to_toml(Config()))
    load(kept, environ={}, presets=lambda _: usual, notice=notices.append)
    assert len(notices) == bool(told)


NO_DREAMS, NO_EFE = "[dream]\nenabled = false\n", "[efe]\nenabled = false\n"
GAUSSIAN = "[world]\nclasses = 0\n"


@pytest.mark.parametrize(
    ("file", "flags", "told"),
    [
        ("", {"efe.curiosity": 2.0, "dream.passes": 3, "world.unimix": 0.1}, ""),
        (NO_EFE, {"efe.curiosity": 2.0}, "nothing reads efe.curiosity without active inference"),
        (NO_EFE, {"efe.curiosity": 2.0, "efe.enabled": True}, ""),
        ("", {"efe.curiosity": 2.0, "efe.enabled": False}, ""),  # whoever says so knows
        ("", {"efe.distill_coef": 0.0}, "efe.distill_coef = 0: active inference .* teaches nobody"),
        (NO_EFE, {}, ""),
        (NO_DREAMS + NO_EFE, {"dream.horizon": 3}, "nothing reads dream.horizon as nobody dreams"),
        (NO_DREAMS, {"dream.horizon": 3}, ""),  # active inference dreams as far
        (NO_DREAMS, {"dream.starts": 3}, "nothing reads dream.starts without the dreamer"),
        ("", {"dream.passes": 3, "dream.share": 0.0}, "nothing reads dream.passes unless"),
        ("", {"dream.passes": 3, "dream.distill_coef": 0.0}, "nothing reads dream.passes unless"),
        ("", {"dream.passes": 3, "game.envs": 1}, "nothing reads dream.passes unless"),
        (GAUSSIAN, {"world.unimix": 0.1}, "nothing reads world.unimix where .* Gaussians"),
        (GAUSSIAN, {"world.unimix": 0.01}, ""),  # as it is anyway
        ("", {"cpqe.hidden": 64}, "nothing reads cpqe.hidden without a motor"),
        ("", {"cpqe.hidden": 64, "cpqe.enabled": True}, ""),
        ("", {"cpqe.hidden": 64, "cpqe.enabled": False}, ""),
        ("", {"cpqe.enabled": True, "model.name": "mlp"}, "nothing reads cpqe.enabled where .* no"),
        ("", {"cpqe.enabled": False, "model.name": "mlp"}, ""),
    ],
)
def test_what_nothing_reads_beside_a_world_model_is_told(
    file: str, flags: dict[str, object], told: str, tmp_path: Path
) -> None:
    """Who dreams is on by default: what is off here was turned off elsewhere."""
    path = tmp_path / "metabonk.toml"
    path.write_text(file)
    notices: list[str] = []
    usual = {"world.enabled": True}
    load(path, flags=flags, environ={}, presets=lambda _: usual, notice=notices.append)
    assert [bool(re.match(told, line)) for line in notices] == ([True] if told else [])
    load(path, flags=flags, environ={}, notice=notices.append)  # nobody trains
    assert len(notices) == bool(told)


def test_every_name_with_pilot_in_it_is_a_pilots() -> None:
    for name in ("pilot", "pilot-large", "my_pilot.2"):
        assert load(environ={}, flags={"model.name": name}).model.name == name
    for name in ("pilo", "mlp2", "pilot\n", "a pilot", "../pilot", ""):
        with pytest.raises(ConfigError, match="or a name with pilot in it, as pilot-large"):
            load(environ={}, flags={"model.name": name})


def test_an_alias_and_the_own_name_must_agree() -> None:
    """For every alias: neither wins silently over the other, in whatever order they stand."""
    aliases = [v for v in KNOWN if v.key and not v.value]
    assert aliases
    for alias in aliases:
        setting = config.settings()[alias.key]
        texts = {
            "native.cpu": ("baseline", "avx2"),
            "game.host": ("games.local", "10.0.0.7"),
            "game.port": ("5560", "5561"),
            "game.use_pipe": ("1", "0"),
            "game.pipe_name": ("A", "B"),
            "game.research_dir": ("/tmp", "/dev/shm"),
            "dream.enabled": ("1", "0"),
            "dream.learning_rate": ("0.001", "0.002"),
            "efe.enabled": ("1", "0"),
            "dream.recordings": ("rollouts", "demos"),
            "cpqe.enabled": ("1", "0"),
            "menu.enabled": ("1", "0"),
            "menu.model": ("llava:7b", "other"),
            "cognition.server": ("tcp://127.0.0.1:5556", "ipc:///tmp/c"),
            "cognition.every": ("1.5", "2.5"),
            "cognition.enabled": ("1", "0"),
            "cognition.rl_logging": ("1", "0"),
            "sima2.enabled": ("1", "0"),
        }[alias.key]
        for first, second in ((alias.name, setting.variable), (setting.variable, alias.name)):
            both = {first: texts[0], second: texts[1]}
            with pytest.raises(ConfigError, match=f"{first} and {second} both set {alias.key}"):
                load(environ=both)
            agreed = load(environ={first: texts[0], second: texts[0]})
            assert agreed == load(environ={setting.variable: texts[0]})
            assert agreed == load(environ={alias.name: texts[0]})


@pytest.mark.parametrize("name", ["METABONK_CPU", "METABONK_NATIVE_CPU"])
def test_either_name_caps_the_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    support = pytest.importorskip("metabonk._core").support
    before = support.active_tier()
    monkeypatch.setattr(config, "_CONFIGURED", [])
    for other in ("METABONK_CPU", "METABONK_NATIVE_CPU"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "baseline")
    try:
        assert config.cap_cpu() == "baseline"
    finally:
        support.cap_tier(before)


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:5555", "tcp://localhost", "tcp://[::1]", "tcp://[::1]:5555"]
)
def test_a_game_and_a_cognitive_server_at_one_port_are_told(url: str) -> None:
    """5555 is where a server is asked whose address says no port."""
    environ = {"METABONK_COGNITIVE_SERVER_URL": url}
    asked = {"game.name": "bonklink", "game.port": 5555}
    with pytest.raises(ConfigError, match="cannot both be there: give one of them"):
        load(environ=environ, flags=asked)
    load(environ=environ, flags=asked | {"game.port": 5556})
    load(environ=environ, flags=asked | {"game.host": "10.0.0.7"})
    load(environ={"METABONK_COGNITIVE_SERVER_URL": "tcp://10.0.0.7"}, flags=asked)
