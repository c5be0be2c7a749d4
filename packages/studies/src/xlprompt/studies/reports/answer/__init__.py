"""What a report opens with: the answer in a sentence, a figure, the verdicts, and where it all comes from."""
