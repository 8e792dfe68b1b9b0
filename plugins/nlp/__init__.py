"""Language: characters and words that follow each other, and the likeness of sentences."""
