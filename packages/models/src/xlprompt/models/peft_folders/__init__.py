"""Folders of PEFT: what was trained here as PEFT loads it, and what PEFT has trained as it is used here."""
