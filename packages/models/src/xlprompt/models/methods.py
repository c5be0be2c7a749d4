"""The methods by name: which parameters train."""

from typing import Literal, get_args

Method = Literal["prompt", "finetune", "head"]

METHODS: tuple[Method, ...] = get_args(Method)
