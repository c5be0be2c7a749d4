"""Trains a tiny model by every engine in as many processes as a launcher starts, and writes what came of it.

Run by tests/training/runs/test_processes.py: `python -m torch.distributed.run --nproc-per-node 2
shared_training.py MODEL DATA OUT ENGINE...`, where an engine is `prompt`, `torch` or a name in
experiments/deepspeed.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
from small import small_model

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import RandomRows, training_steps
from xlprompt.data.encoding.encode import encode
from xlprompt.data.sources import open_source
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.evaluation import predict
from xlprompt.evaluation.answers.aligned import collect_states
from xlprompt.evaluation.processes import Processes, launched_processes
from xlprompt.models import load_tokenizer
from xlprompt.training.alignment.loss import StepPenalty
from xlprompt.training.fitting.choose_engine import choose_engine, open_engine
from xlprompt.training.recipes.recipe import OptimizerSettings

CPU = torch.device("cpu")
STEPS = 6
DEEPSPEED = Path(__file__).resolve().parents[2] / "experiments" / "deepspeed"


def encoded(model: Path, data: Path, split: str, cache: Path):
    task = TASKS["xnli"]
    rows = open_source(str(data)).load(task, "en", split)
    settings = EncodingSettings(max_length=64)
    return encode(rows, task, load_tokenizer(str(model)), settings, language="en", cache_dir=cache)


def train(name: str, folder: Path, dtype: str, train_rows, development, processes: Processes) -> dict:
    """Losses by step, and the trained model's answers, by all processes together and by each alone."""
    prompt = name == "prompt"
    model = small_model(folder, dtype=dtype, **({"finetune": None} if prompt else {}))
    engine_choice = (
        choose_engine("prompt" if prompt else "finetune", "torch")
        if name in ("prompt", "torch")
        else choose_engine("finetune", deepspeed_config=DEEPSPEED / f"{name}.json")
    )
    steps = training_steps(
        train_rows,
        batch_size=7,  # so that two processes get unequal shares
        token_budget=64,
        seed=0,
        pad_id=0,
        rank=processes.rank,
        processes=processes.size,
    )
    losses = []
    pulled = RandomRows(development, rows=6, token_budget=256, pad_id=0)  # as an alignment loss would
    with open_engine(engine_choice, model, OptimizerSettings(learning_rate=1e-3), CPU, processes) as engine:
        for number, step in enumerate(islice(steps, STEPS)):
            own, target = (pulled.draw(number, which) for which in (0, 1))
            penalty = StepPenalty(own, target, weight=0.1 / processes.size, scale=True)
            loss, _ = engine.step(step, 1.0, penalty if number % 2 else None)
            processes.add_up([loss])
            losses.append(loss.item())
        options = {"token_budget": 96, "pad_id": 0, "device": CPU}
        together = predict(model, development, processes=processes, **options)
        alone = predict(model, development, **options)
        states = [
            collect_states(model, development, layer=layer, processes=shared, **options).tolist()
            for layer in (None, 2)
            for shared in (processes, None)
        ]
        return {
            "same_states": states[0] == states[1] and states[2] == states[3],
            "states": len(states[0]),
            "losses": losses,
            "together": [together.labels, together.loss, together.tokens],
            "alone": [alone.labels, alone.loss, alone.tokens],
            "weights": {key: float(value.double().sum()) for key, value in engine.weights().items()},
        }


def main(model: str, data: str, out: str, *names: str) -> None:
    torch.set_num_threads(1)
    with launched_processes(CPU) as processes:
        cache = Path(out).with_suffix(".cache")
        with processes.first_alone():
            sets = [encoded(Path(model), Path(data), split, cache) for split in ("train", "validation")]
        results = {
            dtype: {name: train(name, Path(model), dtype, *sets, processes) for name in names}
            for dtype in ("float32", "bfloat16")
        }
        ranks = processes.gather(torch.tensor([processes.rank]))
        told = processes.tell("größe" if processes.is_first else "")
        if processes.is_first:
            Path(out).write_text(json.dumps({"ranks": ranks.tolist(), "told": told, **results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
