"""Full fine-tuning and prompts by the torch engine, on tiny models with random weights."""

import pytest
import torch
from small import small_model, small_steps
from torch import nn

from xlprompt.evaluation.processes import Processes
from xlprompt.models import FinetuneSettings
from xlprompt.training.fitting.engine import Master, TorchEngine, accumulate_gradients
from xlprompt.training.recipes.recipe import OptimizerSettings

CPU = torch.device("cpu")
ALONE = Processes()
FINETUNE = FinetuneSettings()


def train(model, steps, *, engine=None, rate=1e-3):
    engine = engine or TorchEngine(model, OptimizerSettings(learning_rate=rate), CPU, ALONE)
    losses = []
    for step in steps:
        loss, _ = engine.step(step, 1.0)
        losses.append(loss.item())
    return engine, losses


@pytest.mark.parametrize("family", ["tiny_xglm", "tiny_gemma", "tiny_llama"])
def test_fine_tuning_trains_every_weight_and_fits_what_it_sees(family, request):
    model = small_model(request.getfixturevalue(family))
    before = model.trainable_state()
    _, losses = train(model, small_steps(1) * 60)
    assert losses[-1] < 0.1 < losses[0]
    after = model.trainable_state()
    unmoved = [name for name in before if torch.equal(before[name], after[name])]
    assert unmoved == []
    budget = model.budget()
    assert budget.finetuned_params == budget.total_params
    assert budget.trainable_params == budget.total_params + budget.head_params
    assert budget.prompt_params == 0


def test_embeddings_stay_as_they_are_when_asked_and_are_part_of_the_checkpoint(tiny_xglm):
    model = small_model(tiny_xglm, finetune=FinetuneSettings(train_embeddings=False))
    embedding = model.backbone.embedding.weight.detach().clone()
    train(model, small_steps(5))
    assert torch.equal(model.backbone.embedding.weight, embedding)
    budget = model.budget()
    assert budget.finetuned_params == budget.total_params_no_embeddings
    assert "backbone.model.embed_tokens.weight" in model.trainable_state()


def test_updates_smaller_than_bfloat16_resolves_add_up(tiny_xglm):
    # A weight of 1 moves by 1e-4 a step; the next number below 1 in bfloat16 is 4e-3 away.
    model = small_model(tiny_xglm)
    norm = model.backbone.decoder_layers[0].final_layer_norm.weight
    assert norm.dtype == torch.bfloat16
    start = norm.detach().float().clone()
    train(model, small_steps(1) * 100, rate=1e-4)
    # In bfloat16 alone 1 - 1e-4 rounds back to 1, however often.
    assert (norm.float() - start).abs().max() >= 2**-8


def test_micro_batches_of_bfloat16_are_added_up_in_float32(tiny_xglm):
    (step,) = small_steps(1)
    settings = OptimizerSettings(learning_rate=1e-3, clip_norm=None)
    model = small_model(tiny_xglm)
    masters = TorchEngine(model, settings, CPU, ALONE).masters
    accumulate_gradients(model, step, CPU)
    assert all(master.weight.grad.dtype == torch.float32 for master in masters.values())
    held = [master for master in masters.values() if master.weight is not master.parameter]
    assert all(master.parameter.grad is None for master in held)
    reference = small_model(tiny_xglm, dtype="float32")
    others = TorchEngine(reference, settings, CPU, ALONE).masters
    accumulate_gradients(reference, step, CPU)
    ours = torch.cat([master.weight.grad.flatten() for master in masters.values()])
    theirs = torch.cat([master.weight.grad.flatten() for master in others.values()])
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_a_float32_parameter_is_its_own_master():
    parameter = nn.Parameter(torch.ones(3))
    assert Master(parameter).weight is parameter


@pytest.mark.parametrize("finetune", [FINETUNE, None], ids=["finetune", "prompt"])
def test_an_engine_goes_on_bit_for_bit_from_its_state(tiny_gemma, finetune):
    steps = small_steps(6)
    whole = small_model(tiny_gemma, finetune=finetune)
    train(whole, steps)
    first = small_model(tiny_gemma, finetune=finetune)
    engine, _ = train(first, steps[:3])
    state = {name: tensor.clone() for name, tensor in engine.state().items()}
    second = small_model(tiny_gemma, finetune=finetune, seed=5)
    engine = TorchEngine(second, OptimizerSettings(learning_rate=1e-3), CPU, ALONE)
    engine.load_state(state)
    train(second, steps[3:], engine=engine)
    for name, tensor in whole.trainable_state().items():
        assert torch.equal(tensor, second.trainable_state()[name]), name


def test_the_state_of_another_model_is_refused(tiny_gemma, tiny_xglm):
    settings = OptimizerSettings(learning_rate=1e-3)
    state = TorchEngine(small_model(tiny_gemma), settings, CPU, ALONE).state()
    with pytest.raises(ValueError, match="of another model: it differs in"):
        TorchEngine(small_model(tiny_xglm), settings, CPU, ALONE).load_state(state)
