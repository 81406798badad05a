"""What users ask of the chat over HTTP: their conversations, what was said, and whom they block."""
