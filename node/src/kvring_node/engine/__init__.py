"""The brain: what runs next, and the loop that runs it. Nothing here reaches torch but through `ports`."""
