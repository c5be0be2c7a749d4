"""How finely a tokenizer cuts each language, and what that goes with."""
