"""`spine bench`: SPINE's training step beside TRL's GRPOTrainer, on the same model, batch and machine, in alternation."""
