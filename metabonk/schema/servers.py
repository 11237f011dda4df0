"""System 2 from the other side: who answers, the model server, the cognitive server.

Knows the sections `backend`, `vlm` and `broker`. Does not know agents.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from metabonk.schema.means import means


class BackendConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who answers System 2's questions."""

    chain: Annotated[
        str,
        means(
            "Who is asked, in this order, as openai,rules; empty: rules. rules stands behind every "
            "other one."
        ),
    ] = ""
    url: Annotated[
        str,
        means(
            "Model servers of `openai`, separated by commas: each is asked if those before fail."
        ),
    ] = "http://127.0.0.1:30000"
    model: Annotated[
        str, means("Their models, separated by commas; empty: the only one a server has.")
    ] = ""
    key_file: Annotated[str, means("File with the servers' API key; empty: none.")] = ""
    policy: Annotated[str, means("Distilled policy that `policy` answers with: a directory.")] = ""
    mode: Annotated[
        Literal["auto", "score", "schema"],
        means("How answers are held to what fits: score options, or a JSON schema."),
    ] = "auto"
    frames: Annotated[
        int, means("Pictures per question at most; 0: the state alone.", ge=0, le=16)
    ] = 9
    limit: Annotated[int, means("Questions in flight per model server.", ge=1, le=1024)] = 16
    temperature: Annotated[
        float, means("Of answers by JSON schema; scores have none.", ge=0.0, le=2.0)
    ] = 0.0
    explain_seconds: Annotated[
        float,
        means("How long an answer waits for its reasons in words; 0: none.", ge=0.0, le=30.0),
    ] = 0.0
    wait: Annotated[float, means("Seconds until the model servers have to be there.", ge=0.0)] = 0.0
    probe_timeout: Annotated[
        float, means("Seconds per question that finds out what a server can.", gt=0.0)
    ] = 60.0


class VlmConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The model server that `metabonk serve vlm` runs."""

    engine: Annotated[
        Literal["sglang", "vllm", "stand-in"],
        means("What serves the model; stand-in: no model, answers that mean nothing."),
    ] = "sglang"
    environment: Annotated[
        str, means("Virtual environment that the engine is installed in, of its own.")
    ] = "~/.local/share/metabonk/engine"
    model: Annotated[
        str, means("Path or name of the model; microsoft/Phi-3-vision-128k-instruct takes vllm.")
    ] = "Qwen/Qwen3-VL-2B-Instruct-FP8"
    host: Annotated[str, means("Where it listens; beyond this machine only with a key.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, means("And on which port.", ge=1, le=65535)] = 30000
    key_file: Annotated[str, means("File with the API key that it asks for; empty: none.")] = ""
    tensor_parallel: Annotated[int, means("GPUs that share the model.", ge=1, le=64)] = 1
    quantization: Annotated[
        str, means("Of the weights, as awq or fp8; empty: what the model says.")
    ] = ""
    kv_cache: Annotated[
        Literal["auto", "fp8_e4m3", "fp8_e5m2", "bfloat16"], means("Type of the KV cache.")
    ] = "auto"
    running_requests: Annotated[int, means("Requests that run at the same time.", ge=1)] = 64
    memory: Annotated[
        float, means("Share of a GPU's memory for weights and KV cache.", gt=0.0, lt=1.0)
    ] = 0.85
    context: Annotated[int, means("Tokens of a prompt and its answer at most.", ge=512)] = 8192
    frames: Annotated[int, means("Pictures of a prompt at most.", ge=1, le=64)] = 9
    encoder_split: Annotated[
        bool, means("Run the vision encoder as a server of its own, on the next port (sglang).")
    ] = False
    trust_remote_code: Annotated[
        bool, means("Run code that lies beside the model's weights; only if you know it.")
    ] = False
    arguments: Annotated[str, means("More arguments for the engine, as on its command line.")] = ""
    load_seconds: Annotated[float, means("Seconds that loading the model may take.", gt=0.0)] = (
        1200.0
    )
    log: Annotated[
        str, means("File for what the engine says; empty: engine-PORT.log in its environment.")
    ] = ""


class BrokerConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The cognitive server that `metabonk serve cognitive` runs."""

    bind: Annotated[
        str,
        means(
            "Where agents connect, separated by commas: tcp://HOST:PORT or ipc://PATH; beyond this "
            "machine only with keys."
        ),
    ] = "tcp://127.0.0.1:5555"
    http: Annotated[str, means("HOST:PORT of /healthz, /readyz and /metrics; empty: nowhere.")] = (
        "127.0.0.1:5556"
    )
    http_open: Annotated[
        bool,
        means(
            "broker.http may be an address that other machines reach; whoever reaches it reads "
            "agents' names and figures, keys or not."
        ),
    ] = False
    directory: Annotated[str, means("Where decisions and frames are kept.")] = "runs/cognitive"
    frames_mb: Annotated[
        int, means("Megabytes of frames kept, of agents that log (METABONK_RL_LOGGING).", ge=0)
    ] = 1024
    frames_days: Annotated[
        float, means("Days that a frame is kept; 0: while there is room.", ge=0.0)
    ] = 0.0
    journal_mb: Annotated[
        int,
        means(
            "Megabytes of decisions and outcomes kept, the newest; 0: all. What waits for its "
            "outcome is kept for three hours in any case.",
            ge=0,
        ),
    ] = 4096
    journal_days: Annotated[
        float, means("Days that a decision is kept; 0: while there is room.", ge=0.0)
    ] = 0.0
    power_safe: Annotated[
        bool, means("Decisions outlive a power cut too, not only a kill; slower.")
    ] = False
    concurrency: Annotated[
        int, means("Questions with the backend at once at most.", ge=1, le=1024)
    ] = 16
    agents: Annotated[int, means("Agents at once at most.", ge=1, le=4096)] = 256
    memory_mb: Annotated[
        int,
        means("Megabytes of its memory past which all connections are dropped.", ge=256),
    ] = 4096
    drain: Annotated[
        float, means("Seconds that answers on their way have when it ends.", ge=0.0, le=600.0)
    ] = 5.0
    key: Annotated[
        str, means("Its secret key, of `metabonk keys new`; empty: this machine only.")
    ] = ""
    allow: Annotated[str, means("List of agents and their public keys (TOML), with a key.")] = ""
