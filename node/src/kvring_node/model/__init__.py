"""From a Hugging Face folder to logits, and from text to token ids and back."""
