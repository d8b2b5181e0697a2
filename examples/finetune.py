"""Make a robust classifier of a folder of images: python examples/finetune.py [FOLDER [EPOCHS]]

FOLDER holds a folder for each class. Without one, pictures of cats and ships stand in for it.
"""

import sys
from pathlib import Path

from PIL import Image

import advss_zoo as az


def write_pictures(folder: Path, each: int = 40) -> Path:
    """Write pictures of two classes of CIFAR-10, as a person might have them."""
    data = az.load_data("cifar10-1k")
    for kind in ("cat", "ship"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in (data.labels == data.classes.index(kind)).nonzero()[0][:each]:
            Image.fromarray(data.images[number].transpose(1, 2, 0)).save(folder / kind / f"{number}.png")
    return folder


def main(folder: str | None = None, epochs: str = "10") -> None:
    pictures = Path(folder) if folder else write_pictures(Path("pictures"))
    run = az.finetune(pictures, start="selfie-p3f4", eps=4 / 255, epochs=int(epochs), say=print)
    print(f"{run.name}: TA {run.result.ta:.1%}, RA {run.result.ra:.1%} on {run.result.n} images set aside")
    for prediction in run.model.predict(sorted(pictures.rglob("*.png"))[:3]):
        print(prediction.path, prediction.labels[0], f"{prediction.probabilities[0]:.1%}")
    print(az.export(run.model, "finetuned.onnx").path, run.report)


if __name__ == "__main__":
    main(*sys.argv[1:])
