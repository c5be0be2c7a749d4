"""What a run will cost and did cost. No test here says how long anything takes: machines differ."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xlprompt.data.encoding.batches import Batch
from xlprompt.evaluation.processes import Processes
from xlprompt.models import (
    FinetuneSettings,
    HeadSettings,
    PromptSettings,
    build_task_model,
    load_backbone,
    load_tokenizer,
    state_memory,
)
from xlprompt.training.fitting.engine import TorchEngine
from xlprompt.training.machine import speed
from xlprompt.training.machine.speed import PeakRate, device_peak_flops
from xlprompt.training.recipes.recipe import OptimizerSettings
from xlprompt.training.runs import estimate as estimation
from xlprompt.training.runs.cost import (
    folder_bytes,
    measured,
    training_flops,
)
from xlprompt.training.runs.estimate import Workload, estimate

CPU = torch.device("cpu")
PROMPT = PromptSettings(length=4)
WORKLOAD = Workload(steps=10, batch_size=4, lengths=[6, 9, 12], development_lengths=[7, 8], evaluations=2)


def task_model(folder, *, finetune, dropout="off", gradient_checkpointing=False):
    return build_task_model(
        load_backbone(str(folder), dropout=dropout, gradient_checkpointing=gradient_checkpointing),
        load_tokenizer(str(folder)),
        num_labels=3,
        method=FinetuneSettings() if finetune else PROMPT,
        head=HeadSettings(),
        seed=0,
    )


def batch(rows=4, length=12):
    where = torch.arange(rows)
    ids = torch.randint(4, 100, (rows, length), generator=torch.Generator().manual_seed(0))
    columns = torch.full((rows,), length - 1)
    return Batch(ids, where, columns, where % 3, where, torch.zeros_like(where), None, ids.numel())


def estimated(model, workload=WORKLOAD, micro_batches=None):
    return estimate(
        model, micro_batches or [batch()], workload, state=state_memory(model.budget()), device=CPU
    )


both_methods = pytest.mark.parametrize("finetune", [True, False], ids=["finetune", "prompt"])


@pytest.mark.integration
@both_methods
@pytest.mark.parametrize("gradient_checkpointing", [False, True], ids=["kept", "recomputed"])
def test_an_estimate_leaves_no_trace(tiny_xglm, finetune, gradient_checkpointing):
    """With dropout on, so that the passes do draw random numbers."""
    model = task_model(
        tiny_xglm, finetune=finetune, dropout="pretrained", gradient_checkpointing=gradient_checkpointing
    )
    model.eval()
    model.head.train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(7)
    random = torch.get_rng_state()
    estimated(model)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert model.head.training
    assert not model.backbone.training


@pytest.mark.integration
def test_an_estimate_does_not_reach_an_engines_gradients(tiny_xglm):
    model = task_model(tiny_xglm, finetune=True)
    engine = TorchEngine(model, OptimizerSettings(learning_rate=1e-3), CPU, Processes())
    estimated(model)
    assert all(master.weight.grad is None for master in engine.masters.values())


@pytest.fixture
def clock(monkeypatch):
    """Every pass takes one second, so that what is left is arithmetic."""

    def timed(work, device):
        work()
        return 1.0

    monkeypatch.setattr(estimation, "timed", timed)


@pytest.mark.integration
@both_methods
def test_seconds_are_those_of_a_token_times_the_tokens_of_the_run(tiny_xglm, finetune, clock):
    model = task_model(tiny_xglm, finetune=finetune)
    found = estimated(model)
    # A pass of 48 padded tokens and an update take a second each; 10 steps of 4 rows have 9 tokens a row.
    assert found.train_seconds == pytest.approx(10 * 4 * 9 / 48 + 10)
    assert found.development_seconds == pytest.approx(2 * 15 / 48)
    assert found.forward_seconds_per_token == pytest.approx(1 / 48)


@pytest.mark.integration
def test_time_and_flops_grow_with_the_steps(tiny_xglm, clock):
    model = task_model(tiny_xglm, finetune=False)
    short, long = estimated(model), estimated(model, replace(WORKLOAD, steps=30))
    assert long.train_seconds == pytest.approx(3 * short.train_seconds)
    assert long.flops == 3 * short.flops
    assert long.development_seconds == short.development_seconds


@pytest.mark.integration
def test_processes_share_steps_and_scores_and_do_the_work_of_all_rows(tiny_xglm, clock):
    model = task_model(tiny_xglm, finetune=False)
    alone, shared = estimated(model), estimated(model, replace(WORKLOAD, processes=4))  # 4 rows each
    assert shared.train_seconds == alone.train_seconds
    assert shared.development_seconds == pytest.approx(alone.development_seconds / 4)
    assert shared.flops == 4 * alone.flops


@pytest.mark.integration
def test_padding_costs_time_and_is_no_useful_work(tiny_xglm, clock):
    model = task_model(tiny_xglm, finetune=False)
    full = estimated(model)
    padded = estimated(model, micro_batches=[replace(batch(), num_tokens=24)])  # half of the 48
    passes = full.train_seconds - 10  # without the updates
    assert padded.train_seconds == pytest.approx(2 * passes + 10)
    assert padded.flops == full.flops


@pytest.mark.integration
@both_methods
def test_memory_is_what_is_held_and_what_the_engine_and_the_passes_add(tiny_xglm, finetune, monkeypatch):
    model = task_model(tiny_xglm, finetune=finetune)
    state = state_memory(model.budget())
    held = estimation.psutil.Process().memory_info().rss
    found = estimated(model)
    passing = max(found.activation_bytes, 8 * max(p.numel() for p in model.parameters() if p.requires_grad))
    before = found.peak_memory_bytes - passing - state.gradients - state.optimizer
    assert before == pytest.approx(held, rel=0.2)  # the process itself, some hundred MiB


def test_an_update_takes_memory_for_a_moment():
    trained = [torch.nn.Parameter(torch.zeros(size)) for size in (100, 40)]
    assert estimation._update_bytes(trained, CPU, fused=False) == 2 * 4 * 100  # one tensor after the other
    assert estimation._update_bytes(trained, torch.device("cuda"), fused=False) == 4 * 140  # all in one go
    assert estimation._update_bytes(trained, CPU, fused=True) == 0
    assert estimation._update_bytes([], CPU, fused=False) == 0


def test_gradients_held_by_the_trial_alone_are_not_activations():
    held = iter([100, 180, 250])
    memory = estimation._Memory(lambda: next(held))
    memory.after_forward = memory.look()
    memory.look()
    assert memory.activations == 150
    memory.gradients = 60  # leaves 90 of the peak, more than the 80 after the forward pass
    assert memory.activations == 90
    memory.gradients = 120
    assert memory.activations == 80


@both_methods
def test_flops_of_training_are_those_of_the_mean_row(tiny_gemma, finetune):
    model = task_model(tiny_gemma, finetune=finetune)
    once = model.flops.step([6, 9, 12])
    assert training_flops(model, [6, 9, 12], 30) == 10 * once
    assert training_flops(model, np.array([6, 9, 12]), 30) == 10 * once


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA A10", 125),
    ],
)
def test_known_gpus_have_the_dense_rate_of_their_data_sheet(name, teraflops, monkeypatch):
    monkeypatch.setattr(speed, "device_name", lambda device: name)
    rate = device_peak_flops(torch.device("cuda"), "bfloat16")
    assert rate == PeakRate(teraflops * 1e12, "datasheet")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("NVIDIA H100 80GB HBM3", "float32"),  # the sheet's float32 would be TF32's, which torch does not use
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bfloat16"),  # a seventh of the GPU
        ("NVIDIA GeForce RTX 9999", "bfloat16"),
    ],
)
def test_any_other_gpu_is_measured(name, precision, monkeypatch):
    monkeypatch.setattr(speed, "device_name", lambda device: name)
    monkeypatch.setattr(speed, "_measured_rate", lambda device, dtype: 5e12)
    assert device_peak_flops(torch.device("cuda"), precision) == PeakRate(5e12, "measured")


def test_a_cpu_is_measured():
    rate = device_peak_flops(CPU, "float32")
    assert rate.source == "measured"
    assert 1e8 < rate.flops_per_second < 1e15  # between a microcontroller and a GPU


def test_a_measured_rate_is_that_of_the_largest_product_tried(monkeypatch):
    seconds = {512: 0.001, 1024: 0.004, 2048: 0.02}
    shapes = []
    monkeypatch.setattr(speed, "timed", lambda work, device: seconds[work.__defaults__[0].shape[0]])
    monkeypatch.setattr(torch, "full", lambda shape, *_, **__: shapes.append(shape) or torch.empty(shape))
    assert speed._measured_rate(CPU, torch.float32) == pytest.approx(2 * 2048**3 / 0.02)
    assert shapes == [(512, 512), (1024, 1024), (2048, 2048)]  # 0.02 s is long enough: no larger one


def test_what_a_run_took_is_told_by_its_metrics_names(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "model.safetensors").write_bytes(bytes(700))
    (tmp_path / "inner" / "checkpoint.json").write_bytes(bytes(300))
    found = measured(
        train_seconds=20.0,
        phases={"imports": 2.0, "training": 20.0, "rest": 8.0},
        tokens_per_second=500.0,
        flops=4 * 10**12,
        peak=PeakRate(1e12, "measured"),
        peak_memory_bytes=3 * 2**20,
        checkpoint_bytes=folder_bytes(tmp_path),
        devices=2,
    )
    assert found.to_metrics() == {
        "cost/train_seconds": 20.0,
        "cost/total_seconds": 30.0,
        "cost/tokens_per_second": 500.0,
        "cost/model_tflops": 4.0,
        "cost/model_flops_utilization": 0.1,  # 4e12 of the 40e12 that two devices do in 20 seconds
        "cost/peak_memory_mib": 3.0,
        "cost/checkpoint_bytes": 1000,
        "cost/seconds/imports": 2.0,
        "cost/seconds/training": 20.0,
        "cost/seconds/rest": 8.0,
    }


@pytest.mark.integration
def test_an_estimate_has_its_own_metrics_names_and_plain_numbers(tiny_xglm):
    arrays = replace(WORKLOAD, lengths=np.array([6, 9, 12]), development_lengths=np.array([7, 8]))
    metrics = estimated(task_model(tiny_xglm, finetune=False), arrays).to_metrics()
    assert {type(value) for value in metrics.values()} == {float}
    assert set(metrics) == {
        "cost/estimated_train_seconds",
        "cost/estimated_development_seconds",
        "cost/estimated_peak_memory_mib",
        "cost/estimated_model_tflops",
    }
    assert all(value > 0 for value in metrics.values())
