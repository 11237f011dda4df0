"""Processor tiers and threads."""



def detected_tier() -> str:
    """Name of the highest instruction-set tier this processor has."""

def active_tier() -> str:
    """Name of the tier in use: the lower of the detected one and the cap."""

def cap_tier(tier: str) -> None:
    """Caps the tier: baseline, avx2 or avx512. Raises ValueError."""

def detected_extension() -> str:
    """
    What this processor has beyond AVX-512: none, vnni, bf16 or amx, each with those before it.
    """

def active_extension() -> str:
    """
    The extension in use: the lower of the detected one and the cap, none below AVX-512.
    """

def cap_extension(extension: str) -> None:
    """Caps the extension: none, vnni, bf16 or amx. Raises ValueError."""

def hardware_threads() -> int:
    """How many threads the machine runs at once."""

def nvtx_libraries() -> list[str]:
    """Names of the libraries that enable_nvtx looks for."""

def enable_nvtx() -> None:
    """
    From now on native ticks are ranges of NVTX. Raises RuntimeError where none of its libraries is found.
    """
