"""The words that settings take, and the variables of wandb that say the same in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args

from store.settings_sources import FLAG, PATH, Variable, choice, flag_from_text

Mode = Literal["auto", "online", "offline", "disabled"]
Resume = Literal["allow", "must", "never", "auto"]
Console = Literal["wrap", "off"]
Journal = Literal["auto", "mmap", "write"]
Agent = Literal["auto", "process", "thread", "off"]
Disk = Literal["auto", "local", "shared"]
StartMethod = Literal["fork", "spawn", "thread"]

MODE: Final = choice(get_args(Mode), {"dryrun": "offline", "run": "online"})
RESUME: Final = choice(get_args(Resume))
CONSOLE: Final = choice(get_args(Console))
JOURNAL: Final = choice(get_args(Journal))
AGENT: Final = choice(get_args(Agent))
DISK: Final = choice(get_args(Disk))
START_METHOD: Final = choice(get_args(StartMethod))

_CONSOLE_WORDS: Final = choice(("off", "wrap", "auto", "wrap_raw", "wrap_emu", "redirect"))


def _unless(name: str) -> Variable:
    """A variable that, when true, makes the setting false."""
    return Variable(name, FLAG.allowed, lambda text: not flag_from_text(text))


WANDB_CONSOLE: Final = Variable(
    "WANDB_CONSOLE",
    _CONSOLE_WORDS.allowed,
    lambda text: "off" if _CONSOLE_WORDS.parse(text) == "off" else "wrap",
)
WANDB_DIR: Final = Variable(
    "WANDB_DIR", PATH.allowed, lambda text: Path(str(PATH.parse(text)), ".store")
)
WANDB_MODE: Final = (
    Variable(
        "WANDB_DISABLED", FLAG.allowed, lambda text: "disabled" if flag_from_text(text) else None
    ),
    Variable("WANDB_MODE", MODE.allowed, MODE.parse),
)
WANDB_GIT: Final = _unless("WANDB_DISABLE_GIT")
WANDB_STATS: Final = (_unless("WANDB_X_DISABLE_STATS"), _unless("WANDB__DISABLE_STATS"))
WANDB_STATS_INTERVAL: Final = "WANDB_X_STATS_SAMPLING_INTERVAL"
