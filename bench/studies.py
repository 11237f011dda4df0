"""The studies there are, by name. Knows them; does not know how a study is run (study.py)."""

from __future__ import annotations

from .study import Study
from .study_ablate import AblateStudy
from .study_cells import CellsStudy
from .study_doom import DoomStudy
from .study_dreams import DreamStudy, HorizonStudy
from .study_efe import EfeStudy
from .study_motor import MotorStudy
from .study_pretrain import PretrainStudy
from .study_world import CELLS, STATE, WorldStudy

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        WorldStudy("world", CELLS, {"full": 60.0, "quick": 3.0}),
        WorldStudy("arena", STATE, {"full": 55.0, "quick": 0.0}),
        DreamStudy(),
        HorizonStudy(),
        PretrainStudy(),
        DoomStudy(),
        EfeStudy(),
        AblateStudy(),
        CellsStudy(),
        MotorStudy(),
    )
}
