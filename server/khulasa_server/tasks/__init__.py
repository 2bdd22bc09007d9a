"""What an answer is made of, in terms of text, guards and a scheduler."""
