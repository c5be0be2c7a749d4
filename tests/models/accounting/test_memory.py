"""Memory of weights, gradients and optimizer state: against arithmetic by hand, and tensors that exist."""

import pytest
import torch
from torch.nn import functional

from xlprompt.evaluation.processes import Processes
from xlprompt.models import (
    FinetuneSettings,
    HeadSettings,
    PromptSettings,
    StateMemory,
    build_task_model,
    load_backbone,
    load_tokenizer,
    parameter_budget,
    state_memory,
)
from xlprompt.training.fitting.engine import TorchEngine
from xlprompt.training.recipes.recipe import OptimizerSettings

XGLM = 564_463_616
EMBEDDING = 262_152_192  # 256,008 rows of 1,024
PROMPT = 737_280  # 24 layers x 2 x 15 x 1,024
HEAD = 3_075  # 3 x 1,024 + 3


def budget(method, model="facebook/xglm-564M"):
    return parameter_budget(model, num_labels=3, method=method)


PROMPTED = PromptSettings(length=15)
FINETUNED = FinetuneSettings()
FROZEN_EMBEDDING = FinetuneSettings(train_embeddings=False)


def test_a_prompt_on_the_smallest_xglm_takes_two_bytes_a_frozen_weight_and_sixteen_a_trained_one():
    memory = state_memory(budget(PROMPTED))
    assert memory.weights == 2 * XGLM + 4 * (PROMPT + HEAD) == 1_131_888_652
    assert memory.gradients == 4 * (PROMPT + HEAD) == 2_961_420
    assert memory.optimizer == 8 * (PROMPT + HEAD) == 5_922_840
    assert memory.host == 0
    assert memory.total == 1_140_772_912  # 1.06 GiB


def test_fine_tuning_takes_eighteen_bytes_a_weight():
    memory = state_memory(budget(FINETUNED))
    assert memory.total == 18 * XGLM + 16 * HEAD == 10_160_394_288  # 9.46 GiB
    assert memory.gradients == 4 * (XGLM + HEAD)
    assert memory.optimizer == 12 * XGLM + 8 * HEAD


def test_a_frozen_embedding_takes_two_bytes_a_weight_like_any_frozen_weight():
    tuned = XGLM - EMBEDDING
    found = budget(FROZEN_EMBEDDING)
    assert found.finetuned_params == tuned == found.total_params_no_embeddings
    memory = state_memory(found)
    assert memory.total == 18 * tuned + 2 * EMBEDDING + 16 * HEAD == 5_965_959_216  # 5.56 GiB


def test_in_float32_weights_take_four_bytes_and_need_no_masters():
    memory = state_memory(budget(FINETUNED), precision="float32")
    assert memory == StateMemory(4 * (XGLM + HEAD), 4 * (XGLM + HEAD), 8 * (XGLM + HEAD))
    frozen = state_memory(budget(PROMPTED), precision="float32")
    assert frozen.weights == 4 * (XGLM + PROMPT + HEAD)


def test_each_stage_of_zero_shards_one_thing_more():
    trained = XGLM + HEAD  # 564,466,691; a quarter, padded, is 141,116,673
    quarter = 141_116_673
    stages = [state_memory(budget(FINETUNED), engine="deepspeed", stage=s, processes=4) for s in range(4)]
    assert stages[0] == StateMemory(2 * trained, 4 * trained, 12 * trained)
    assert stages[1] == StateMemory(2 * trained, 4 * trained, 12 * quarter)
    assert stages[2] == StateMemory(2 * trained, 4 * quarter, 12 * quarter)
    assert stages[3] == StateMemory(2 * quarter, 4 * quarter, 12 * quarter)
    assert stages[3].total == 2_540_100_114  # 2.37 GiB: a quarter of 9.46


def test_frozen_embeddings_are_sharded_at_stage_three_only():
    found = budget(FROZEN_EMBEDDING)
    two = state_memory(found, engine="deepspeed", stage=2, processes=2)
    three = state_memory(found, engine="deepspeed", stage=3, processes=2)
    assert two.weights == 2 * (XGLM + HEAD)
    assert three.weights == 2 * -(-(XGLM + HEAD) // 2)
    assert two.gradients == three.gradients == 4 * -(-(XGLM - EMBEDDING + HEAD) // 2)


def test_offloading_moves_sixteen_bytes_and_then_all_eighteen_to_the_host():
    trained = XGLM + HEAD
    options = {"engine": "deepspeed", "stage": 3, "processes": 1}
    optimizer = state_memory(budget(FINETUNED), offload="optimizer", **options)
    assert optimizer == StateMemory(2 * trained, 0, 0, host=16 * trained)
    everything = state_memory(budget(FINETUNED), offload="optimizer and parameters", **options)
    assert everything == StateMemory(0, 0, 0, host=18 * trained)
    first = state_memory(budget(FINETUNED), engine="deepspeed", stage=1, offload="optimizer", processes=2)
    assert first.gradients == 4 * trained  # accumulated on the device until the update


def test_more_processes_do_not_shrink_what_the_torch_engine_holds():
    assert state_memory(budget(FINETUNED), processes=8) == state_memory(budget(FINETUNED))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (PROMPTED, {"engine": "deepspeed", "stage": 2}, "train by the torch engine"),
        (FINETUNED, {"engine": "torch", "stage": 2}, "neither shards nor offloads"),
        (FINETUNED, {"engine": "torch", "offload": "optimizer"}, "neither shards nor offloads"),
        (FINETUNED, {"engine": "deepspeed", "stage": 0, "offload": "optimizer"}, "cannot offload"),
        (
            FINETUNED,
            {"engine": "deepspeed", "stage": 2, "offload": "optimizer and parameters"},
            "parameters 3",
        ),
        (FINETUNED, {"engine": "deepspeed", "stage": 4}, "stages are 0 to 3"),
        (FINETUNED, {"processes": 0}, "on 1 or more"),
    ],
)
def test_combinations_that_do_not_exist_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        state_memory(budget(kind), **options)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "kind", [PROMPTED, FINETUNED, FROZEN_EMBEDDING], ids=["prompt", "all", "no-embedding"]
)
@pytest.mark.parametrize("family", ["tiny_xglm", "tiny_gemma"])
def test_the_prediction_is_what_the_torch_engines_tensors_take(family, kind, precision, request):
    folder = str(request.getfixturevalue(family))
    model = build_task_model(
        load_backbone(folder, dtype=precision),
        load_tokenizer(folder),
        num_labels=3,
        method=kind,
        head=HeadSettings(),
        seed=0,
    )
    engine = TorchEngine(model, OptimizerSettings(learning_rate=1e-3), torch.device("cpu"), Processes())
    rows = torch.arange(2)

    def backward():
        logits = model(torch.ones(2, 5, dtype=torch.long), rows, rows + 2)
        functional.cross_entropy(logits, rows).backward()

    backward()
    engine._optimizer.step()  # makes the moments
    engine._optimizer.zero_grad(set_to_none=True)
    backward()

    # Where two names share memory, as XGLM's fused projections and their views do, it counts once.
    weights = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in model.parameters()}
    masters = [master.weight for master in engine.masters.values()]
    gradients = [weight.grad for weight in masters] + [parameter.grad for parameter in model.parameters()]
    own = [
        weight for weight in masters if weight.data_ptr() not in {p.data_ptr() for p in model.parameters()}
    ]
    # AdamW's step counters are scalars, 4 bytes a tensor, which nobody needs predicted.
    moments = [value for state in engine._optimizer.state.values() for value in state.values() if value.ndim]
    measured = StateMemory(
        weights=sum(weights.values()),
        gradients=size({id(gradient): gradient for gradient in gradients if gradient is not None}.values()),
        optimizer=size(own) + size(moments),
    )
    assert measured == state_memory(budget(kind, folder), precision=precision)
    assert measured == state_memory(model.budget(), precision=precision)


def size(tensors):
    return sum(tensor.element_size() * tensor.numel() for tensor in tensors)
