"""The schedules: one module each, which :data:`isotune.spec.schedule.SCHEDULES` finds."""
