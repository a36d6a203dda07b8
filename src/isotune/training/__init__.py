"""The core's half of training: loop, schedules, metrics, freezing plans, dropout's definition."""
