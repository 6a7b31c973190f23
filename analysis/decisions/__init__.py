"""What to train: plans under a law, questions to it, and answers with intervals."""
