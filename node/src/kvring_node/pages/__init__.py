"""KV memory: which pages there are, who holds them, what they contain."""
