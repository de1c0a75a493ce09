"""The one console: what a run, a server and the command line say to a person."""

from typing import Any

from rich.console import Console
from rich.text import Text

from flows.prose import in_width
from tasks.visible import visible


class Terminal(Console):
    """Shows text as it is: it can hold brackets, and paths that must stay on one line. What a terminal would obey in it
    is spelled out, since models, judges, services and files wrote it. Every string passes here, a table's cells too."""

    def __init__(self, **options: Any):
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What Rich asks for each string that it prints."""
        return super().render_str(visible(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Breaks prose between words in a terminal; what goes elsewhere keeps its lines, for who reads them."""
        if self.is_terminal:
            objects = tuple(in_width(visible(o), self.width) if isinstance(o, str) else o for o in objects)
        super().print(*objects, **options)


console = Terminal()
