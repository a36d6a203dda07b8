"""The core's half of training: session, loop, strategies, evaluation, dropout's definition."""
