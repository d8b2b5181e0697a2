"""`advss show MODEL`: a checkpoint's card."""

from __future__ import annotations

from advss_zoo.cli.options import ModelArgument, examples, the_model
from advss_zoo.cli.output import out

EXAMPLES = examples("advss show p1f4", "advss show p1f4.mini > card.md", "advss show runs/mine")


def command(model: ModelArgument = None) -> None:
    """Show a checkpoint's card.

    Describes the checkpoint, its training and its results. Rendered on a terminal, Markdown in a pipe.
    """
    from advss_zoo.zoo import sources

    out.markdown(sources.card(the_model(model)))
