"""`spine bench`: SPINE beside TRL's GRPOTrainer, on the same model, batch and machine, in alternation."""
