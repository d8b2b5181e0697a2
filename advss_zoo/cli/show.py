"""`advss show NAME`: a checkpoint's card."""

from __future__ import annotations

from advss_zoo.cli.options import Name, examples
from advss_zoo.cli.output import out

EXAMPLES = examples("advss show p1f4", "advss show p1f4.mini > card.md")


def command(name: Name) -> None:
    """Show a checkpoint's card.

    What it is, how it was made, what it reaches. Rendered on a terminal, Markdown in a pipe.
    """
    from advss_zoo.zoo import index

    out.markdown(index.card(name))
