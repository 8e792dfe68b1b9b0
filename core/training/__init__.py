"""What surrounds the trainer's loop: composing, fitting, checkpoints, folds."""
