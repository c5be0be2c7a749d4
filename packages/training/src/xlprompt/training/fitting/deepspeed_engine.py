"""Full fine-tuning on DeepSpeed: ZeRO stages 0 to 3, with offloading, in one process or many.

What is trained, and how, stands in the recipe; how memory is divided stands in a JSON file of DeepSpeed's
(see `experiments/deepspeed`), which must not repeat the recipe. DeepSpeed's own checkpoints are pickled and
fit one number of processes; an engine's state here is the same tensors by parameter as `TorchEngine`'s.
ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, distributed, nn

from xlprompt.data.encoding.batches import TrainingStep
from xlprompt.evaluation.processes import Processes
from xlprompt.models import TaskModel
from xlprompt.models.errors import ran_out_of_memory
from xlprompt.training.fitting.deepspeed_config import DEFAULT_CONFIG, EngineError, zero_stage
from xlprompt.training.fitting.engine import (
    Penalty,
    hand_out_weights,
    parameter_groups,
    refuse_foreign_state,
    share_of_loss,
    updates_at_once,
)
from xlprompt.training.machine.allocator import FreedMemory
from xlprompt.training.recipes.recipe import OptimizerSettings

_SLOTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedEngine:
    """A fine-tuned model that DeepSpeed trains and, from stage 1 on, divides between the processes.

    The whole model computes in the backbone's precision, the head too; its masters and the optimizer's state
    are float32.
    """

    def __init__(
        self,
        model: TaskModel,
        settings: OptimizerSettings,
        device: torch.device,
        processes: Processes,
        config: Mapping[str, Any] = DEFAULT_CONFIG,
    ) -> None:
        """Hand the model over to DeepSpeed.

        Raises:
            EngineError: DeepSpeed is not installed, or refuses the configuration.
        """
        deepspeed = _import_deepspeed(device)
        self._model, self._device, self._processes = model, device, processes
        self._stage, self._freed = zero_stage(config), FreedMemory()
        if not distributed.is_initialized():  # DeepSpeed wants a group of processes also where there is one
            backend = "nccl" if device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        os.environ.setdefault("LOCAL_RANK", "0")
        parameters = dict(model.named_parameters())
        groups = parameter_groups(model, settings)
        self._peaks = [float(group["lr"]) for group in groups]
        self._trained = {name: parameters[name] for group in groups for name in group["params"]}
        # At rate 0, because DeepSpeed takes a step with no gradient to make the optimizer's state.
        self._optimizer = torch.optim.AdamW(
            [
                {**group, "lr": 0.0, "params": [parameters[name] for name in group["params"]]}
                for group in groups
            ],
            betas=settings.betas,
            fused=updates_at_once(model),
        )
        whole = self._whole_config(config, settings)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints its use of memory
                self._engine, *_ = deepspeed.initialize(model=model, optimizer=self._optimizer, config=whole)
        except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            if ran_out_of_memory(error):
                raise
            raise EngineError(f"DeepSpeed refuses this configuration: {error}") from error
        self._make_optimizer_state()

    def step(
        self, step: TrainingStep, rate_factor: float, penalty: Penalty | None = None
    ) -> tuple[Tensor, Tensor]:
        """As many backward passes as there are micro-batches, and DeepSpeed's step."""
        total = torch.zeros((), device=self._device)
        for batch in self._freed.between(step.micro_batches):
            loss = share_of_loss(self._engine, batch.to(self._device), step.decisions)
            self._backward(loss)
            total += loss.detach()
        if penalty is not None:
            self._backward(penalty(self._engine))
        for group, peak in zip(self._engine.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * rate_factor
        norm = self._norm_in_advance()
        self._engine.step()
        if norm is None:
            norm = self._engine.get_global_grad_norm()
        return total, torch.as_tensor(norm, dtype=torch.float32, device=self._device)

    def _backward(self, loss: Tensor) -> None:
        # DeepSpeed takes the mean over the processes; the loss is to be added up.
        self._engine.backward(loss * self._processes.size, scale_wrt_gas=False)

    def state(self) -> dict[str, Tensor]:
        """Collected from the processes, one parameter after the other."""
        steps = [slots["step"] for slots in self._optimizer.state.values()]
        tensors: dict[str, Tensor] = {}
        for name, parameter in self._trained.items():
            for slot in ("weight", *_SLOTS):
                full = self._full(parameter, slot)
                if self._processes.is_first:
                    tensors[f"{slot}.{name}"] = full.detach().to("cpu", torch.float32)
            if self._processes.is_first:
                tensors[f"step.{name}"] = steps[0].detach().to("cpu", torch.float32, copy=True).reshape(())
        return tensors

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Each process takes its part."""
        refuse_foreign_state(state, set(self._trained))
        for name, parameter in self._trained.items():
            for slot in ("weight", *_SLOTS):
                self._set(parameter, slot, state[f"{slot}.{name}"])
            steps = float(state[f"step.{name}"])
        for slots in self._optimizer.state.values():
            slots["step"].fill_(steps)
        self._put({name: state[f"weight.{name}"] for name in self._trained}, self._trained)

    def weights(self) -> dict[str, Tensor]:
        """Copies on the CPU; at stage 3, collected one after the other."""
        kept: dict[str, Tensor] = {}
        for name, parameter in self._model.kept_parameters().items():
            with self.whole(parameter):
                if self._processes.is_first:
                    kept[name] = parameter.detach().to("cpu", copy=True)
        return kept

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Process 0 hands them out. The optimizer's masters stay as they are: this is for evaluation."""
        if self._stage < 3:
            hand_out_weights(self._model, weights, self._processes)
        else:
            self._put(weights, self._model.kept_parameters())

    @contextmanager
    def whole(self, parameter: Tensor, *, modify: bool = False) -> Iterator[None]:
        """Within it, the parameter is whole on every process; changes on process 0 are kept with `modify`."""
        if self._stage < 3:
            yield
            return
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters([parameter], modifier_rank=0 if modify else None):
            yield

    def close(self) -> None:
        """Give the memory back; the model can't be used afterwards.

        A group of one process that was made for DeepSpeed stays: DeepSpeed remembers it for the next engine.
        """
        self._engine.destroy()

    def _whole_config(self, config: Mapping[str, Any], settings: OptimizerSettings) -> dict[str, Any]:
        return {
            "zero_force_ds_cpu_optimizer": False,  # its own one has to be compiled on the machine
            **config,
            "bf16": {"enabled": self._model.backbone.dtype == torch.bfloat16},
            "gradient_clipping": settings.clip_norm or 0.0,
            # Micro-batches differ in size, which DeepSpeed need not know, and in number from step to step.
            "train_micro_batch_size_per_gpu": 1,
            "managed_gradient_accumulation": False,
            "steps_per_print": 2**40,
        }

    @torch.no_grad()
    def _make_optimizer_state(self) -> None:
        """Moments of zero and no step done, whatever DeepSpeed has made so far."""
        grouped = [weight for group in self._optimizer.param_groups for weight in group["params"]]
        # At stage 3 the optimizer is lent one flat part of the weights after the other.
        for weight in getattr(self._engine.optimizer, "fp32_partitioned_groups_flat", grouped):
            slots = self._optimizer.state[weight]
            if not slots:
                slots["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
                slots.update({slot: torch.zeros_like(weight) for slot in _SLOTS})
        for slots in self._optimizer.state.values():
            for value in slots.values():
                value.zero_()
        link = getattr(self._engine.optimizer, "_lazy_init_hp_params_optimizer_state", None)
        if link is not None:  # DeepSpeed 0.19 links parameters to their moments after the first group's step
            link()

    def _norm_in_advance(self) -> Tensor | None:
        """The gradient's norm at stage 0 in float32, where DeepSpeed clips and does not tell it."""
        if self._engine.optimizer is not self._optimizer:
            return None
        gradients = [parameter.grad for parameter in self._trained.values() if parameter.grad is not None]
        self._processes.add_up(gradients)
        for gradient in gradients:
            gradient /= self._processes.size  # DeepSpeed takes the mean of equal values once more
        return nn.utils.get_total_norm(gradients)

    def _full(self, parameter: nn.Parameter, slot: str) -> Tensor:
        """The whole float32 weight, or a moment of it, on every process."""
        if self._stage == 0:
            master = self._masters[id(parameter)]
            return master if slot == "weight" else self._optimizer.state[master][slot]
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        full = (
            safe_get_full_fp32_param(parameter)
            if slot == "weight"
            else safe_get_full_optimizer_state(parameter, slot)
        )
        assert full is not None
        return full

    def _set(self, parameter: nn.Parameter, slot: str, value: Tensor) -> None:
        """Put a whole float32 weight, or a moment, back where `_full` reads it."""
        value = value.to(self._device)
        if self._stage == 0:
            self._full(parameter, slot).copy_(value)
            return
        from deepspeed import utils

        if self._stage == 3:
            own = self._own_part(parameter, value)
            if slot == "weight":
                utils.safe_set_local_fp32_param(parameter, own)
            else:
                utils.safe_set_local_optimizer_state(parameter, own, slot)
        elif slot == "weight":
            utils.safe_set_full_fp32_param(parameter, value)
        else:
            utils.safe_set_full_optimizer_state(parameter, value, slot)

    def _own_part(self, parameter: nn.Parameter, value: Tensor) -> Tensor:
        """This process's part of a tensor at stage 3, padded with zeros as DeepSpeed pads."""
        size = parameter.ds_tensor.ds_numel  # type: ignore[attr-defined]
        padded = value.new_zeros(size * self._processes.size)
        padded[: value.numel()] = value.flatten()
        return padded.narrow(0, size * self._processes.rank, size)

    @cached_property
    def _masters(self) -> dict[int, Tensor]:
        """At stage 0: the float32 master of each parameter, by the parameter's id."""
        wrapper = self._engine.optimizer
        if wrapper is self._optimizer:
            return {id(parameter): parameter for parameter in self._trained.values()}
        return {
            id(parameter): master
            for parameters, masters in zip(wrapper.fp16_groups, wrapper.fp32_groups, strict=True)
            for parameter, master in zip(parameters, masters, strict=True)
        }

    def _put(self, values: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
        """Copy values into what the model computes with; at stage 3 those of process 0 count."""
        for name, parameter in parameters.items():
            with self.whole(parameter, modify=True):
                if self._stage < 3 or self._processes.is_first:
                    parameter.copy_(values[name].to(parameter.device))


def _import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for this device and keep its reports of progress to itself.

    Raises:
        EngineError: It is not installed.
    """
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    try:
        import deepspeed
    except ImportError as error:
        raise EngineError(
            "full fine-tuning uses DeepSpeed, which is not installed here. Install "
            "xlprompt-training[finetune], or train by torch alone with --engine torch"
        ) from error
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # On a CPU it would compile an operation of its own at the first run; gloo adds up as well.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # DeepSpeed 0.19 calls what torch 2.13 has renamed.
    warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)
    return deepspeed
