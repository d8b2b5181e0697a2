"""`advss pull MODEL`: fetch and verify a checkpoint."""

from __future__ import annotations

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, ModelArgument, examples, the_model
from advss_zoo.cli.output import out

EXAMPLES = examples(
    "advss pull p1f4",
    'ls "$(advss pull p1f4.mini)"',
    "advss pull p1f4 --json",
    "advss pull hf://advss-zoo/p1f4.mini@v0.1.0",
)


def command(
    model: ModelArgument = None,
    json: JsonOption = False,
) -> None:
    """Fetch a checkpoint; print its folder.

    Checkpoints that are not in the package are downloaded from the Hugging Face Hub. Every file is verified and cached
    for offline use; see `advss cache`.
    """
    from advss_zoo.workflows.pull import pull

    out.json = json
    reference = the_model(model)
    if reference.kind != "zoo":  # whose weights are looked at
        import_torch()
    fetched = pull(reference)
    document = {
        "name": fetched.full_name,
        "path": str(fetched.path),
        "sha256": fetched.sha256,
        "source": fetched.source,
    }
    out.line(str(fetched.path), document=document)
