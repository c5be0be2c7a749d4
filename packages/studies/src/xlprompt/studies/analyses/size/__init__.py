"""How methods compare as a model grows: prompt and LoRA minus full fine-tuning against parameters."""
