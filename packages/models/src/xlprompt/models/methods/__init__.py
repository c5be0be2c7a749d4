"""The methods: prompts, full fine-tuning, LoRA and (IA)3, adapters, BitFit, the head alone."""
