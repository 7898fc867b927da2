"""How far a program is: a bar on a terminal, elsewhere a line now and then."""

import os
import sys
import time
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

from ocvp.runtime.logs import logger

Item = TypeVar("Item")

LINE_INTERVAL_SECONDS = 60.0
"""Where the output is no terminal, progress prints no line before that, and none more often."""
LONGEST_SECONDS = 600.0
LINE_SHARE = 0.2
"""And one when a further fifth is done, or after the longest time."""
SMOOTHING_SECONDS = 180.0
"""Over about how long the rate is averaged that the time left is reckoned from."""
WIDE = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
NARROW = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
WIDE_COLUMNS = 110
"""What a bar with a long text beside it shows, where there is room and where not."""


class progress(tqdm):  # noqa: N801 - used like the function tqdm
    """A tqdm bar on a terminal; elsewhere some lines, and how it ended, where it takes long.

    Args:
        iterable: What to go through; None where `update` is called by hand.
        description: What is being done, in two or three words.
        unit: What is counted.
        total: How many there are, where `iterable` does not say.
        initial: How many were done before (a resumed run).
        is_shown: Whether to show anything.
        has_long_text: Whether to leave room for the text beside the bar, on a terminal.
    """

    def __init__(
        self,
        iterable: Iterable[Item] | None = None,
        description: str = "",
        unit: str = "video",
        total: int | None = None,
        initial: int = 0,
        is_shown: bool = True,
        has_long_text: bool = False,
    ):
        self._is_terminal, self._has_long_text = sys.stderr.isatty(), has_long_text
        self._last_line, self._has_printed = time.monotonic(), False
        self._last_n: float = initial
        interval = 0.2 if self._is_terminal else 1.0
        super().__init__(
            iterable,
            desc=description,
            unit=f" {unit}",
            total=total,
            initial=initial,
            disable=not is_shown,
            file=sys.stderr,
            mininterval=interval,
            miniters=1,  # tqdm's own would follow the rate as slowly
            smoothing=interval / SMOOTHING_SECONDS,  # weight of what the last interval says
            # A terminal that does not know its size (a container's) would hide the bar.
            **({"dynamic_ncols": True} if _size_is_known() else {"ncols": 100, "nrows": 24}),
        )

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Show the bar, or a line where it is due."""
        if self._is_terminal:
            if self._has_long_text:
                columns = self.format_dict["ncols"] or 0
                self.bar_format = WIDE if columns >= WIDE_COLUMNS else NARROW
            return super().display(*args, **kwargs)
        seconds = time.monotonic() - self._last_line
        is_far = self.n - self._last_n >= LINE_SHARE * (self.total or 0)
        if seconds >= (LINE_INTERVAL_SECONDS if is_far else LONGEST_SECONDS):
            print(self._line(), file=sys.stderr, flush=True)
            self._last_line, self._last_n, self._has_printed = time.monotonic(), self.n, True
        return None

    def go_back(self, number: int) -> None:
        """Count on from fewer than were done."""
        self.n = self.last_print_n = self.initial = number
        self.start_t = self.last_print_t = time.time()
        self.refresh()

    def close(self) -> None:
        """End the bar; where there is no terminal, say how it ended."""
        if not self._is_terminal and not self.disable:
            if self._has_printed:
                print(self._line(), file=sys.stderr, flush=True)
            else:  # quick work is other news: in the log, where one is kept
                logger.info(self._line())
            self.delay = float("inf")  # nothing was shown that tqdm would have to end with a line
        super().close()

    def _line(self) -> str:
        return str(self.format_meter(**{**self.format_dict, "ncols": 0, "bar_format": None}))


def _size_is_known() -> bool:
    try:
        return min(os.get_terminal_size(sys.stderr.fileno())) > 0
    except (OSError, ValueError):  # no terminal at all
        return False
