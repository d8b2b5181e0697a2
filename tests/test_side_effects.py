"""Importing or calling the library changes nothing in the process, but for what it returns."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Prints, for each call, what of the process it changed. The threads of torch count from its import on, the client of
# the Hub from the import of huggingface_hub.
WATCH = """
import json, os, random, sys, tempfile, warnings
import numpy, PIL.Image, torch, huggingface_hub, scipy.special  # which have warnings of their own
import onnxscript, torch._dynamo  # likewise; and torch sets TORCHINDUCTOR_CACHE_DIR when it imports the second
from huggingface_hub.utils import _http

def state():
    return {
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "path": list(sys.path),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "hub": [id(_http._GLOBAL_CLIENT_FACTORY), id(_http._GLOBAL_CLIENT)],
        "random numbers": [torch.get_rng_state().tolist(), repr(numpy.random.get_state()), repr(random.getstate())],
        "warnings": repr(warnings.filters),
        "dtype and device": [str(torch.get_default_dtype()), str(torch.get_default_device())],
        "modes": [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")],
        "arithmetic": [
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic, torch.backends.cudnn.conv.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.conv.fp32_precision,
            torch.backends.mkldnn.matmul.fp32_precision,
        ],
        "signals, tracing": [repr(sys.gettrace()), repr(__import__("signal").getsignal(2))],
    }

huggingface_hub.get_session()
first, found = state(), {}

def watch(name, call):
    before = state()
    result = call()
    after = state()
    found[name] = [key for key in before if before[key] != after[key]]
    return result

az = watch("import", lambda: __import__("advss_zoo"))
model = watch("load_model", lambda: az.load_model("p1f4.mini"))
watch("an ensemble", lambda: az.load_model("p1f4.mini+p1f4.mini"))
images = watch("load_data", lambda: az.load_data("cifar10-1k", limit=8))
x, y = watch("unpacking", lambda: images)
watch("loader", lambda: images.loader(4))  # going through it draws a seed, as from any loader of torch
watch("list_models", az.list_models)
watch("list_models with a pattern", lambda: az.list_models("*f4*", tag="mini", kind="classifier"))
watch("predict", lambda: az.predict(model, PIL.Image.new("RGB", (40, 30))))
watch("pull", lambda: az.pull("p1f4.mini"))
watch("verify", lambda: list(az.verify("p1f4.mini", limit=1)))
with tempfile.TemporaryDirectory() as folder:
    watch("export", lambda: az.export(model, f"{folder}/model.onnx"))
    watch("publish", lambda: az.publish("jigsaw-p3.mini", f"{folder}/published"))
    watch("report", lambda: az.report(["p1f4.mini"], f"{folder}/report.html"))
watch("load_trunk", lambda: az.load_trunk("jigsaw-p3.mini"))
watch("evaluate", lambda: az.evaluate(model, images, "pgd20"))
watch("evaluate square", lambda: az.evaluate(model, (x[:1], y[:1] * 0), "apgd-ce"))
model.train()
watch("pgd", lambda: az.attacks.pgd(model, x, y, steps=2))
watch("fgsm", lambda: az.attacks.fgsm(model, x, y))
watch("apgd", lambda: az.attacks.apgd(model, x, y, steps=2))
watch("fab", lambda: az.attacks.fab(model, x, y, steps=2))
watch("square", lambda: az.attacks.square(model, x, y, queries=2))
watch("autoattack", lambda: az.attacks.autoattack(model, x, y, eps=1.0))
watch("unforeseen", lambda: az.attacks.unforeseen(model, x, y, "fog", eps=128, steps=2))
found["in all"] = [key for key, value in state().items() if value != first[key]]
found["process"] = ["process"] * ("advss_zoo.process" in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    ended = subprocess.run([sys.executable, "-c", WATCH], cwd=folder, capture_output=True, text=True, check=True)
    assert not list(folder.iterdir()), "nothing is written where one stands"
    return json.loads(ended.stdout)


def test_every_public_function_leaves_the_process_as_it_was(changed):
    assert len(changed) == 26
    assert {call: what for call, what in changed.items() if what} == {}
